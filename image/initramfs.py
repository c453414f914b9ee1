"""The initramfs: generated inside an unpacked root, with our scripts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from image import trees

EPOCH: Final = 0
"""No file in it is newer, so that when and where its tree was unpacked is not in it. Nothing there asks for a time."""


def generate(tree: Path, overlays: Sequence[tuple[Path, Path]], log: Path) -> None:
    """Has the tree's own programs generate it for its kernel, under emulation.

    `overlays` are folders and where their files go.
    """
    for source, target in overlays:
        trees.overlay(source, target)
    with trees.entered(tree) as inside:
        # Not update-initramfs: its hooks would set up a boot partition of their own making.
        make = "for r in $(ls /lib/modules); do mkinitramfs -o /boot/initrd.img-$r $r || exit; done"
        trees.run([*inside, "sh", "-c", make], log, environment={"SOURCE_DATE_EPOCH": str(EPOCH)})
