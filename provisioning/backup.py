"""The verb `backup`: settings, secrets, history and the rest of the state in one file, sealed with a passphrase."""

import argparse
import getpass
import os
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import IO, Final

from appliance.config.load import load
from appliance.errors import NotPossible, RequestInvalid
from provisioning import archive, sealing
from provisioning.archive import Manifest
from provisioning.belongings import DATABASE, Belongings, without_secrets

_PAGES: Final = 1024
"""Copied at a time: the daemon goes on writing in between."""


def backup(args: argparse.Namespace) -> int:
    """Write the file F, for its owner alone, all of it or nothing; "-" is standard output."""
    root = Path(args.root)
    what = Belongings.here(root)
    passphrase = None if args.without_secrets else given_passphrase(args.passphrase_file, new=True)
    target = None if args.file == "-" else _file(Path(args.file).absolute())
    try:
        with tempfile.TemporaryDirectory(
            prefix=".handset-backup-", dir=target.parent if target else None
        ) as place:
            packed, manifest = pack(
                what, Path(place), secrets=passphrase is not None, recordings=args.recordings
            )
            if passphrase is not None:
                packed = _sealed(packed, passphrase)
            _deliver(packed, target)
    except OSError as error:
        raise NotPossible(
            f"the backup cannot be written: {error.strerror}", hint="make room, or another place"
        ) from error
    _tell(manifest, target, sealed=passphrase is not None)
    return 0


def _file(path: Path) -> Path:
    """`path`, where a file can be made there; else NotPossible."""
    if path.is_dir():
        raise NotPossible(f"{path} is a directory", hint=f"name a file in it: {path / 'kitchen.handset'}")
    if not path.parent.is_dir():
        raise NotPossible(f"there is no directory {path.parent}", hint="make it, or name another place")
    return path


def pack(what: Belongings, place: Path, *, secrets: bool, recordings: bool = False) -> tuple[Path, Manifest]:
    """The archive, made in the directory `place`; without `secrets`, settings that hold some lose them."""
    files: dict[str, Path] = {}
    left_out: list[str] = []
    for name, path in what.settings_files():
        if secrets:
            files[name] = path
        elif (text := without_secrets(path.read_text(encoding="utf-8"))) is not None:
            files[name] = place / f"settings-{len(files)}"
            files[name].write_text(text, encoding="utf-8")
        else:
            left_out.append(str(path))
    if secrets:
        files |= dict(what.secret_files())
    files |= dict(what.state_files(recordings=recordings))
    schema = 0
    if (what.state / DATABASE).is_file():
        schema = copy_database(what.state / DATABASE, place / DATABASE)
        files[f"state/{DATABASE}"] = place / DATABASE
    if not files:
        raise NotPossible(
            f"there is nothing to back up in {what.settings} and {what.state}", hint="see storage.directory"
        )
    for one in left_out:
        print(f"left out, because it may hold a secret: {one}", file=sys.stderr)
    configured = load(environ={}, root=what.root).sound
    manifest = Manifest(
        version("handset"),
        schema,
        time.time(),
        configured.device.name if configured else "",
        secrets,
        _names(files),
    )
    packed = place / "backup.tar.gz"
    with packed.open("xb") as target:
        packed.chmod(0o600)
        archive.write(target, manifest, files)
    return packed, manifest


def _names(files: dict[str, Path]) -> dict[str, dict[str, int]]:
    return {name: {"size": path.stat().st_size} for name, path in files.items()}


def copy_database(source: Path, target: Path) -> int:
    """A consistent copy while others write, by SQLite's own means. Return its schema's version; raise NotPossible."""
    try:
        with (
            closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True, timeout=10.0)) as there,
            closing(sqlite3.connect(target)) as here,
        ):
            there.backup(here, pages=_PAGES, sleep=0.01)
            if here.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                raise NotPossible(
                    f"{source} is damaged", hint="start the daemon: it begins a new one, and keeps this"
                )
            here.execute("PRAGMA journal_mode = DELETE")
            found: int = here.execute("PRAGMA user_version").fetchone()[0]
            return found
    except sqlite3.Error as error:
        raise NotPossible(
            f"{source} cannot be copied: {error}", hint="as root, or when the daemon is stopped"
        ) from error


def _sealed(packed: Path, passphrase: str) -> Path:
    sealed = packed.with_suffix(".sealed")
    with packed.open("rb") as source, sealed.open("xb") as target:
        sealed.chmod(0o600)
        sealing.seal(source, target, passphrase)
    return sealed


def _deliver(packed: Path, target: Path | None) -> None:
    with packed.open("rb") as source:
        os.fsync(source.fileno())
        if target is None:
            shutil.copyfileobj(source, sys.stdout.buffer)
            return
    packed.rename(target)


def _tell(manifest: Manifest, target: Path | None, *, sealed: bool) -> None:
    size = sum(entry["size"] for entry in manifest.files.values())
    kind = (
        "sealed with your passphrase: without it nobody opens it, you neither"
        if sealed
        else "without secrets"
    )
    print(
        f"{target or 'standard output'}: {len(manifest.files)} files, {size / 1e6:.1f} MB, {kind}",
        file=sys.stderr,
    )


def given_passphrase(file: str | None, *, new: bool) -> str:
    """From the file, or from whoever sits at the terminal; a new one is asked for twice."""
    if file:
        try:
            found = Path(file).read_text(encoding="utf-8").strip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise RequestInvalid(
                f"{file} cannot be read", hint="name a file whose first line is the passphrase"
            ) from error
    elif sys.stdin.isatty():
        found = getpass.getpass("Passphrase of the backup: ")
        if new and found != getpass.getpass("Once more: "):
            raise RequestInvalid("these were two different passphrases")
    else:
        raise RequestInvalid(
            "a backup with passwords and keys needs a passphrase",
            hint="name a file that holds one: --passphrase-file P; or leave secrets out: --without-secrets",
        )
    if new and len(found) < sealing.SHORTEST:
        raise RequestInvalid(f"the passphrase is too short: at least {sealing.SHORTEST} characters")
    return found


@contextmanager
def open_backup(source: IO[bytes], place: Path, passphrase_file: str | None) -> Iterator[IO[bytes]]:
    """The archive in `source`, unsealed into `place` where it is sealed."""
    begins = source.read(len(sealing.MAGIC))
    source.seek(0)
    if begins != sealing.MAGIC:
        yield source
        return
    with (place / "unsealed.tar.gz").open("x+b") as opened:
        sealing.unseal(source, opened, given_passphrase(passphrase_file, new=False))
        opened.seek(0)
        yield opened
