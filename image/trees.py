"""System trees: made by mmdebstrap, entered by chroot. As root."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from image.layers import RecipeFault

DPKG_OPTIONS: Final = (
    "force-unsafe-io",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/man/*",
)
EMULATOR: Final = Path("/proc/sys/fs/binfmt_misc/qemu-aarch64")


def command(
    target: Path | str,
    architectures: str,
    packages: Sequence[str],
    entries: Sequence[str],
    suite: str,
    hooks: Sequence[str] = (),
) -> list[str]:
    """The mmdebstrap command that puts `packages` and what they need into `target`, a folder or a tar file."""
    return [
        *("mmdebstrap", "--variant=apt", "--mode=root", f"--architectures={architectures}"),
        *('--aptopt=APT::Install-Recommends "false"', '--aptopt=Acquire::Retries "3"'),
        '--aptopt=DPkg::Path "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"',  # native-begin.sh
        *(f"--dpkgopt={option}" for option in DPKG_OPTIONS),
        *hooks,
        f"--include={','.join(packages)}",
        *(suite, str(target), *entries),
    ]


def run(arguments: Sequence[str | Path], log: Path, *, environment: Mapping[str, str] | None = None) -> None:
    """Runs a program, niced, its output at the end of `log`; a `RecipeFault` with the last lines where it fails."""
    with log.open("a") as sink:
        sink.write(f"+ {' '.join(map(str, arguments))}\n")
        sink.flush()
        done = subprocess.run(
            ["nice", "-n", "19", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env={**os.environ, "LC_ALL": "C.UTF-8", **(environment or {})},
            check=False,
        )
    if done.returncode:
        tail = "\n  ".join(log.read_text(errors="replace").splitlines()[-15:])
        raise RecipeFault(f"{arguments[0]} failed ({done.returncode}). The last lines of {log}:\n  {tail}")


def require_host() -> None:
    """Refuses early what could not work: no root, no emulator for arm64 programs."""
    if os.geteuid() != 0:
        raise RecipeFault("system trees are made by root", "as root, or: sudo make image")
    if not EMULATOR.parent.joinpath("register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", str(EMULATOR.parent)], check=False)
    if not EMULATOR.exists():
        subprocess.run(["update-binfmts", "--enable", "qemu-aarch64"], check=False)
    if not EMULATOR.exists():
        raise RecipeFault(
            "arm64 programs do not run here",
            "the packages qemu-user-static and binfmt-support register an emulator",
        )


@contextmanager
def entered(tree: Path, *binds: tuple[Path, str]) -> Iterator[list[str]]:
    """The words before a command that runs inside `tree`; it sees /proc, /dev and `binds` (folder, its place there).

    The mounts are the command's own and go with it.
    """
    places = [tree / place.lstrip("/") for _, place in binds]
    made = [place for place in places if not place.is_dir()]
    script = 'set -e; t=$1; shift; mount --bind /proc "$t/proc"; mount --bind /dev "$t/dev"; '
    for source, place in binds:
        (tree / place.lstrip("/")).mkdir(parents=True, exist_ok=True)
        script += f'mount --bind "{source}" "$t{place}"; '
    yield ["unshare", "--mount", "bash", "-c", script + 'exec chroot "$t" "$@"', "-", str(tree)]
    for folder in made:
        folder.rmdir()


def unpack(archive: Path, tree: Path, log: Path) -> None:
    """Unpacks a tree's tar with owners, modes and extended attributes."""
    tree.mkdir(parents=True)
    run(
        ["tar", "--extract", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-f", archive, "-C", tree],
        log,
    )


def overlay(source: Path, tree: Path) -> None:
    """Copies the files of `source` over `tree`; they are root's, as are the folders made for them."""
    for path in sorted(source.rglob("*")):
        target = tree / path.relative_to(source)
        if path.is_dir() and not path.is_symlink():
            target.mkdir(exist_ok=True)
        else:
            target.unlink(missing_ok=True)
            shutil.copy2(path, target, follow_symlinks=False)
            os.chown(target, 0, 0, follow_symlinks=False)
