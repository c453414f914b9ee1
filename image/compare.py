"""Two disk images, compared: which partitions differ, and in them which files, and in what. Pure but for reading."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from image import disk
from image.publication import sha256

_SHOWN: Final = 40


@dataclass(frozen=True, slots=True)
class File:
    """What is compared of a file; `content` is a digest, or where a link leads."""

    mode: str
    owner: str
    content: str


def between(one: Mapping[str, File], two: Mapping[str, File]) -> Iterator[str]:
    """One line for each file that is not the same in both, by name."""
    for path in sorted({*one, *two}):
        first, second = one.get(path), two.get(path)
        if first is None or second is None:
            yield f"only in {'A' if second is None else 'B'}: {path}"
        elif first != second:
            what = [
                field.name
                for field in fields(File)
                if getattr(first, field.name) != getattr(second, field.name)
            ]
            yield f"{', '.join(what)}: {path}"


def differences(one: Path, two: Path) -> list[str]:
    """What differs, in lines; empty where the images are the same. Raise OSError for what cannot be read."""
    if sha256(one) == sha256(two):
        return []
    told: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        pieces = [("the gap before the partitions", 0, disk.FIRST)]
        starts = disk.offsets(disk.LAYOUT)
        pieces += [(part.name, start, part.size) for part, start in zip(disk.LAYOUT, starts, strict=True)]
        for name, start, size in pieces:
            cut = [_cut(image, start, size, work / f"{number}") for number, image in enumerate((one, two))]
            if sha256(cut[0]) == sha256(cut[1]):
                continue
            told.append(f"{name}: differs in {_bytes(*cut)} bytes")
            lines = list(
                between(*[_tree(name, path, work / f"tree{number}") for number, path in enumerate(cut)])
            )
            told += [f"  {line}" for line in lines[:_SHOWN]]
            if len(lines) > _SHOWN:
                told.append(f"  and {len(lines) - _SHOWN} more")
            if not lines:
                told.append("  no file differs: the file system's own numbers do")
    return told


def _cut(image: Path, start: int, size: int, target: Path) -> Path:
    subprocess.run(
        [
            "dd",
            f"if={image}",
            f"of={target}",
            "bs=1M",
            f"skip={start}",
            f"count={size}",
            "conv=sparse",
            "status=none",
        ],
        check=True,
    )
    return target


def _bytes(one: Path, two: Path) -> int:
    done = subprocess.run(["cmp", "-l", str(one), str(two)], capture_output=True, check=False)
    return done.stdout.count(b"\n")


def _tree(name: str, partition: Path, into: Path) -> dict[str, File]:
    """The files of a partition, read without mounting it; none of what is no file system of ours."""
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir()
    if name == "boot":
        subprocess.run(["mcopy", "-s", "-n", "-Q", "-i", str(partition), "::/", str(into)], check=True)
    elif name.startswith("root"):
        subprocess.run(["debugfs", "-R", f"rdump / {into}", str(partition)], check=False, capture_output=True)
    return {
        str(path.relative_to(into)): _file(path)
        for path in sorted(into.rglob("*"))
        if path.name != "lost+found"
    }


def _file(path: Path) -> File:
    status = path.lstat()
    content = "folder"
    if path.is_symlink():
        content = f"-> {path.readlink()}"
    elif path.is_file():
        content = sha256(path)
    return File(f"{status.st_mode:o}", f"{status.st_uid}:{status.st_gid}", content)
