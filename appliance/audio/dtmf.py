"""DTMF as sound: digits heard in a line's audio, and tones made for it. Pure.

For telephones that offer no telephone-event (RFC 4733): what is on the wire then is the sound of the keys.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from appliance.frames import BYTES_PER_SAMPLE, samples_in

LOW: Final = (697, 770, 852, 941)
HIGH: Final = (1209, 1336, 1477, 1633)
KEYS: Final = ("123A", "456B", "789C", "*0#D")
FREQUENCIES: Final = {
    key: (LOW[row], HIGH[column]) for row, keys in enumerate(KEYS) for column, key in enumerate(keys)
}

WINDOW_MS: Final = 25.6
HOP_MS: Final = 10.0
NEEDED: Final = 2
"""Windows in a row that agree: a tone of 40 ms gives as many, speech hardly ever."""
RELEASED: Final = 3
"""Windows in a row without it end a digit; a dip of 10 ms gives two."""
SHARE: Final = 0.75
"""Of a window's energy, what the two tones must be."""
QUIETEST: Final = 10 ** (-46 / 20)
"""RMS of each tone, 1 being full scale."""
TWIST_DB: Final = (-9.0, 7.0)
"""By how much the high tone may differ from the low one."""
ALONE_DB: Final = 6.0
"""By how much a tone must be louder than the others of its group."""
_DETUNED: Final = (-0.016, -0.008, 0.0, 0.008, 0.016)

TONE_MS: Final = 100.0
GAP_MS: Final = 80.0
_AMPLITUDE: Final = (0.22, 0.26)
"""Of the low and the high tone: about -13 and -12 dBFS; lines weaken the high one more."""


@dataclass(frozen=True, slots=True)
class Digit:
    digit: str
    duration_ms: int


class DtmfDetector:
    """Feed it a line's audio, s16le mono at `rate`, in blocks of any length."""

    def __init__(self, rate: int) -> None:
        self._window = samples_in(WINDOW_MS, rate)
        self._hop = samples_in(HOP_MS, rate)
        tones = np.array([tone * (1 + off) for tone in (*LOW, *HIGH) for off in _DETUNED])
        phase = 2 * np.pi * np.outer(tones, np.arange(self._window)) / rate
        self._basis = np.concatenate((np.cos(phase), np.sin(phase))).astype(np.float32)
        self._samples: npt.NDArray[np.float32] = np.zeros(0, np.float32)
        self._candidate = ""
        self._agreed = 0
        self._digit = ""
        self._hits = 0
        self._misses = 0

    @property
    def sounding(self) -> bool:
        """A digit has been recognised and is not over: what is heard now is its tone."""
        return bool(self._digit)

    def hear(self, pcm: bytes) -> list[Digit]:
        """The digits that ended within these samples."""
        fresh = np.frombuffer(pcm, dtype="<i2").astype(np.float32) / 32_768
        self._samples = np.concatenate((self._samples, fresh))
        found = []
        while len(self._samples) >= self._window:
            ended = self._step(self._key(self._samples[: self._window]))
            if ended is not None:
                found.append(ended)
            self._samples = self._samples[self._hop :]
        return found

    def _step(self, key: str) -> Digit | None:
        self._agreed = self._agreed + 1 if key and key == self._candidate else int(bool(key))
        self._candidate = key
        if self._digit and key == self._digit:
            self._hits += 1 + self._misses
            self._misses = 0
            return None
        ended = None
        if self._digit:
            self._misses += 1
            if self._misses >= RELEASED or self._agreed >= NEEDED:
                ended = Digit(self._digit, round(self._hits * HOP_MS + WINDOW_MS * (2 * SHARE - 1)))
                self._digit = ""
        if not self._digit and self._agreed >= NEEDED:
            self._digit, self._hits, self._misses = key, self._agreed, 0
        return ended

    def _key(self, window: npt.NDArray[np.float32]) -> str:
        """The key whose two tones this window is, or nothing."""
        energy = float(np.mean(window * window))
        if energy < 2 * QUIETEST**2:
            return ""
        parts = self._basis @ window
        half = len(parts) // 2
        power = (parts[:half] ** 2 + parts[half:] ** 2).reshape(8, len(_DETUNED)).max(axis=1)
        power *= 2 / self._window**2
        low, high = power[:4], power[4:]
        row, column = int(low.argmax()), int(high.argmax())
        if power_db(float(high[column]), float(low[row])) > TWIST_DB[1]:
            return ""
        if power_db(float(high[column]), float(low[row])) < TWIST_DB[0]:
            return ""
        if min(low[row], high[column]) < QUIETEST**2 or low[row] + high[column] < SHARE * energy:
            return ""
        if not (_alone(low, row) and _alone(high, column)):
            return ""
        return KEYS[row][column]


def power_db(one: float, other: float) -> float:
    """How much louder `one` is."""
    return float(10 * np.log10((one + 1e-12) / (other + 1e-12)))


def _alone(group: npt.NDArray[np.float32], loudest: int) -> bool:
    others = np.delete(group, loudest)
    return power_db(float(group[loudest]), float(others.max())) >= ALONE_DB


def tones(digits: str, rate: int, *, tone_ms: float = TONE_MS, gap_ms: float = GAP_MS) -> bytes:
    """The sound of these keys, each followed by silence: s16le mono."""
    silence = bytes(samples_in(gap_ms, rate) * BYTES_PER_SAMPLE)
    return b"".join(part for digit in digits for part in (tone(digit, rate, tone_ms), silence))


def tone(digit: str, rate: int, milliseconds: float) -> bytes:
    """One key, s16le mono."""
    at = np.arange(samples_in(milliseconds, rate)) / rate
    waves = zip(FREQUENCIES[digit], _AMPLITUDE, strict=True)
    sound = sum(amplitude * np.sin(2 * np.pi * hertz * at) for hertz, amplitude in waves)
    return bytes((np.asarray(sound) * 32_767).astype("<i2").tobytes())


def frames(sound: bytes, samples: int) -> Iterator[bytes]:
    """`sound` in blocks of so many samples, the last filled up with silence."""
    size = samples * BYTES_PER_SAMPLE
    for start in range(0, len(sound), size):
        yield sound[start : start + size].ljust(size, b"\0")
