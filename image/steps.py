"""Steps of a build: each has a key made of all that it depends on, and is done once for a key.

A result is a folder `<cache>/<step>-<key>/`, which exists only when it is whole. The newest two of a step are kept.
"""

import hashlib
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

KEPT: Final = 2

Results = Mapping[str, Path]
"""Folders of steps that are done, by name."""


@dataclass(frozen=True, slots=True)
class Step:
    """`material` are texts and digests that decide what comes out, besides what the steps in `needs` made.

    `make(folder, results)` fills the empty folder or raises; it may not look at anything that `material` leaves out.
    """

    name: str
    title: str
    material: tuple[str, ...]
    needs: tuple[str, ...]
    make: Callable[[Path, Results], None]


def keys(steps: Sequence[Step]) -> dict[str, str]:
    """Each step's key, 16 hexadecimal digits. Steps come after what they need."""
    found: dict[str, str] = {}
    for step in steps:
        digest = hashlib.sha256(step.name.encode())
        for text in (*step.material, *(found[need] for need in step.needs)):
            digest.update(hashlib.sha256(text.encode()).digest())
        found[step.name] = digest.hexdigest()[:16]
    return found


def digest(paths: Iterable[Path], base: Path) -> str:
    """One digest of files: names relative to `base`, modes and contents; folders are walked."""
    total = hashlib.sha256()
    for path in sorted(_files(paths)):
        kind = "link" if path.is_symlink() else oct(path.stat().st_mode & 0o777)
        content = str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()
        total.update(f"{path.relative_to(base)} {kind} {hashlib.sha256(content).hexdigest()}\n".encode())
    return total.hexdigest()


def _files(paths: Iterable[Path]) -> Iterable[Path]:
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            yield from _files(child for child in path.iterdir() if child.name != "__pycache__")
        else:
            yield path


def run(
    steps: Sequence[Step],
    cache: Path,
    tell: Callable[[str], None],
    *,
    fresh: Iterable[str] = (),
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Path]:
    """Does what is not done yet, in order, and says so; result folders by step. `fresh` names steps to do anew."""
    found = keys(steps)
    results: dict[str, Path] = {}
    begun = clock()
    for number, step in enumerate(steps, 1):
        folder = cache / f"{step.name}-{found[step.name]}"
        head = f"[{number}/{len(steps)} {_elapsed(clock() - begun)}] {step.title}"
        if folder.exists() and step.name not in fresh:
            tell(f"{head}: kept from before")
        else:
            tell(head)
            _make(step, folder, results)
            _thin(cache, step.name, folder)
        results[step.name] = folder
    tell(f"done in {_elapsed(clock() - begun)}")
    return results


def _make(step: Step, folder: Path, results: Results) -> None:
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    step.make(part, results)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def _thin(cache: Path, name: str, newest: Path) -> None:
    older = [path for path in cache.glob(f"{name}-*") if path != newest]
    older.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for path in older[KEPT - 1 :]:
        shutil.rmtree(path, ignore_errors=True)


def _elapsed(seconds: float) -> str:
    return f"{int(seconds) // 60:d}:{int(seconds) % 60:02d}"
