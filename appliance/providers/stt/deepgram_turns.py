"""Turns in one stream of sound: which seconds of it belong to which turn, and what is told of each. Pure."""

import json
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from appliance.errors import ApplianceError
from appliance.stages import Ended, Spent, Transcript, TranscriptEvent

FINAL_SECONDS: Final = 2.0
"""How long the service may say nothing of a turn that was committed."""
LONGEST_FINAL: Final = 6.0
"""How long a final transcript may take in all, while the service still catches up."""
GRACE_SECONDS: Final = 0.3
"""The same where nothing is left to be transcribed, as far as is known: then it may say nothing at all."""
REST_SECONDS: Final = 0.3
"""So little sound may stay without an answer."""
_LATEST: Final = 1e7
_AHEAD: Final = 1.0
"""What a service says of sound that is so much beyond what was sent is no time at all."""


class Control(StrEnum):
    """What is sent beside sound."""

    FINALIZE = "Finalize"
    FORCE_END_TURN = "ForceEndTurn"
    KEEP_ALIVE = "KeepAlive"
    CLOSE_STREAM = "CloseStream"


@dataclass(slots=True)
class Spoken:
    """A turn between its first sound and its final transcript. Times are seconds of sound since the stream began."""

    turn: int
    start: float
    end: float
    carried: str = ""
    """What was understood of it before the service ended it for the first time."""
    pieces: list[str] = field(default_factory=list)
    interim: str = ""
    told: str = ""
    open: bool = True
    """More sound of it may come."""
    committed: float | None = None
    """When."""
    said_until: float = 0.0
    """Where its sound ended when it was committed: silence may follow."""
    due: float | None = None
    settled: bool = False
    """No more is to come from the service."""

    @property
    def text(self) -> str:
        return " ".join(filter(None, (self.carried, *self.pieces, self.interim)))


