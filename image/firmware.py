"""What the Raspberry Pi's firmware reads: its own files, its settings, device trees, and what it starts.

Where there are two systems it starts the boot loader, and kernels stay in the roots; where there is one it starts the
kernel itself, which then lies on the boot partition.
"""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from image.layers import RecipeFault

KERNELS: Final[Mapping[str, tuple[str, str]]] = {
    "v8": ("kernel8.img", "initramfs8"),
    "2712": ("kernel_2712.img", "initramfs_2712"),
}
"""By the last part of a kernel's release: what the firmware calls it, and its initramfs (`auto_initramfs=1`).

A Pi 5 takes the second, every other 64-bit board the first.
"""
_OWN: Final = "usr/lib/raspi-firmware"
_VERSIONS: Final = "the archive may have been in the middle of an update: again with FRESH=1, later"
_LAYOUT: Final = "the package's layout may have changed: image/firmware.py says where things are looked for"


def starts_loader(root: Path, boot: Path) -> None:
    """Moves into `boot` firmware, device trees and settings of a root with one kernel.

    Kernel and initramfs stay in the root, with names that the boot loader knows: each slot has its own. A `RecipeFault`
    names what the packages do not have where it is expected.
    """
    found = _releases(root)
    if len(found) != 1:
        raise RecipeFault(f"the image must have one kernel, not {found}")
    (release,) = found
    _settings(root, boot)
    kept = {f"vmlinuz-{release}": "vmlinuz", f"initrd.img-{release}": "initrd.img"}
    for name, plain in kept.items():
        _needed(root / "boot" / name).rename(root / "boot" / plain)
    _clear(root / "boot", set(kept.values()))
    _device_trees(root, release, "bcm2*.dtb", boot)
    shutil.rmtree(root / "usr" / "lib" / f"linux-image-{release}", ignore_errors=True)


def starts_kernels(root: Path, boot: Path) -> None:
    """Moves into `boot` all that is needed before there is a root: also both kernels, their initramfs, overlays.

    A `RecipeFault` names what the packages do not have where it is expected.
    """
    _settings(root, boot)
    for ending, release in kernels(_releases(root)).items():
        kernel, initramfs = KERNELS[ending]
        _move(root / "boot" / f"vmlinuz-{release}", boot / kernel)
        _move(root / "boot" / f"initrd.img-{release}", boot / initramfs)
        _device_trees(root, release, "bcm27*.dtb", boot)
        shipped = root / "usr" / "lib" / f"linux-image-{release}"
        if not (shipped / "overlays").is_dir():
            raise RecipeFault(f"linux-image-{release} has no overlays", _LAYOUT)
        shutil.copytree(shipped / "overlays", boot / "overlays", dirs_exist_ok=True)
        shutil.rmtree(shipped)
    _clear(root / "boot", set())


def kernels(releases: Iterable[str]) -> dict[str, str]:
    """Pure: the releases by their last part, one for each of `KERNELS`, of one version, since they share overlays."""
    found = sorted(releases)
    by_ending = {release.rpartition("-")[2]: release for release in found}
    if len(found) != len(KERNELS) or set(by_ending) != set(KERNELS):
        raise RecipeFault(f"the image must have a kernel for each of {', '.join(KERNELS)}, not {found}")
    versions = {release.rpartition("-")[0] for release in found}
    if len(versions) != 1:
        raise RecipeFault(f"the kernels must be of one version: {', '.join(found)}", _VERSIONS)
    return {ending: by_ending[ending] for ending in KERNELS}


def _releases(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "lib" / "modules").iterdir())


def _settings(root: Path, boot: Path) -> None:
    """The firmware's own files, and what it is told."""
    if not (root / _OWN).is_dir():
        raise RecipeFault(f"raspi-firmware has no /{_OWN}", _LAYOUT)
    for name in ("config.txt", "cmdline.txt"):
        shutil.copyfile(root / "boot" / name, boot / name)
    for path in sorted((root / _OWN).iterdir()):
        target = boot / path.name
        if path.is_dir():
            shutil.copytree(path, target, dirs_exist_ok=True)
        else:
            shutil.copyfile(path, target)
    shutil.rmtree(root / _OWN)


def _device_trees(root: Path, release: str, pattern: str, boot: Path) -> None:
    found = sorted((root / "usr" / "lib" / f"linux-image-{release}" / "broadcom").glob(pattern))
    if not found:
        raise RecipeFault(f"linux-image-{release} has no device trees", _LAYOUT)
    for path in found:
        shutil.copyfile(path, boot / path.name)


def _move(source: Path, target: Path) -> None:
    shutil.copyfile(_needed(source), target)
    source.unlink()


def _needed(path: Path) -> Path:
    if not path.is_file():
        raise RecipeFault(f"there is no /boot/{path.name}", _LAYOUT)
    return path


def _clear(folder: Path, kept: set[str]) -> None:
    for path in sorted(folder.iterdir()):
        if path.name in kept:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
