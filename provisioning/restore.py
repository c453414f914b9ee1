"""The verb `restore`: what a backup holds, in place of what is there, which is kept beside it.

Everything is unpacked and checked before anything is touched. Then names change, within one directory each, after a
list of them was written: a power cut in between is made good at the next start (`finish`).
"""

import argparse
import contextlib
import json
import os
import shutil
import socket
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Final

from appliance.config.load import load
from appliance.errors import ApplianceError, NotPossible, RequestInvalid
from appliance.store.database import SCHEMA_VERSION
from provisioning import archive
from provisioning.archive import Damaged, Manifest, Newer
from provisioning.backup import open_backup
from provisioning.belongings import DATABASE, TOKENS, Belongings
from provisioning.effects import user_ids

_STAGED: Final = ".restoring"
_LIST: Final = "moves.json"
KEPT: Final = "before-restore-"
_CONNECT_SECONDS: Final = 1.0


def restore(args: argparse.Namespace) -> int:
    """Put the backup F in force. The daemon must be stopped. 0 when it is done; nothing has changed otherwise."""
    root = Path(args.root)
    what = Belongings.here(root)
    if root == Path("/") and (port := _running()):
        raise NotPossible(f"the daemon runs (port {port})", hint="stop it first: systemctl stop handset")
    finish(what)
    try:
        with Path(args.file).open("rb") as source:
            manifest, kept = put_back(source, what, args.passphrase_file)
    except FileNotFoundError as error:
        raise RequestInvalid(f"there is no file {args.file}", hint="correct the path") from error
    except OSError as error:
        raise NotPossible(
            f"it cannot be restored: {error.strerror}", hint="as root, with as much room as the backup takes"
        ) from error
    made = time.strftime("%Y-%m-%d %H:%M", time.localtime(manifest.made_at))
    print(f"restored: {len(manifest.files)} files of {made} ({manifest.device}, Handset {manifest.version})")
    print(f"what was there before: {', '.join(map(str, kept)) or 'nothing'}")
    if not manifest.secrets:
        print(
            "passwords and keys were not in it: handset check says which are missing, handset setup takes them"
        )
    return 0


def put_back(source: IO[bytes], what: Belongings, passphrase_file: str | None) -> tuple[Manifest, list[Path]]:
    """Restore the backup in the binary file `source`; return its manifest, and where the old things are now."""
    staged = {"settings": what.settings / _STAGED, "state": what.state / _STAGED}
    for directory in staged.values():
        directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(mode=0o700)
    try:
        place = staged["state"] / "unpacked"
        place.mkdir(mode=0o700)
        with open_backup(source, staged["state"], passphrase_file) as opened:
            manifest = archive.unpack(opened, place)
        _check_database(place / "state" / DATABASE, manifest)
        _sort(place, staged, what)
    except BaseException:
        for directory in staged.values():
            shutil.rmtree(directory, ignore_errors=True)
        raise
    stamp = time.strftime("%Y%m%d-%H%M%S")
    kept = [_list(directory, stamp, what, manifest) for directory in staged.values()]
    finish(what)
    return manifest, [path for path in kept if path is not None]


def _check_database(path: Path, manifest: Manifest) -> None:
    if manifest.schema > SCHEMA_VERSION:
        raise Newer(
            f"its history was written by Handset {manifest.version}, which is newer (schema {manifest.schema})"
        )
    if not path.exists():
        return
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as found:
            sound = found.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
            version = found.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.Error as error:
        raise Damaged("the history in it is damaged") from error
    if not sound or version > SCHEMA_VERSION:
        raise Damaged("the history in it is damaged")


def _sort(place: Path, staged: dict[str, Path], what: Belongings) -> None:
    """From the archive's areas to beside where each belongs, with the owners that they have there."""
    secrets = what.secrets.relative_to(what.settings) if what.secrets.is_relative_to(what.settings) else None
    targets = {
        "settings": staged["settings"] / "new",
        "secrets": staged["settings"] / "new" / secrets
        if secrets
        else staged["state"] / "new" / what.secrets.name,
        "state": staged["state"] / "new",
    }
    if not (place / "secrets").is_dir():
        del targets["secrets"]
    for area, target in targets.items():
        target.mkdir(mode=0o755 if area == "settings" else 0o700, parents=True, exist_ok=True)
        for path in sorted((place / area).rglob("*")) if (place / area).is_dir() else ():
            if path.is_file():
                to = target / path.relative_to(place / area)
                to.parent.mkdir(parents=True, exist_ok=True)
                path.rename(to)
                if area == "settings":
                    to.chmod(0o644)
    if "secrets" in targets:
        _own(targets["secrets"], what)
    _own(targets["state"], what, like=what.state)
    shutil.rmtree(place)
    for directory in staged.values():
        with contextlib.suppress(FileNotFoundError):
            (directory / "unsealed.tar.gz").unlink()


