"""The boot loader: U-Boot from Debian's package, its script and overlay, and its variables on the card."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from image import environment, trees

_SOURCES: Final = Path(__file__).parent / "boot"
SCRIPT: Final = _SOURCES / "boot.cmd"
OVERLAY: Final = _SOURCES / "bootdelay.dts"
_PACKAGE: Final = "usr/lib/u-boot"
_BOARD: Final = "rpi_arm64"
"""One binary for Pi 3, Zero 2 W and 4: it takes the firmware's device tree."""


def install(root: Path, boot: Path, epoch: int, log: Path) -> None:
    """Puts U-Boot, script and overlay onto the boot partition's tree; the package's other boards leave the root."""
    shutil.copyfile(root / _PACKAGE / _BOARD / "u-boot.bin", boot / "u-boot.bin")
    shutil.rmtree(root / _PACKAGE)
    compile_script(boot / "boot.scr", epoch, log)
    (boot / "overlays").mkdir(exist_ok=True)
    compile_overlay(boot / "overlays" / "bootdelay.dtbo", log)


def compile_script(target: Path, epoch: int, log: Path) -> None:
    """`target`: the script with U-Boot's header."""
    kind = ["mkimage", "-A", "arm64", "-T", "script", "-C", "none", "-n", "handset"]
    trees.run([*kind, "-d", SCRIPT, target], log, environment={"SOURCE_DATE_EPOCH": str(epoch)})


def compile_overlay(target: Path, log: Path) -> None:
    """`target`: what the firmware lays over the board's tree, as config.txt asks for it."""
    trees.run(["dtc", "-q", "-I", "dts", "-O", "dtb", "-o", target, OVERLAY], log)


def write_variables(
    card: Path, copies: Sequence[bytes] = (environment.encode(environment.FIRST, 1), b"")
) -> None:
    """Writes the variables' copies; an empty one becomes zeros, which is none."""
    with card.open("r+b") as file:
        for place, copy in zip(environment.COPIES, copies, strict=True):
            file.seek(place)
            file.write(copy.ljust(environment.SIZE, b"\0"))


def read_variables(card: Path) -> dict[str, str] | None:
    """The variables in force on a card; None where no copy is whole."""
    with card.open("rb") as file:
        found = []
        for place in environment.COPIES:
            file.seek(place)
            found.append(file.read(environment.SIZE))
    return environment.newest((found[0], found[1]))
