"""How long a session waits before it does something about it. Pure: the caller tells the time and what it sees."""

from dataclasses import dataclass
from enum import StrEnum, auto
from typing import Final

ANSWER_SECONDS: Final = 20.0
OUTAGE_SECONDS: Final = 60.0
"""While the provider is being dialled again the journal holds the turn: the person may wait as long as it does."""
HOPELESS_SECONDS: Final = 1.0
STALL_SECONDS: Final = 5.0
ASK_SECONDS: Final = 15.0
ASK_SHARE: Final = 0.3
"""Of a short idle time-out, what is left when the person is asked."""


class Verdict(StrEnum):
    NO_ANSWER = auto()
    """An answer is owed, and nothing has come for too long."""
    STALLED = auto()
    """Something is to be played, and no device takes it."""
    STILL_THERE = auto()
    """Nobody has done anything for long: the person is to be asked."""
    IDLE = auto()
    """Nobody has done anything for the idle time-out."""


@dataclass(frozen=True, slots=True)
class Sight:
    """`answer_within` are the seconds that an owed answer may take, None when none is owed; `heard_ms` is the progress
    of what sounds, None while nothing should be moving; `turn` is the person's newest."""

    answer_within: float | None
    idle: bool
    heard_ms: float | None
    turn: int = 0


def answer_within(*, up: bool, hopeless: bool) -> float:
    """`hopeless`: no provider will be dialled for a long time."""
    if hopeless:
        return HOPELESS_SECONDS
    return ANSWER_SECONDS if up else OUTAGE_SECONDS


class Patience:
    """With `asks`, the person is asked before the idle time-out, and has what is left of it to answer."""

    def __init__(self, idle_timeout: float, now: float, *, asks: bool = False) -> None:
        self._left_to_answer = min(ASK_SECONDS, idle_timeout * ASK_SHARE) if asks else 0.0
        self._quiet_within = idle_timeout - self._left_to_answer
        self._asked = False
        self._turn = 0
        self._quiet_since = now
        self._stirred_at = now
        self._moved_at = now
        self._heard_ms: float | None = None

    def stir(self, now: float) -> None:
        """Something happened that an answer may be expected from."""
        self._stirred_at = now

    def wait(self, seconds: float) -> None:
        """So long nobody could talk, nor be heard: it counts for nothing."""
        self._quiet_since += seconds
        self._stirred_at += seconds
        self._moved_at += seconds

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
            self._quiet_since = now
            return Verdict.NO_ANSWER if waited >= sight.answer_within else None
        if not sight.idle:
            self._stirred_at = now
        return self._idle(sight, now)

    def _idle(self, sight: Sight, now: float) -> Verdict | None:
        if sight.turn != self._turn:
            self._turn, self._asked = sight.turn, False
        if not sight.idle or sight.heard_ms is not None:
            self._quiet_since = now
            return None
        quiet = now - self._quiet_since
        if self._asked or not self._left_to_answer:
            within = self._left_to_answer if self._asked else self._quiet_within
            return Verdict.IDLE if quiet >= within else None
        if quiet < self._quiet_within:
            return None
        # From here on the question's own end counts: an answer takes time.
        self._asked, self._quiet_since = True, now
        return Verdict.STILL_THERE
