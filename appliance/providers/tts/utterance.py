"""A piece that a service speaks: what came of it so far, and how it ended. Pure."""

import base64
import binascii
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from appliance.errors import ApplianceError, ProviderUnavailable
from appliance.frames import BYTES_PER_SAMPLE, milliseconds_of
from appliance.providers.tts.words import Words
from appliance.stages import Piece, Sound, Word

LONGEST_MS: Final = 600_000.0
"""More sound than that is no piece: the service runs on."""


class Utterance:
    """`sounds` are those that nobody took yet. `changed` is called with each change, `ended` once."""

    def __init__(self, service: str, piece: Piece, text: str, rate: int) -> None:
        self.piece = piece
        self.text = text
        """What the service is asked for."""
        self.rate = rate
        self.sounds: deque[Sound] = deque()
        self.ms = 0.0
        """Of sound that came."""
        self.came = False
        """The service answered, be it with a fault."""
        self.over = False
        self.lost = False
        """It ended with its connection."""
        self.fault: ApplianceError | None = None
        self.counts: Counter[str] = Counter()
        """What could not be used, by its kind."""
        self.changed: Callable[[], None] = _nothing
        self.ended: Callable[[], None] = _nothing
        self._service = service
        self._words = Words(piece.text)
        self._odd = b""
        self._spelled = ""
        self._spelled_ms = 0.0

    @property
    def complete(self) -> bool:
        """All that it has to say has begun to sound, as far as the service tells."""
        return self._words.begun_by(self.ms, spelled=bool(self._spelled))

    def audio(self, encoded: object) -> None:
        """The next part of the sound: base64 of s16le at `rate`. Half a sample waits for its other half."""
        try:
            pcm = self._odd + base64.b64decode(encoded, validate=True)  # type: ignore[arg-type]
        except (binascii.Error, TypeError, ValueError):
            self.counts["invalid_audio"] += 1
            return
        whole = len(pcm) // BYTES_PER_SAMPLE * BYTES_PER_SAMPLE
        pcm, self._odd = pcm[:whole], pcm[whole:]
        self.ms += milliseconds_of(pcm, self.rate)
        if pcm:
            self._tell(Sound(pcm, self.rate))
        if self.ms > LONGEST_MS:
            self.fail(ProviderUnavailable(f"{self._service}: a piece does not end"))

    def word(self, said: str, start_ms: float) -> None:
        """The service speaks `said` from `start_ms` of the piece on."""
        self._tell_words(self._words.spoken(said, start_ms))

    def letter(self, letter: str, start_ms: float) -> None:
        """For a service that tells letters: the next one, or the blank between two words."""
        if letter.isspace():
            self._spell()
            return
        if not self._spelled:
            self._spelled_ms = start_ms
        self._spelled += letter

    def end(self) -> None:
        """Nothing more comes."""
        if self.over:
            return
        if not self.ms:
            self.fail(ProviderUnavailable(f"{self._service}: a piece came without sound"))
            return
        self._spell()
        self._tell_words(self._words.rest())
        self._finish()

    def fail(self, fault: ApplianceError) -> None:
        """The service said so."""
        if not self.over:
            self.came = True
            self.fault = fault
            self._finish()

    def lose(self, fault: ApplianceError) -> None:
        """Its connection ended. `ended` is not called: it may be asked for again."""
        if not self.over:
            self.lost = True
            self.over = True
            self.fault = fault
            self.changed()

    def ask_again(self) -> None:
        """After it was lost, and nothing had come of it."""
        self.lost = False
        self.over = False
        self.fault = None

    def _spell(self) -> None:
        word, self._spelled = self._spelled, ""
        if word:
            self.word(word, self._spelled_ms)

    def _tell_words(self, words: list[Word]) -> None:
        if words:
            self._tell(Sound(b"", self.rate, tuple(words)))

    def _tell(self, sound: Sound) -> None:
        self.came = True
        if not self.over:
            self.sounds.append(sound)
            self.changed()

    def _finish(self) -> None:
        self.over = True
        self.changed()
        self.ended()


def seconds(value: object) -> float | None:
    """A time of a message in seconds; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)


def listed(message: Mapping[str, Any], name: str) -> list[Any]:
    """A list of a message; empty where it has none."""
    value = message.get(name)
    return value if isinstance(value, list) else []


def _nothing() -> None:
    return
