"""What the appliance says: utterances in a row, one at a time in the playout, each with what was heard of it.

An answer's audio may come while an announcement still plays. Each waits here until the one before it has been played to
its end, so that a flush touches one utterance only, and what may not be interrupted is not mixed with what may.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from appliance.audio.playout import Mark, Playout
from appliance.frames import milliseconds_of
from appliance.session.heard import SpokenText

WAITING_BOUND_MS: Final = 120_000.0


@dataclass(slots=True)
class Utterance:
    """`id` names it in the playout. `response` is the provider's name of an answer, empty for an announcement."""

    id: str
    turn: int
    response: str = ""
    generation: int = 0
    """Of the connection that the answer came over."""
    interruptible: bool = True
    spoken: SpokenText = field(default_factory=SpokenText)
    waiting: deque[tuple[bytes, int]] = field(default_factory=deque)
    waiting_ms: float = 0.0
    finished: bool = False
    """No more audio of it comes."""
    broken: bool = False
    """More of it was to come."""

    @property
    def audible(self) -> bool:
        return bool(self.waiting)

    @property
    def to_be_heard(self) -> str:
        """What of its text is heard once all its audio that is here has been played."""
        return self.spoken.heard(self.spoken.audio_ms) if self.broken else self.spoken.text.strip()


@dataclass(frozen=True, slots=True)
class Cut:
    """An utterance that was broken off, or dropped before it began."""

    utterance: Utterance
    heard_ms: int
    heard: str


class Downlink:
    """All methods belong to the loop's thread."""

    def __init__(self, playout: Playout) -> None:
        self._playout = playout
        self._row: dict[str, Utterance] = {}
        self._sounding: Utterance | None = None
        self._dropped_ms = 0.0
        self._stale_ms = 0.0

    @property
    def sounding(self) -> Utterance | None:
        """The one in the playout; it stays so until its last sample was taken."""
        return self._sounding

    @property
    def ready(self) -> bool:
        """Something waits that could sound."""
        return any(entry.audible for entry in self._row.values() if entry is not self._sounding)

    def get(self, utterance: str) -> Utterance | None:
        return self._row.get(utterance)

    def begin(self, utterance: Utterance) -> None:
        """Put it at the end of the row."""
        self._row[utterance.id] = utterance

    def text(self, utterance: str, text: str, from_ms: float) -> None:
        entry = self._row.get(utterance)
        if entry is not None:
            entry.spoken.add(text, from_ms)

    def audio(self, utterance: str, pcm: bytes, rate: int) -> bool:
        """The next samples; False, and counted, when nothing of that utterance is wanted."""
        entry = self._row.get(utterance)
        length_ms = milliseconds_of(pcm, rate)
        if entry is None or entry.finished:
            self._stale_ms += length_ms
            return False
        if entry is not self._sounding and self._waiting_ms() + length_ms > WAITING_BOUND_MS:
            self._dropped_ms += length_ms
            return False
        entry.spoken.add_audio(length_ms)
        if entry is self._sounding:
            self._playout.play(entry.id, pcm, rate)
        else:
            entry.waiting.append((pcm, rate))
            entry.waiting_ms += length_ms
        return True

    def end(self, utterance: str, *, broken: bool = False) -> Utterance | None:
        """No more of it comes; `broken`: it was to. Return it when it never had a sound: it is out of the row."""
        entry = self._row.get(utterance)
        if entry is None or entry.finished:
            return None
        entry.finished, entry.broken = True, broken
        entry.spoken.complete = not broken
        if entry is self._sounding:
            self._playout.finish(entry.id)
        elif not entry.audible:
            return self._row.pop(utterance)
        return None

    def release(self, due: Callable[[Utterance], bool]) -> Utterance | None:
        """Put the first that has audio and is `due` into the playout, when none is there; return it then."""
        if self._sounding is not None:
            return None
        entry = next((entry for entry in self._row.values() if entry.audible and due(entry)), None)
        if entry is None:
            return None
        self._sounding = entry
        while entry.waiting:
            self._playout.play(entry.id, *entry.waiting.popleft())
        entry.waiting_ms = 0.0
        if entry.finished:
            self._playout.finish(entry.id)
        return entry

    def played(self, mark: Mark) -> Utterance | None:
        """The utterance of `mark` when it sounds; one that has finished leaves the row. None for marks of old ones."""
        entry = self._sounding
        if entry is None or entry.id != mark.utterance:
            return None
        if mark.kind == "finished":
            self._sounding = None
            del self._row[entry.id]
        return entry

    def flush(self) -> Cut | None:
        """Silence the playout; return what is heard, up to what the driver took. What waits keeps waiting."""
        self._playout.flush()
        entry, self._sounding = self._sounding, None
        if entry is None:
            return None
        del self._row[entry.id]
        heard_ms = self._playout.taken_ms(entry.id)
        return Cut(entry, round(heard_ms), entry.spoken.heard(heard_ms))

    def withdraw(self, unwanted: Callable[[Utterance], bool]) -> list[Cut]:
        """Drop what waits and is `unwanted`; what sounds stays."""
        dropped = [entry for entry in self._row.values() if entry is not self._sounding and unwanted(entry)]
        for entry in dropped:
            del self._row[entry.id]
        return [Cut(entry, 0, "") for entry in dropped]

    def heard_ms(self) -> float:
        """How much of what sounds has been heard."""
        return self._playout.heard_ms(self._sounding.id) if self._sounding is not None else 0.0

    def answers(self) -> tuple[Utterance, ...]:
        """What sounds or waits to sound of the provider's."""
        return tuple(entry for entry in self._row.values() if entry.response)

    def ahead_ms(self) -> float:
        """Audio that waits, here and in the playout."""
        return self._playout.queued_ms() + self._waiting_ms()

    def _waiting_ms(self) -> float:
        return sum(entry.waiting_ms for entry in self._row.values())

    def counters(self) -> Mapping[str, int]:
        return {"stale_audio_ms": round(self._stale_ms), "downlink_dropped_ms": round(self._dropped_ms)}
