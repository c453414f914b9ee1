"""The system as RAUC takes it: one slot's file system in a signed bundle."""

from pathlib import Path
from typing import Final

from image import disk, trees
from image.signing import Signing

COMPATIBLE: Final = "handset-debian-arm64"
"""As in /etc/rauc/system.conf: bundles for other machines are refused."""


def manifest(version: str) -> str:
    """What RAUC reads first."""
    return (
        f"[update]\ncompatible={COMPATIBLE}\nversion={version}\n\n"
        "[bundle]\nformat=verity\n\n"
        "[image.rootfs]\nfilename=rootfs.ext4\n"
    )


def pack(card: Path, version: str, by: Signing, target: Path, epoch: int) -> None:
    """Writes `target` with root A of the disk image `card`. Its log lies beside it until all went well."""
    log, content = target.with_suffix(".log"), target.with_suffix(".content")
    content.mkdir()
    (content / "manifest.raucm").write_text(manifest(version))
    # What RAUC's handlers read: the manifest's own is for RAUC.
    (content / "version").write_text(version + "\n")
    names = [partition.name for partition in disk.LAYOUT]
    at = names.index("root-a")
    trees.run(
        [
            *("dd", f"if={card}", f"of={content / 'rootfs.ext4'}", "bs=1M", "conv=sparse", "status=none"),
            *(f"skip={disk.offsets(disk.LAYOUT)[at]}", f"count={disk.LAYOUT[at].size}"),
        ],
        log,
    )
    keys = [f"--cert={by.certificate}", f"--key={by.key}", f"--keyring={by.authority}"]
    squashfs = "--mksquashfs-args=-comp zstd -Xcompression-level 10 -processors 2"
    trees.run(
        ["rauc", "bundle", squashfs, *keys, content, target],
        log,
        environment={"SOURCE_DATE_EPOCH": str(epoch)},
    )
    trees.run(["rm", "-r", content], log)
    log.unlink()
