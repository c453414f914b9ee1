"""Words as tones, so that a fake of a speech service can write down what it really received: all of it, once, in order.

Each word of VOCABULARY is a tone of its own. What is cut off, sent twice or mixed with another turn reads wrongly.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

_WORDS: Final = """
    zero one two three four five six seven eight nine ten call stop yes no red green blue left right up down open close
"""
VOCABULARY: Final = tuple(re.findall(r"\w+", _WORDS))
LOUD: Final = 300.0
WORD_SECONDS: Final = 0.1
GAP_SECONDS: Final = 0.06
SCRIPTED_WORD_SECONDS: Final = 0.15
FIRST_WORD_SECONDS: Final = 0.06
_LOWEST: Final = 400
_STEP: Final = 100
_SHORTEST_FRAMES: Final = 3


def coded(text: str, rate: int = 16_000, *, lead: float = 0.04, tail: float = 0.3) -> bytes:
    """PCM of `text`, words of VOCABULARY, with seconds of silence before and after it; whole frames of 20 ms."""
    at = np.arange(round(WORD_SECONDS * rate)) / rate
    parts = [np.zeros(round(lead * rate))]
    for word in text.split():
        hertz = _LOWEST + _STEP * VOCABULARY.index(word)
        parts += [8_000 * np.sin(2 * np.pi * hertz * at), np.zeros(round(GAP_SECONDS * rate))]
    parts.append(np.zeros(round(tail * rate)))
    samples = np.concatenate(parts).astype("<i2")
    missing = -len(samples) % (rate // 50)
    return bytes(np.concatenate((samples, np.zeros(missing, "<i2"))).tobytes())


@dataclass(frozen=True)
class SpokenWord:
    """Seconds from the beginning of the stream."""

    text: str
    start: float
    end: float


class Recogniser:
    """What was said in a stream of `rate`. `script` is asked at each utterance's first sound: its text, or None.

    A scripted text stands for any sound; its words come one by one as the sound goes on. Without one, they are decoded.
    """

    def __init__(self, rate: int, script: Callable[[], str | None] = lambda: None) -> None:
        self.position = 0.0
        """Seconds heard."""
        self.words: list[SpokenWord] = []
        """Of the utterance."""
        self.spoke_at: float | None = None
        """When the utterance's last sound was; None: there was none."""
        self._rate = rate
        self._script = script
        self._left = b""
        self._waiting: list[str] | None = None
        self._run: list[int] = []
        self._loud = 0.0

    @property
    def quiet_for(self) -> float:
        """Seconds since the last sound of the utterance; 0 where there was none."""
        return 0.0 if self.spoke_at is None else self.position - self.spoke_at

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)

    def hear(self, pcm: bytes) -> None:
        size = self._rate // 50 * 2
        self._left += pcm
        while len(self._left) >= size:
            frame, self._left = self._left[:size], self._left[size:]
            self.position += 0.02
            self._frame(np.frombuffer(frame, "<i2").astype(np.float64))

    def flush(self) -> None:
        """No more comes of the utterance: tell what is known of it."""
        self._end_word()
        if self._waiting is not None:
            self.words += [SpokenWord(word, self.position, self.position) for word in self._waiting]
            self._waiting = []

    def begin(self) -> None:
        """The next utterance."""
        self.words = []
        self.spoke_at = None
        self._waiting = None
        self._run = []
        self._loud = 0.0

    def _frame(self, samples: "np.typing.NDArray[np.float64]") -> None:
        if float(np.sqrt(samples @ samples / len(samples))) < LOUD:
            self._end_word()
            return
        if self.spoke_at is None:
            text = self._script()
            self._waiting = None if text is None else text.split()
            self._loud = SCRIPTED_WORD_SECONDS - FIRST_WORD_SECONDS
        self.spoke_at = self.position
        if self._waiting is None:
            self._run.append(int(np.argmax(np.abs(np.fft.rfft(samples)))) * 50)
            return
        self._loud += 0.02
        if self._waiting and self._loud >= SCRIPTED_WORD_SECONDS:
            self._loud = 0.0
            self.words.append(SpokenWord(self._waiting.pop(0), self.position - 0.14, self.position))

    def _end_word(self) -> None:
        run, self._run = self._run, []
        if len(run) < _SHORTEST_FRAMES:
            return
        place = round((sorted(run)[len(run) // 2] - _LOWEST) / _STEP)
        if 0 <= place < len(VOCABULARY):
            end = self.position - 0.02
            self.words.append(SpokenWord(VOCABULARY[place], end - len(run) * 0.02, end))


def frames(pcm: bytes, rate: int, milliseconds: int = 20) -> Sequence[bytes]:
    """`pcm` in pieces of so many milliseconds; the last one may be shorter."""
    size = rate * milliseconds // 1000 * 2
    return [pcm[at : at + size] for at in range(0, len(pcm), size)]
