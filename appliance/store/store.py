"""SQLite: history, usage by day, and where a conversation stands. WAL, foreign keys, one writer thread, power-cut safe.

Writing never blocks the loop and never fails a conversation: a full disk or a broken file stops the history with one
warning, and talking goes on. A database that cannot be read is moved aside, told, and a new one is begun.
"""

import contextlib
import json
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from appliance.errors import StoreUnavailable, UnknownName
from appliance.store import database

_CHECKPOINT: Final = (
    "line", "session", "agent", "language", "provider", "handle", "handle_at", "history", "at",
)  # fmt: skip
_QUEUE_BOUND: Final = 2000
_RETRY_SECONDS: Final = 60.0
_TOLD_SECONDS: Final = 600.0
_CLOSE_SECONDS: Final = 3.0
_BROKEN_KEPT: Final = 3
_Warn = Callable[[str, str, str], None]
_Write = tuple[str, tuple[Any, ...]]
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One finished call. Times are Unix seconds; `connected_at` is None where nobody answered."""

    call: str
    direction: str
    peer: str
    started_at: float
    connected_at: float | None
    ended_at: float
    code: int = 0
    reason: str = ""
    session: str | None = None
    by_agent: bool = False
    """An agent's tool dialled it."""
    quality: str = ""
    """JSON: how it was to hear, as the event `call.quality` tells it; empty where nothing was measured."""


