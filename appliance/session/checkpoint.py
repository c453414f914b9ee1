"""Where a conversation stood, so that it goes on after a power cut or a restart.

Kept for the room: a call and a client are gone with the connection. Times are Unix seconds.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Protocol

from appliance.interfaces import CalledTool, HistoryItem

WINDOW_SECONDS: Final = 2 * 3600.0
"""How long a provider's handle holds, and how old a conversation may be that is gone on with."""
WRITE_SECONDS: Final = 1.0
ITEMS_BOUND: Final = 60
Item = HistoryItem | CalledTool
_KINDS: Final[Mapping[str, type[HistoryItem] | type[CalledTool]]] = {
    "said": HistoryItem,
    "called": CalledTool,
}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`handle` is the one that `provider` gave at `handle_at`, or empty."""

    line: str
    session: str
    agent: str
    language: str
    provider: str
    handle: str
    handle_at: float
    history: tuple[Item, ...]
    at: float


class CheckpointShelf(Protocol):
    """Where checkpoints are kept, one a line. Nothing here waits or fails."""

    def keep_checkpoint(self, row: Mapping[str, Any]) -> None: ...

    def drop_checkpoint(self, line: str) -> None: ...


class Checkpoints:
    """Those of the last run, until they are taken; and the way to the shelf for those of this run."""

    def __init__(self, shelf: CheckpointShelf | None = None, clock: Callable[[], float] = time.time) -> None:
        self._shelf = shelf
        self._clock = clock
        self._left: dict[str, Checkpoint] = {}

    def load(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """What the last run left. A row that cannot be read is dropped."""
        for row in rows:
            try:
                self._left[row["line"]] = decode(row)
            except (KeyError, TypeError, ValueError):
                self.drop(str(row["line"]))

    def take(self, line: str, agent: str, language: str) -> Checkpoint | None:
        """The conversation to go on with, once; None where there is none, or it is too old or another agent's."""
        left = self._left.pop(line, None)
        if left is None:
            return None
        # A clock without a battery may be behind after a power cut.
        fresh = abs(self._clock() - left.at) <= WINDOW_SECONDS
        if fresh and (left.agent, left.language) == (agent, language):
            return left
        self.drop(line)
        return None

    def keep(self, checkpoint: Checkpoint) -> None:
        if self._shelf is not None:
            self._shelf.keep_checkpoint(encode(checkpoint))

    def drop(self, line: str) -> None:
        """That conversation is over."""
        if self._shelf is not None:
            self._shelf.drop_checkpoint(line)

    def now(self) -> float:
        return self._clock()


class Bookmark:
    """One session's: `look` keeps a checkpoint when something has changed, at most one a second."""

    def __init__(self, checkpoints: Checkpoints, line: str, session: str, agent: str, language: str) -> None:
        self._checkpoints = checkpoints
        self._line, self._session, self._agent, self._language = line, session, agent, language
        self._kept: tuple[Sequence[Item], tuple[str, str]] = ((), ("", ""))
        self._handle_at = 0.0
        self._kept_at = -WRITE_SECONDS

    def look(self, history: tuple[Item, ...], handle: tuple[str, str], now: float) -> None:
        """`handle` is the provider in use and its handle or ""; `now` monotonic."""
        if now - self._kept_at < WRITE_SECONDS:
            return
        self.write(history, handle)
        self._kept_at = now

    def write(self, history: tuple[Item, ...], handle: tuple[str, str]) -> None:
        """Keep it now, if anything has changed."""
        if (history, handle) == self._kept or not (history or handle[1]):
            return
        at = self._checkpoints.now()
        if handle != self._kept[1]:
            self._handle_at = at
        self._kept = history, handle
        checkpoint = Checkpoint(
            self._line,
            self._session,
            self._agent,
            self._language,
            *handle,
            self._handle_at,
            history[-ITEMS_BOUND:],
            at,
        )
        self._checkpoints.keep(checkpoint)

    def drop(self) -> None:
        """The session ended by itself."""
        self._checkpoints.drop(self._line)


def encode(checkpoint: Checkpoint) -> dict[str, Any]:
    """As a row of the store: the history is JSON."""
    history = [
        {"kind": next(kind for kind, form in _KINDS.items() if isinstance(item, form)), **asdict(item)}
        for item in checkpoint.history
    ]
    row = {name.name: getattr(checkpoint, name.name) for name in fields(checkpoint)}
    return row | {"history": json.dumps(history, ensure_ascii=False)}


def decode(row: Mapping[str, Any]) -> Checkpoint:
    """Raise KeyError, TypeError or ValueError for a row that is none. Calls without an outcome are left out."""
    items = [_item(entry) for entry in json.loads(row["history"])]
    known = tuple(item for item in items if isinstance(item, HistoryItem) or item.outcome is not None)
    return Checkpoint(**{name.name: row[name.name] for name in fields(Checkpoint)} | {"history": known})


def _item(entry: Mapping[str, Any]) -> Item:
    form = _KINDS[entry["kind"]]
    names = {name.name for name in fields(form)}
    return form(**{key: value for key, value in entry.items() if key in names})