class Dialogue:
    """Base of both versions. `control` is what makes the service finish what it heard so far."""

    control: Control

    def __init__(self, *, server_turns: bool) -> None:
        self.events: deque[TranscriptEvent] = deque()
        self.outbox: deque[Control] = deque()
        self.counts: Counter[str] = Counter()
        self.fault: ApplianceError | None = None
        """The service said that it will do no more."""
        self.filling = False
        """The service wants to hear silence."""
        self.position = 0.0
        """Seconds of sound that were sent."""
        self.server_turns = server_turns
        self._pending: list[Spoken] = []
        self._last: Spoken | None = None
        """The last one whose final transcript was told."""
        self._charged = 0.0

    @property
    def due(self) -> float | None:
        """When `expire` wants to be called."""
        return min((one.due for one in self._pending if one.due is not None), default=None)

    # --- from the chain ---

    def hear(self, turn: int, seconds: float) -> None:
        """So much sound of `turn` goes out, after what is in the outbox."""
        spoken = self._pending[-1] if self._pending else None
        if spoken is None or spoken.turn != turn or not spoken.open:
            if spoken is not None and self._needs_border(spoken):
                self.outbox.append(self.control)
            if spoken is not None:
                spoken.open = False
            spoken = self._begin(turn)
        self.position += seconds
        spoken.end = self.position

    def commit(self, turn: int, now: float) -> None:
        spoken = self._find(turn)
        if spoken is None:
            if self._last is not None and self._last.turn == turn:
                if self._last.committed is None:
                    # The service had ended it by itself; whoever commits it waits for an answer all the same.
                    self._last.committed = now
                    self.events.append(Transcript(turn, self._last.text, final=True))
                return
            spoken = self._begin(turn)
        if spoken.committed is not None:
            return
        spoken.committed = now
        spoken.said_until = spoken.end
        spoken.open = False
        if spoken.end > spoken.start:
            self._finish(spoken, now)
        else:
            spoken.settled = True
        self._settle()

    def discard(self, turn: int) -> None:
        spoken = self._find(turn)
        if spoken is None:
            return
        if spoken.end > spoken.start and self._needs_border(spoken):
            self.outbox.append(self.control)
        self._pending.remove(spoken)
        self._charge()
        self._settle()

    def expire(self, now: float) -> None:
        """`due` has come."""
        for spoken in self._pending:
            if spoken.due is not None and spoken.due <= now:
                self._overdue(spoken, now)
        self._settle()

    def fill(self, seconds: float) -> None:
        """So much silence goes out for the last turn."""
        self.position += seconds
        self._pending[-1].end = self.position

    # --- from the service ---

    def take(self, raw: str | bytes, now: float) -> None:
        """Read a message. What cannot be used is counted."""
        try:
            message = json.loads(raw) if isinstance(raw, str) else None
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            self.counts["malformed"] += 1
            return
        try:
            self._read(message, now)
        except _Unusable:
            self.counts["malformed"] += 1
        self._settle()

    # --- for the two versions ---

    def _time(self, message: Mapping[str, Any], name: str, since: float = 0.0) -> float:
        """A time in the sound, or a length after `since`."""
        time = since + number(message, name)
        if time > self.position + _AHEAD:
            raise _Unusable
        return time

    def _read(self, message: Mapping[str, Any], now: float) -> None:
        raise NotImplementedError

    def _needs_border(self, spoken: Spoken) -> bool:
        """Whether the service must be told that what follows is not of `spoken` any more."""
        return spoken.open and spoken.end > spoken.start

    def _finish(self, spoken: Spoken, now: float) -> None:
        """It was committed: ask for its end."""
        raise NotImplementedError

    def _overdue(self, spoken: Spoken, now: float) -> None:
        self.counts["overdue"] += 1
        spoken.settled = True
        spoken.due = None

    def _ask(self, spoken: Spoken, now: float, seconds: float) -> None:
        self.outbox.append(self.control)
        spoken.due = now + seconds

    def _wait(self, spoken: Spoken, now: float, seconds: float) -> None:
        """The service has said something of a turn; if it is committed, it may be silent for so long again."""
        if spoken.committed is not None and not spoken.settled:
            spoken.due = min(now + seconds, spoken.committed + LONGEST_FINAL)

    def _tell(self) -> None:
        """Tell what is understood so far, where it is news; nothing of a turn before the one before it is final."""
        for spoken in self._pending:
            if spoken.text != spoken.told and not spoken.settled:
                spoken.told = spoken.text
                self.events.append(Transcript(spoken.turn, spoken.text, final=False))
            if spoken.committed is not None:
                return

    def _ended(self, spoken: Spoken, at: float) -> None:
        """The service ended a turn that was not committed; what was sent after `at` begins it anew."""
        for earlier in self._pending[: self._pending.index(spoken)]:
            earlier.settled = True
        self._settle()
        self._pending = self._pending[self._pending.index(spoken) + 1 :]
        self._conclude(spoken)
        self.events.append(Ended(spoken.turn))
        if spoken.open and spoken.end > at:
            rest = Spoken(spoken.turn, at, spoken.end, carried=spoken.text, told=spoken.text)
            self._pending.insert(0, rest)

    # --- inside ---

    def _find(self, turn: int) -> Spoken | None:
        return next((one for one in reversed(self._pending) if one.turn == turn), None)

    def _begin(self, turn: int) -> Spoken:
        last = self._last
        carried = last.text if last is not None and last.turn == turn else ""
        spoken = Spoken(turn, self.position, self.position, carried=carried, told=carried)
        self._pending.append(spoken)
        return spoken

    def _settle(self) -> None:
        """Tell the final transcripts that are due, each after those of the turns before it."""
        while (first := next((one for one in self._pending if one.committed is not None), None)) is not None:
            if not first.settled:
                return
            # What stands before it was neither committed nor discarded: nobody waits for it any more.
            place = self._pending.index(first)
            self.counts["abandoned"] += place
            del self._pending[: place + 1]
            self._conclude(first)

    def _conclude(self, spoken: Spoken) -> None:
        spoken.due = None
        self.events.append(Transcript(spoken.turn, spoken.text, final=True))
        self._last = spoken
        self._charge()

    def _charge(self) -> None:
        if self.position > self._charged:
            self.events.append(Spent(self.position - self._charged))
            self._charged = self.position


class _Unusable(Exception):
    """A field is not what it should be."""


def number(message: Mapping[str, Any], name: str) -> float:
    """What is not negative and not absurd."""
    value = message.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LATEST:
        raise _Unusable
    return float(value)


def text(message: Mapping[str, Any], name: str) -> str:
    """What is written there; lone surrogates, which nobody takes, become question marks."""
    value = message.get(name)
    if not isinstance(value, str):
        raise _Unusable
    return value.encode("utf-8", "replace").decode("utf-8").strip()


def mapping(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _Unusable
    return value
