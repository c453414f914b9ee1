"""The database's file: opened as the newest schema, and what its faults mean."""

import errno
import sqlite3
from importlib import resources
from pathlib import Path
from typing import Final

from appliance import private
from appliance.disk_faults import FULL, unwritable
from appliance.errors import StoreUnavailable

_SCRIPTS: Final = ("history.sql", "usage.sql", "calls.sql")
SCHEMA_VERSION: Final = len(_SCRIPTS)
"""Version N is what the first N scripts make."""
DISK_FULL: Final = "disk_full"
_DAMAGED: Final = frozenset({"SQLITE_NOTADB", "SQLITE_CORRUPT"})
_NUMBERS: Final = {"SQLITE_FULL": errno.ENOSPC, "SQLITE_IOERR": errno.EIO}
"""What the kernel calls the same."""
_LOST: Final = ("SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_READONLY")


def open_file(path: Path) -> sqlite3.Connection:
    """Open or make it. Raise sqlite3.DatabaseError, OSError, or StoreUnavailable where a newer Handset wrote it."""
    private.make_directory(path.parent)
    # Before SQLite opens it: its -wal and -shm take the rights of the database.
    open(path, "ab", opener=private.opener).close()
    private.tighten(path.parent.glob("handset*.db*"))
    connection = sqlite3.connect(path, timeout=2.0)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # With NORMAL, a power cut takes all that the kernel has not written by itself: half a minute.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("file is not a database: quick_check failed")
        _migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def is_damage(error: sqlite3.Error) -> bool:
    """The file holds no database, or one that is broken."""
    return _name(error) in _DAMAGED or "not a database" in str(error)


def is_loss(error: sqlite3.Error) -> bool:
    """The file system under it failed, went away or takes no writing: what was opened before works no more."""
    return _name(error).startswith(_LOST)


def judged(error: Exception, path: Path) -> tuple[str, str]:
    """The code and the remedy of a fault."""
    if isinstance(error, StoreUnavailable):
        return error.code, error.hint
    fault = _of_the_disk(error)
    _, hint = unwritable(fault, f"see the rights of {path.parent}, and whether it was mounted read-only")
    return DISK_FULL if fault.errno in FULL else StoreUnavailable.code, hint


def _of_the_disk(error: Exception) -> OSError:
    if isinstance(error, OSError):
        return error
    name = _name(error)
    number = next((number for kind, number in _NUMBERS.items() if name.startswith(kind)), None)
    return OSError(number, str(error))


def _name(error: Exception) -> str:
    return str(getattr(error, "sqlite_errorname", ""))


def _migrate(connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise StoreUnavailable(
            f"the database was written by a newer Handset (schema {version})",
            hint="take that release again; or move the file away, and a new history begins",
        )
    for number, name in enumerate(_SCRIPTS[version:], version + 1):
        script = resources.files("appliance.store").joinpath(name).read_text(encoding="utf-8")
        connection.executescript(f"BEGIN; {script} PRAGMA user_version = {number}; COMMIT;")
