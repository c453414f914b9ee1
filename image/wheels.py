"""The locked packages for the image's Python: which of the lock they are, and fetching their wheels by hash."""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement

from image import trees

TARGET: Final[Mapping[str, str]] = {
    "implementation_name": "cpython",
    "implementation_version": "3.13.5",
    "os_name": "posix",
    "platform_machine": "aarch64",
    "platform_python_implementation": "CPython",
    "platform_release": "",
    "platform_system": "Linux",
    "platform_version": "",
    "python_full_version": "3.13.5",
    "python_version": "3.13",
    "sys_platform": "linux",
}
"""What environment markers of the lock are asked against: Debian trixie on 64-bit ARM."""
PROVIDED: Final = frozenset({"pyaudio", "systemd-python"})
"""No wheel anywhere: Debian's python3-pyaudio and python3-systemd stand in."""
_GLIBC: Final = (41, 39, 38, 36, 35, 34, 31, 28, 27, 26, 24, 17)


def for_target(lock: str) -> str:
    """The lock's requirements that hold on the image, each without its marker and with its hashes."""
    kept = []
    for block in re.split(r"\n(?=[A-Za-z0-9])", "\n" + lock):
        lines = [
            line.strip().rstrip("\\").strip()
            for line in block.splitlines()
            if not line.lstrip().startswith("#")
        ]
        lines = [line for line in lines if line]
        if not lines:
            continue
        requirement = Requirement(lines[0])
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        if name in PROVIDED or (requirement.marker and not requirement.marker.evaluate(dict(TARGET))):
            continue
        hashes = [line for line in lines[1:] if line.startswith("--hash=")]
        kept.append(" ".join([f"{requirement.name}{requirement.specifier}", *hashes]))
    return "\n".join(kept) + "\n"


def fetch(lock: str, folder: Path, log: Path) -> None:
    """Puts the wheels of `for_target` into `folder`; pip refuses what has another hash or is no wheel."""
    listed = log.with_name("requirements.txt")
    listed.write_text(lock)
    platforms = [f"manylinux_2_{minor}_aarch64" for minor in _GLIBC] + ["manylinux2014_aarch64", "any"]
    trees.run(
        [
            *(sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "-q", "--no-deps"),
            *(
                "--require-hashes",
                "--only-binary=:all:",
                "--implementation",
                "cp",
                "--python-version",
                "3.13",
            ),
            *("--abi", "cp313", "--abi", "abi3", "--abi", "none"),
            *(word for platform in platforms for word in ("--platform", platform)),
            *("--dest", folder, "-r", listed),
        ],
        log,
    )
