"""The messages of `/v1/listen`: results over windows of time, some of them final, and pauses. Pure."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

from appliance.providers.stt.deepgram_turns import (
    FINAL_SECONDS,
    GRACE_SECONDS,
    REST_SECONDS,
    Control,
    Dialogue,
    Spoken,
    mapping,
    number,
    text,
)

_SLACK: Final = 0.1
"""Windows may end so much beside the border of two turns."""
_EXACT: Final = 0.02
_BORDERS: Final = 32


class NovaDialogue(Dialogue):
    """A result belongs to the turn in whose seconds its window lies. `Finalize` draws the borders."""

    control = Control.FINALIZE

    def __init__(self, *, server_turns: bool) -> None:
        super().__init__(server_turns=server_turns)
        self._final_until = 0.0
        self._asked: deque[float] = deque(maxlen=_BORDERS)
        """Positions at which Finalize was sent, and no answer came yet."""

    def hear(self, turn: int, seconds: float) -> None:
        asked = len(self.outbox)
        at = self.position
        super().hear(turn, seconds)
        if len(self.outbox) > asked:
            self._asked.append(at)

    def discard(self, turn: int) -> None:
        asked = len(self.outbox)
        super().discard(turn)
        if len(self.outbox) > asked:
            self._asked.append(self.position)

    def _finish(self, spoken: Spoken, now: float) -> None:
        self._ask(spoken, now, self._patience(spoken))
        self._asked.append(spoken.end)

    def _patience(self, spoken: Spoken) -> float:
        """The service may leave a Finalize without an answer where hardly any sound waits for it."""
        return FINAL_SECONDS if spoken.end - self._final_until > REST_SECONDS else GRACE_SECONDS

    def _read(self, message: Mapping[str, Any], now: float) -> None:
        match message["type"]:
            case "Results":
                self._results(message, now)
            case "UtteranceEnd":
                self._utterance_end(self._time(message, "last_word_end"))
            case "SpeechStarted" | "Metadata":
                pass
            case "Error":
                self.counts["errors"] += 1
            case _:
                self.counts["unknown"] += 1

    def _results(self, message: Mapping[str, Any], now: float) -> None:
        start = self._time(message, "start")
        end = self._time(message, "duration", start)
        alternatives = mapping(message.get("channel")).get("alternatives")
        alternative = mapping(alternatives[0]) if isinstance(alternatives, list) and alternatives else {}
        said = text(alternative, "transcript") if alternative else ""
        final = message.get("is_final") is True
        # It is in this order that the service goes through the sound.
        self._settle_until(start)
        self._settle()
        owners = [one for one in self._pending if _owns(one, start, end)]
        if said and not owners:
            self.counts["late"] += 1
        if final:
            self._final_until = max(self._final_until, end)
        for spoken in owners:
            share = _share(spoken, start, end, said, alternative.get("words"))
            spoken.interim = "" if final else share
            if final and share:
                spoken.pieces.append(share)
            self._wait(spoken, now, self._patience(spoken))
        self._tell()
        if final:
            self._settle_until(end)
        if message.get("from_finalize") is True:
            self._answered(end)
        if final and message.get("speech_final") is True:
            self._paused(owners, end)

    def _settle_until(self, until: float) -> None:
        """All sound up to there is transcribed."""
        for spoken in self._pending:
            if spoken.committed is not None and spoken.end <= until + _EXACT:
                spoken.settled = True

    def _answered(self, end: float) -> None:
        """A Finalize was answered: the one that was sent nearest to where the answer ends, and those before it."""
        if not self._asked:
            return
        nearest = min(self._asked, key=lambda position: abs(position - end))
        while self._asked and self._asked[0] <= nearest:
            self._asked.popleft()
        self._settle_until(nearest)

    def _paused(self, owners: Sequence[Spoken], end: float) -> None:
        for spoken in owners:
            if self.server_turns and spoken.committed is None and spoken.text != spoken.carried:
                self._ended(spoken, end)

    def _utterance_end(self, last_word_end: float) -> None:
        """It counts where no result had said that the speech is over."""
        if not self.server_turns:
            return
        for spoken in tuple(self._pending):
            within = spoken.start - _SLACK <= last_word_end <= spoken.end + _SLACK
            if within and spoken.committed is None and spoken.pieces:
                self._ended(spoken, max(last_word_end, self._final_until))


def _owns(spoken: Spoken, start: float, end: float) -> bool:
    """Whether enough of the window lies in the turn."""
    common = min(end, spoken.end) - max(start, spoken.start)
    return common > _SLACK or (common > 0 and common >= (end - start) / 2)


def _share(spoken: Spoken, start: float, end: float, said: str, words: object) -> str:
    """What of a result is of the turn: all, or, where its window reaches beyond, the words within."""
    if start >= spoken.start - _SLACK and end <= spoken.end + _SLACK:
        return said
    if not isinstance(words, list):
        return said if spoken.start <= (start + end) / 2 < spoken.end else ""
    return " ".join(_word(word) for word in words if _within(spoken, word)).strip()


def _within(spoken: Spoken, word: object) -> bool:
    word = mapping(word)
    return spoken.start <= (number(word, "start") + number(word, "end")) / 2 < spoken.end


def _word(word: Mapping[str, Any]) -> str:
    return text(word, "punctuated_word") if "punctuated_word" in word else text(word, "word")