class Store:
    """`directory` holds handset.db; `warn(code, message, hint)` is called, on any thread, when something is wrong."""

    def __init__(self, directory: Path, warn: _Warn) -> None:
        self._path = directory / "handset.db"
        self._warn = warn
        self.on_condition: Callable[[str, str], None] = lambda *_: None
        """Called on any thread: with reason and remedy when writing fails, with empty ones when it works again."""
        self._writes: queue.Queue[_Write | threading.Event | None] = queue.Queue(_QUEUE_BOUND)
        self._dropped = 0
        self._failing = False
        self._told_until: dict[str, float] = {}
        self._retry_at = 0.0
        self._reader: sqlite3.Connection | None = None
        self._reading = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="store", daemon=True)

    def open(self) -> None:
        """Open or create the database and start the writer. A database that cannot be had is told, not raised."""
        self._thread.start()

    def close(self) -> None:
        """Write what is queued and close; at most 3 s."""
        # The reader first: only a writer that is the last to close brings the database up to date and removes its WAL.
        with self._reading:
            self._closed = True
            self._close_reader()
        with contextlib.suppress(queue.Full):
            self._writes.put(None, timeout=0.5)
        if self._thread.ident is not None:
            self._thread.join(_CLOSE_SECONDS)

    def begin_session(self, session: str, line: str, agent: str, at: float, user: str = "") -> None:
        self._put(
            "INSERT OR IGNORE INTO session (id, line, agent, user, started_at) VALUES (?, ?, ?, ?, ?)",
            (session, line, agent, user, at),
        )

    def add_turn(
        self,
        session: str,
        turn: int,
        role: str,
        text: str,
        heard: str | None,
        at: float,
    ) -> None:
        self._put(
            "INSERT INTO turn (session, turn, role, text, heard, at) VALUES (?, ?, ?, ?, ?, ?)",
            (session, turn, role, text, heard, at),
        )

    def end_session(self, session: str, reason: str, at: float) -> None:
        self._put(
            "UPDATE session SET ended_at = ?, reason = ? WHERE id = ?",
            (at, reason, session),
        )

    def add_call(self, record: CallRecord) -> None:
        r = record
        self._put(
            "INSERT INTO call (id, direction, peer, session, started_at, connected_at, ended_at, code, reason,"
            " by_agent, quality) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                r.call,
                r.direction,
                r.peer,
                r.session,
                r.started_at,
                r.connected_at,
                r.ended_at,
                r.code,
                r.reason,
                int(r.by_agent),
                r.quality,
            ),
        )

    def add_talk(self, day: str, provider: str, seconds: float) -> None:
        """Add talk time of a day (YYYY-MM-DD) with a provider."""
        self._put(
            "INSERT INTO talk (day, provider, seconds) VALUES (?, ?, ?)"
            " ON CONFLICT (day, provider) DO UPDATE SET seconds = seconds + excluded.seconds",
            (day, provider, seconds),
        )

    def add_usage(
        self, day: str, provider: str, unit: str, input_amount: float, output_amount: float
    ) -> None:
        """Add what a provider reported of a day; `unit` tokens or seconds."""
        self._put(
            "INSERT INTO usage (day, provider, unit, input, output) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (day, provider, unit) DO UPDATE"
            " SET input = input + excluded.input, output = output + excluded.output",
            (day, provider, unit, float(input_amount), float(output_amount)),
        )

    def keep_checkpoint(self, row: Mapping[str, Any]) -> None:
        """Put it in the place of the line's last one; the keys are the table's columns."""
        self._put(
            "INSERT OR REPLACE INTO checkpoint"
            " (line, session, agent, language, provider, handle, handle_at, history, at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            tuple(row[name] for name in _CHECKPOINT),
        )

    def drop_checkpoint(self, line: str) -> None:
        self._put("DELETE FROM checkpoint WHERE line = ?", (line,))

    def talk(self) -> list[dict[str, Any]]:
        """Talk time by `day` and `provider`, in `seconds`; the newest rows, at most 500."""
        return self._read("SELECT day, provider, seconds FROM talk ORDER BY day DESC LIMIT 500", ())

    def usage(self) -> list[dict[str, Any]]:
        """What was reported by `day`, `provider` and `unit`: `input`, `output`; the newest rows, at most 500."""
        return self._read(
            "SELECT day, provider, unit, input, output FROM usage ORDER BY day DESC LIMIT 500", ()
        )

    def checkpoints(self) -> list[dict[str, Any]]:
        """One row a line."""
        return self._read("SELECT * FROM checkpoint", ())

    def list_sessions(self, limit: int = 50, before: float | None = None) -> list[dict[str, Any]]:
        """The newest sessions first, those begun before `before` (Unix seconds); at most 500."""
        return self._read(
            "SELECT id, line, agent, user, started_at, ended_at, reason,"
            " (SELECT count(*) FROM turn WHERE turn.session = session.id) AS turns"
            " FROM session WHERE started_at < ? ORDER BY started_at DESC LIMIT ?",
            (before if before is not None else float("inf"), _bounded(limit)),
        )

    def get_session(self, session: str) -> dict[str, Any]:
        """One session with its turns in order. Raise UnknownName."""
        rows = self._read(
            "SELECT id, line, agent, user, started_at, ended_at, reason FROM session WHERE id = ?",
            (session,),
        )
        if not rows:
            raise UnknownName(
                f"there is no session {session} in the history",
                hint="history.list shows those there are",
            )
        turns = self._read(
            "SELECT turn, role, text, heard, at FROM turn WHERE session = ? ORDER BY at, rowid",
            (session,),
        )
        return {**rows[0], "turns": turns}

    def list_calls(self, limit: int = 50, before: float | None = None) -> list[dict[str, Any]]:
        """The newest calls first, those begun before `before` (Unix seconds); at most 500."""
        rows = self._read(
            "SELECT id AS call, direction, peer, session, started_at, connected_at, ended_at, code, reason,"
            " by_agent, quality FROM call"
            " WHERE started_at < ? ORDER BY started_at DESC LIMIT ?",
            (before if before is not None else float("inf"), _bounded(limit)),
        )
        return [
            {
                **row,
                "by_agent": bool(row["by_agent"]),
                "quality": json.loads(row["quality"]) if row["quality"] else None,
            }
            for row in rows
        ]

    def dialled_by_agents(self, since: float) -> list[tuple[str, float]]:
        """Whom agents called since then (Unix seconds), and for how many seconds they talked."""
        rows = self._read(
            "SELECT peer, coalesce(ended_at - connected_at, 0) AS seconds FROM call"
            " WHERE by_agent = 1 AND started_at >= ?",
            (since,),
        )
        return [(row["peer"], row["seconds"]) for row in rows]

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until all that was put so far is written; False when the time was too short."""
        done = threading.Event()
        try:
            self._writes.put(done, timeout=timeout)
        except queue.Full:
            return False
        return done.wait(timeout)

    def counters(self) -> Mapping[str, int]:
        return {
            "queued": self._writes.qsize(),
            "dropped": self._dropped,
            "failing": int(self._failing),
        }

    def _put(self, statement: str, values: tuple[Any, ...]) -> None:
        try:
            self._writes.put_nowait((statement, tuple(_storable(value) for value in values)))
        except queue.Full:
            self._dropped += 1

    def _read(self, statement: str, values: tuple[Any, ...]) -> list[dict[str, Any]]:
        self.flush(1.0)
        try:
            with self._reading:
                if self._closed:
                    raise StoreUnavailable("the history is closed", hint="the appliance is stopping")
                if self._reader is None:
                    self._reader = sqlite3.connect(
                        f"file:{self._path}?mode=ro",
                        uri=True,
                        timeout=1.0,
                        check_same_thread=False,
                    )
                    self._reader.row_factory = sqlite3.Row
                return [dict(row) for row in self._reader.execute(statement, values)]
        except sqlite3.Error as error:
            if database.is_loss(error):
                with self._reading:
                    self._close_reader()
            raise StoreUnavailable(
                f"the history cannot be read: {error}", hint=f"see {self._path}"
            ) from error

    def _close_reader(self) -> None:
        """With the lock held."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _run(self) -> None:
        connection = self._connect()
        while True:
            item = self._writes.get()
            if item is None:
                break
            if isinstance(item, threading.Event):
                item.set()
                continue
            if connection is None and time.monotonic() >= self._retry_at:
                connection = self._connect()
            connection = self._write(connection, item)
        if connection is not None:
            connection.close()

    def _write(self, connection: sqlite3.Connection | None, item: _Write) -> sqlite3.Connection | None:
        if connection is None:
            self._dropped += 1
            return None
        try:
            with connection:
                connection.execute(*item)
        except sqlite3.Error as error:
            self._dropped += 1
            # A turn of a session that was itself not written is no new fault.
            if not isinstance(error, sqlite3.IntegrityError):
                self._tell_failing(error)
            if database.is_damage(error):
                connection.close()
                return self._connect()
            if database.is_loss(error):
                # Whoever holds the files of a disk that is gone never sees them again, nor lets it be mounted anew.
                connection.close()
                with self._reading:
                    self._close_reader()
                return None
        else:
            self._recovered()
        return connection

    def _connect(self) -> sqlite3.Connection | None:
        try:
            return database.open_file(self._path)
        except sqlite3.DatabaseError as error:
            if not database.is_damage(error):
                self._tell_failing(error)
                return None
        except (OSError, StoreUnavailable) as error:
            self._tell_failing(error)
            return None
        try:
            self._move_aside()
            return database.open_file(self._path)
        except (sqlite3.Error, OSError) as error:
            self._tell_failing(error)
            return None

    def _move_aside(self) -> None:
        aside = self._path.with_name(f"handset.broken-{time.strftime('%Y%m%d-%H%M%S')}.db")
        for suffix in ("", "-wal", "-shm"):
            source = Path(f"{self._path}{suffix}")
            if source.exists():
                source.rename(f"{aside}{suffix}")
        with self._reading:
            self._close_reader()
        self._forget_oldest()
        logger.warning("the history was damaged: moved to %s, a new one begun", aside)
        self._warn(
            "store_damaged",
            f"the history was damaged; it was moved to {aside.name} and a new one was begun",
            str(aside),
        )

    def _forget_oldest(self) -> None:
        """Of damaged databases the newest are kept: on a card that fails there may be one a day."""
        for old in sorted(self._path.parent.glob("handset.broken-*.db"))[:-_BROKEN_KEPT]:
            for suffix in ("", "-wal", "-shm"):
                Path(f"{old}{suffix}").unlink(missing_ok=True)

    def _tell_failing(self, error: Exception) -> None:
        self._retry_at = time.monotonic() + _RETRY_SECONDS
        if self._failing:
            return
        self._failing = True
        code, hint = database.judged(error, self._path)
        self.on_condition(f"the history is not being written: {error}", hint)
        if time.monotonic() < self._told_until.get(code, 0.0):
            return
        # On a full disk a short write still finds room now and then: that is no new fault.
        self._told_until[code] = time.monotonic() + _TOLD_SECONDS
        logger.warning("history is not being written: %s", error)
        self._warn(code, f"history is not being written: {error}", hint)

    def _recovered(self) -> None:
        if self._failing:
            self._failing = False
            self.on_condition("", "")
            logger.info("the history is being written again")


def _storable(value: Any) -> Any:
    """Lone surrogates, which a service may send and no database takes, become question marks."""
    return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else value


def _bounded(limit: int) -> int:
    return max(1, min(500, limit))
