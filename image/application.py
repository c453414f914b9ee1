"""The application's release: `bin/handset` and `site/`, packages that run from anywhere with Debian's Python."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

from image import trees
from image.layers import RecipeFault

HOME: Final = "/usr/lib/handset/release"
"""Where the release that comes with the image lies."""
PACKAGES: Final = ("appliance", "drivers", "provisioning")
SOURCES: Final = (*PACKAGES, "pyproject.toml", "README.md", "LICENSE", "NOTICE")


def sources(checkout: Path) -> list[Path]:
    """The tracked files that the application is built from: nothing that merely lies about gets into an image."""
    listed = subprocess.run(
        ["git", "-C", str(checkout), "ls-files", "-z", "--", *SOURCES],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    files = [checkout / name for name in listed.split("\0") if name]
    if not files:
        raise RecipeFault(f"{checkout} is no checkout: git lists no files", "clone the repository")
    return [path for path in files if path.exists()]


def unpack_wheel(wheel: Path, site: Path) -> None:
    """Puts a wheel's packages into `site`; its programs and headers are left out."""
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            parts = Path(entry.filename).parts
            if entry.is_dir() or ".." in parts or Path(entry.filename).is_absolute():
                continue
            if parts[0].endswith(".data"):
                if parts[1] not in ("purelib", "platlib"):
                    continue
                parts = parts[2:]
            target = site.joinpath(*parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.read(entry))
            target.chmod(0o755 if entry.external_attr >> 16 & 0o100 else 0o644)


def compile_python(tools: Path, folder: Path, place: str, log: Path) -> None:
    """Compiles the Python files of `folder`, which will lie at `place`, by the tools' Python.

    Byte code is trusted by its place, not by times: nothing on a read-only root changes. Files that are no valid Python
    (templates, some tests) are left alone.
    """
    command = (
        "python3 -m compileall -q -j2 --invalidation-mode unchecked-hash -s /srv/python -p "
        f"{place} /srv/python || echo 'some files are no valid Python: left alone'"
    )
    with trees.entered(tools, (folder, "/srv/python")) as inside:
        trees.run([*inside, "sh", "-c", command], log)


def build_libraries(wheels: Path, pjsua2: Path, tools: Path, into: Path) -> None:
    """`into/site`: all wheels, compiled."""
    site = into / "site"
    for wheel in sorted([*wheels.glob("*.whl"), *pjsua2.glob("*.whl")]):
        unpack_wheel(wheel, site)
    compile_python(tools, site, f"{HOME}/site", into / "build.log")


def build_release(checkout: Path, libraries: Path, tools: Path, into: Path) -> None:
    """`into/release`: the libraries and this checkout's packages, compiled, with the program `bin/handset`."""
    work, log = into / "source", into / "build.log"
    for path in sources(checkout):
        target = work / path.relative_to(checkout)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
    ]
    trees.run([*pip, "--wheel-dir", into, work], log)
    shutil.rmtree(work)
    own = into / "own"
    (wheel,) = into.glob("handset-*.whl")
    unpack_wheel(wheel, own)
    compile_python(tools, own, f"{HOME}/site", log)
    release = into / "release"
    trees.run(["cp", "-a", libraries / "site", own.with_name("site")], log)
    trees.run(["cp", "-a", f"{own}/.", own.with_name("site")], log)
    shutil.rmtree(own)
    program = release / "bin" / "handset"
    program.parent.mkdir(parents=True)
    (into / "site").rename(release / "site")
    shutil.copyfile(checkout / "provisioning" / "release" / "handset.sh", program)
    program.chmod(0o755)
