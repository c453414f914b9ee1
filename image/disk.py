"""The disk: its partitions, what lies where on them, and the image file made of a system tree."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from image import trees

MIB: Final = 1024 * 1024
LABEL: Final = "48414e44"
"""The partition table's id, "HAND": partition N is PARTUUID=48414e44-0N, wherever the card sits."""
ROOT_UUID: Final = "48414e44-5345-5400-0000-000000000002"
DATA_UUID: Final = "48414e44-5345-5400-0000-000000000004"
SECTOR: Final = 512


@dataclass(frozen=True, slots=True)
class Partition:
    """One of the four primary ones; sizes in MiB. `kind` is sfdisk's type."""

    name: str
    size: int
    kind: str
    boots: bool = False


LAYOUT: Final = (
    Partition("boot", 256, "c", boots=True),
    Partition("root-a", 1280, "83"),
    Partition("root-b", 1280, "83"),
    Partition("data", 64, "83"),
)
"""Root B is empty until the first update of the system. Data grows over the rest of the card."""
FIRST: Final = 4
"""MiB before the first partition: room for the boot loader's variables (image/environment.py)."""


def offsets(layout: Sequence[Partition]) -> list[int]:
    """Where each partition begins, in MiB."""
    starts, at = [], FIRST
    for partition in layout:
        starts.append(at)
        at += partition.size
    return starts


def size(layout: Sequence[Partition]) -> int:
    """The whole image in MiB."""
    return offsets(layout)[-1] + layout[-1].size


def table(layout: Sequence[Partition]) -> str:
    """What sfdisk is told."""
    per = MIB // SECTOR
    lines = ["label: dos", f"label-id: 0x{LABEL}", "unit: sectors", ""]
    for start, partition in zip(offsets(layout), layout, strict=True):
        active = ", bootable" if partition.boots else ""
        lines.append(f"start={start * per}, size={partition.size * per}, type={partition.kind}{active}")
    return "\n".join(lines) + "\n"


def fill(root: Path, boot: Path, image: Path, tools: Path, epoch: int, log: Path) -> None:
    """Makes `image` of the trees `root` and `boot`, and an empty data partition. Same trees, same bytes."""
    work = image.parent / "parts"
    work.mkdir()
    _clamp(root, epoch)
    _clamp(boot, epoch)
    parts = [work / partition.name for partition in LAYOUT]
    for part, partition in zip(parts, LAYOUT, strict=True):
        with part.open("wb") as file:
            file.truncate(partition.size * MIB)
    environment = {"SOURCE_DATE_EPOCH": str(epoch), "E2FSPROGS_FAKE_TIME": str(epoch), "TZ": "UTC"}
    # No journal where nothing is written. The data's measures are a card's, not those of 64 MiB: it grows.
    root_options = [
        "-E",
        f"hash_seed={ROOT_UUID},root_owner=0:0",
        "-O",
        "^has_journal",
        "-U",
        ROOT_UUID,
        "-L",
        "root",
    ]
    data_options = [
        "-E",
        f"hash_seed={DATA_UUID},root_owner=0:0",
        "-b",
        "4096",
        "-i",
        "16384",
        "-J",
        "size=8",
    ]
    with trees.entered(tools, (root, "/srv/root"), (work, "/srv/parts")) as inside:
        ext4 = [*inside, "mke2fs", "-q", "-F", "-t", "ext4", "-m", "0"]
        made = [*ext4, *root_options, "-d", "/srv/root", "/srv/parts/root-a"]
        trees.run(made, log, environment=environment)
        made = [*ext4, *data_options, "-U", DATA_UUID, "-L", "data", "/srv/parts/data"]
        trees.run(made, log, environment=environment)
    fill_boot(boot, parts[0], environment, log)
    assemble(parts, image, log)
    shutil.rmtree(work)


def fill_boot(boot: Path, part: Path, environment: Mapping[str, str], log: Path) -> None:
    """Makes the file `part`, of the partition's size already, a FAT file system with what is in `boot`."""
    trees.run(
        ["mkfs.vfat", "-F", "32", "-n", "BOOT", "-i", LABEL, "--invariant", part],
        log,
        environment=environment,
    )
    names = sorted(boot.iterdir())
    trees.run(["mcopy", "-m", "-s", "-Q", "-i", part, *names, "::/"], log, environment=environment)


def assemble(parts: Sequence[Path], image: Path, log: Path) -> None:
    """Writes the partition table and the partitions into `image`, sparse."""
    with image.open("wb") as file:
        file.truncate(size(LAYOUT) * MIB)
    script = image.with_name("table")
    script.write_text(table(LAYOUT))
    trees.run(["sh", "-c", f"sfdisk --quiet '{image}' < '{script}'"], log)
    script.unlink()
    for part, start in zip(parts, offsets(LAYOUT), strict=True):
        trees.run(
            [
                "dd",
                f"if={part}",
                f"of={image}",
                "bs=1M",
                f"seek={start}",
                "conv=notrunc,sparse",
                "status=none",
            ],
            log,
        )


def _clamp(tree: Path, epoch: int) -> None:
    """No file is newer than the commit that the image is made from."""
    for folder, folders, files in os.walk(tree, topdown=False):
        for name in [*folders, *files]:
            path = Path(folder, name)
            if os.lstat(path).st_mtime > epoch:
                os.utime(path, (epoch, epoch), follow_symlinks=False)
    os.utime(tree, (epoch, epoch))
