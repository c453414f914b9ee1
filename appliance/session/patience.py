"""How long a session waits before it does something about it. Pure: the caller tells the time and what it sees."""

from dataclasses import dataclass
from enum import StrEnum, auto
from typing import Final

ANSWER_SECONDS: Final = 20.0
OUTAGE_SECONDS: Final = 60.0
"""While the provider is being dialled again the journal holds the turn: the person may wait as long as it does."""
HOPELESS_SECONDS: Final = 1.0
STALL_SECONDS: Final = 5.0


class Verdict(StrEnum):
    NO_ANSWER = auto()
    """An answer is owed, and nothing has come for too long."""
    STALLED = auto()
    """Something is to be played, and no device takes it."""
    IDLE = auto()
    """Nobody has done anything for the idle time-out."""


@dataclass(frozen=True, slots=True)
class Sight:
    """`answer_within` are the seconds that an owed answer may take, None when none is owed; `heard_ms` is the progress
    of what sounds, None while nothing should be moving."""

    answer_within: float | None
    idle: bool
    heard_ms: float | None


def answer_within(*, up: bool, hopeless: bool) -> float:
    """`hopeless`: no provider will be dialled for a long time."""
    if hopeless:
        return HOPELESS_SECONDS
    return ANSWER_SECONDS if up else OUTAGE_SECONDS


class Patience:
    def __init__(self, idle_timeout: float, now: float) -> None:
        self._idle_timeout = idle_timeout
        self._stirred_at = now
        self._moved_at = now
        self._heard_ms: float | None = None

    def stir(self, now: float) -> None:
        """Something happened."""
        self._stirred_at = now

    def look(self, sight: Sight, now: float) -> Verdict | None:
        if sight.heard_ms is None or sight.heard_ms != self._heard_ms:
            self._moved_at = now
        self._heard_ms = sight.heard_ms
        if now - self._moved_at >= STALL_SECONDS:
            self._moved_at = now
            return Verdict.STALLED
        if sight.heard_ms is not None:
            self._stirred_at = now
        waited = now - self._stirred_at
        if sight.answer_within is not None:
            return Verdict.NO_ANSWER if waited >= sight.answer_within else None
        if not sight.idle:
            self._stirred_at = now
            return None
        return Verdict.IDLE if waited >= self._idle_timeout else None