def _own(directory: Path, what: Belongings, like: Path | None = None) -> None:
    """Give it to the daemon's user, where we may: root restores, another user reads."""
    if os.geteuid() != 0:
        return
    ids = (like.stat().st_uid, like.stat().st_gid) if like else user_ids("handset", what.root)
    if ids:
        for path in (directory, *directory.rglob("*")):
            os.chown(path, *ids)


def _list(staged: Path, stamp: str, what: Belongings, manifest: Manifest) -> Path | None:
    """Write down which names move aside and which come: once that of the state is written, it is done."""
    home = staged.parent
    kept = home / f"{KEPT}{stamp}"
    apart = {what.settings, what.state} - {home}
    if not manifest.secrets:
        apart |= {what.secrets, what.state / TOKENS}
    old = [path.name for path in _movable(home) if path not in apart]
    new = sorted(path.name for path in (staged / "new").iterdir())
    draft = staged / f"{_LIST}.new"
    draft.write_text(json.dumps(asdict(_Moves(kept.name, old, new))), encoding="utf-8")
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    draft.rename(staged / _LIST)
    return kept if old else None


def _movable(home: Path) -> Iterator[Path]:
    for path in sorted(home.iterdir()):
        if path.name != _STAGED and not path.name.startswith(KEPT):
            yield path


@dataclass(frozen=True, slots=True)
class _Moves:
    """Names within one directory: those of `aside` go below `kept`, those of `new` come in."""

    kept: str
    aside: list[str]
    new: list[str]

    @property
    def sound(self) -> bool:
        names = (self.kept, *self.aside, *self.new)
        return self.kept.startswith(KEPT) and all(Path(name).name == name for name in names)


def _listed(staged: Path) -> _Moves | None:
    """The list of a restore that got so far, None where there is none of ours.

    The state directory is the daemon's: root follows no list and no link there that it did not make itself.
    """
    ours = _is_ours(staged, stat.S_ISDIR) and _is_ours(staged / _LIST, stat.S_ISREG)
    if not ours or (staged / "new").is_symlink():
        return None
    try:
        moves = _Moves(**json.loads((staged / _LIST).read_text(encoding="utf-8")))
        return moves if moves.sound and not (staged.parent / moves.kept).is_symlink() else None
    except (ValueError, TypeError, AttributeError):
        return None


def _is_ours(path: Path, kind: Callable[[int], bool]) -> bool:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    return kind(found.st_mode) and found.st_uid == os.geteuid()


def _carry_on(staged: Path, moves: _Moves) -> None:
    """Do what is left to do of the list: each step can be seen to have been done already."""
    home = staged.parent
    kept = home / moves.kept
    kept.mkdir(mode=0o700, exist_ok=True)
    waiting = {path.name for path in (staged / "new").iterdir()}
    for name in moves.aside:
        # What is in force already has left `new`: then the one at its place is not the old one.
        if (
            (home / name).exists()
            and not (kept / name).exists()
            and (name in waiting or name not in moves.new)
        ):
            (home / name).rename(kept / name)
    for name in sorted(waiting):
        (staged / "new" / name).rename(home / name)
    descriptor = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(descriptor)
    os.close(descriptor)
    shutil.rmtree(staged)
    with contextlib.suppress(OSError):
        kept.rmdir()


def finish(what: Belongings) -> bool:
    """Do what was listed: of a restore that was cut off, forward once all was listed, else away with it."""
    settings, state = what.settings / _STAGED, what.state / _STAGED
    listed = _listed(state) is not None
    for staged in (settings, state):
        if listed and (moves := _listed(staged)) is not None:
            _carry_on(staged, moves)
        elif staged.is_symlink():
            staged.unlink()
        else:
            shutil.rmtree(staged, ignore_errors=True)
    return listed


def _running() -> int:
    """The control port, where a daemon listens there; else 0."""
    with contextlib.suppress(ApplianceError, OSError):
        control = load().require().control
        with socket.create_connection((control.bind, control.port), timeout=_CONNECT_SECONDS):
            return control.port
    return 0
