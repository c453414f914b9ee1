"""The person's sound on its way up: pre-roll before an onset, and the journal of the unanswered turns. Pure."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from appliance.frames import Frame

JOURNAL_MS: Final = 60_000.0
SILENCE_MS: Final = 1_000.0
LATE_ONSET_MS: Final = 1_000.0
"""A detector may need so long to say that speech began; the sound is kept until then."""
SENT_AT_MOST: Final = 5
"""A turn that ends every connection which is given it is not sent for ever."""


@dataclass(slots=True)
class UnansweredTurn:
    """A spoken turn (`frames`) or a typed one (`text`); `committed` when the person has finished it."""

    turn: int
    frames: deque[Frame] = field(default_factory=deque)
    text: str = ""
    committed: bool = False
    begun: bool = False
    """It has sound of its own, besides what was carried over from a turn before it."""
    lost: int = 0
    """Connections that broke off with it, finished and unanswered."""


class Uplink:
    """Frames outside a turn go through `keep`, frames of a turn through `add`. Lengths are real milliseconds."""

    def __init__(self, pre_roll_ms: float, *, bound_ms: float = JOURNAL_MS) -> None:
        self._pre_roll_ms = pre_roll_ms
        self._bound_ms = bound_ms
        self._kept: deque[Frame] = deque()
        self._kept_ms = 0.0
        self._holding = False
        self._journal: deque[UnansweredTurn] = deque()
        self._journal_ms = 0.0
        self._carried: deque[Frame] = deque()
        self._silence: deque[Frame] = deque()
        """What may be trimmed, or may be the pre-roll of a word to come."""
        self._silence_ms = 0.0
        self._dropped_ms = 0.0
        self._trimmed_ms = 0.0

    # --- outside a turn ---

    def keep(self, frame: Frame) -> None:
        """Remember `frame` as pre-roll, or, after `hold`, as part of a candidate."""
        self._kept.append(frame)
        self._kept_ms += frame.duration_ms
        self._shorten(self._bound_ms if self._holding else self._pre_roll_ms + LATE_ONSET_MS)

    def onset(self, voiced_ms: float) -> None:
        """Speech began `voiced_ms` ago: what lies further back than the pre-roll before it is not part of it."""
        self._shorten(self._pre_roll_ms + voiced_ms)

    def hold(self) -> None:
        """A candidate sounds: let nothing of the pre-roll go until `open` or `let_go`."""
        self._holding = True

    def let_go(self) -> None:
        """It was no speech; what was kept serves as pre-roll again."""
        self._holding = False

    def forget(self) -> None:
        """Drop what was kept: the turn that opens next starts with its own first frame."""
        self._kept.clear()
        self._kept_ms = 0.0
        self._holding = False

    # --- turns ---

    def open(self, turn: int) -> tuple[Frame, ...]:
        """Begin the journal of `turn`; return what it starts with: the pre-roll, or the candidate with its own."""
        began = tuple(self._kept)
        self.forget()
        entry = UnansweredTurn(turn, self._carried)
        self._carried = deque()
        self._silence_ms = 0.0
        self._journal.append(entry)
        for frame in began:
            self.add(frame)
        return began

    def add(self, frame: Frame, *, speech: bool = True) -> None:
        """Journal a frame of the open turn; silence beyond SILENCE_MS in a row is trimmed, and counted.

        The pre-roll of what is said after it is no silence.
        """
        self._journal[-1].begun = True
        self._silence_ms = 0.0 if speech else self._silence_ms + frame.duration_ms
        self._silence.append(frame)
        if self._silence_ms > SILENCE_MS:
            self._trim(self._pre_roll_ms)
            return
        while self._silence:
            self._journal_frame(self._silence.popleft())

    def _trim(self, keep_ms: float) -> None:
        while self._silence and sum(frame.duration_ms for frame in self._silence) > keep_ms:
            self._trimmed_ms += self._silence.popleft().duration_ms

    def _journal_frame(self, frame: Frame) -> None:
        self._journal[-1].frames.append(frame)
        self._journal_ms += frame.duration_ms
        while self._journal_ms > self._bound_ms:
            self._drop_oldest()

    def typed(self, turn: int, text: str) -> None:
        """Journal a typed turn."""
        self._journal.append(UnansweredTurn(turn, text=text, committed=True))

    def commit(self) -> None:
        """The person has finished the open turn."""
        self._trim(0.0)
        self._journal[-1].committed = True

    def discard(self) -> bool:
        """The open turn was none; return whether there was any sound of it."""
        self._trim(0.0)
        entry = self._journal.pop()
        self._remove(entry)
        return entry.begun

    def answered(self, turn: int) -> None:
        """`turn`, unless it is still open, and what came before it need no keeping any more. Harmless when repeated."""
        if any(entry.turn == turn for entry in self._journal):
            while self._journal[0].turn != turn:
                self._remove(self._journal.popleft())
            if self._journal[0].committed:
                self._remove(self._journal.popleft())

    def carry(self) -> tuple[int, ...]:
        """The person goes on before anything was answered: what they said becomes the beginning of the next turn.

        It is sent again only should the connection be lost: the provider has it already. Return the turns whose text
        cannot be carried: the typed ones.
        """
        typed = tuple(entry.turn for entry in self._journal if entry.text)
        while self._journal:
            self._carried.extend(self._journal.popleft().frames)
        return typed

    def lost(self) -> tuple[int, ...]:
        """The connection broke that had what is unanswered; return the turns that no further one is to be given."""
        for entry in self._journal:
            entry.lost += entry.committed
        return tuple(entry.turn for entry in self._journal if entry.lost >= SENT_AT_MOST)

    def resent(self) -> tuple[UnansweredTurn, ...]:
        """Oldest first, to be sent again: with the newest silence, since the next word may follow it."""
        while self._silence:
            self._journal_frame(self._silence.popleft())
        return self.unanswered()

    def unanswered(self) -> tuple[UnansweredTurn, ...]:
        """Oldest first."""
        return tuple(self._journal)

    def counters(self) -> Mapping[str, int]:
        """Milliseconds that the journal holds, and those that were dropped or trimmed."""
        return {
            "journal_ms": round(self._journal_ms),
            "journal_dropped_ms": round(self._dropped_ms),
            "journal_trimmed_ms": round(self._trimmed_ms),
        }

    def _shorten(self, bound_ms: float) -> None:
        while self._kept and self._kept_ms > bound_ms:
            self._kept_ms -= self._kept.popleft().duration_ms

    def _remove(self, entry: UnansweredTurn) -> None:
        self._journal_ms -= sum(frame.duration_ms for frame in entry.frames)

    def _drop_oldest(self) -> None:
        entry = next(entry for entry in self._journal if entry.frames)
        lost = entry.frames.popleft().duration_ms
        self._journal_ms -= lost
        self._dropped_ms += lost
