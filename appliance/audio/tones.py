"""What a person hears while nobody talks: ringing, music on hold, signals. Pure; s16le mono, made to be repeated."""

import functools
from typing import Final

import numpy as np
import numpy.typing as npt

RINGING_HERTZ: Final = 425.0
RINGING_SECONDS: Final = (1.0, 4.0)
"""On and off, as in most of Europe (ETSI TR 101 041-2)."""
LEVEL: Final = 0.12
_EDGE_SECONDS: Final = 0.01
_NOTES: Final = (261.63, 329.63, 392.0, 493.88, 440.0, 392.0, 329.63, 293.66)
_NOTE_SECONDS: Final = 0.5


@functools.lru_cache(maxsize=8)
def ringing(rate: int) -> bytes:
    """One ring and the silence after it."""
    on, off = RINGING_SECONDS
    return _pcm(np.concatenate((_tone(RINGING_HERTZ, on, rate), np.zeros(round(off * rate)))))


@functools.lru_cache(maxsize=8)
def music(rate: int) -> bytes:
    """A few soft notes, each fading into the next: nothing that anybody owns."""
    count = round(_NOTE_SECONDS * rate)
    total = np.zeros(count * len(_NOTES))
    for index, hertz in enumerate(_NOTES):
        at = np.arange(3 * count) / rate
        note = np.exp(-2.2 * at) * (np.sin(2 * np.pi * hertz * at) + 0.3 * np.sin(4 * np.pi * hertz * at))
        note *= np.minimum(1.0, at / _EDGE_SECONDS)
        # What rings on beyond the last note sounds into the first: the repetition has no seam.
        np.add.at(total, (index * count + np.arange(3 * count)) % len(total), LEVEL * note)
    return _pcm(total)


@functools.lru_cache(maxsize=8)
def beep(rate: int, hertz: float = 880.0, seconds: float = 0.25) -> bytes:
    """A signal: the microphone is open now, or somebody waits."""
    return _pcm(_tone(hertz, seconds, rate))


def _tone(hertz: float, seconds: float, rate: int) -> npt.NDArray[np.float64]:
    at = np.arange(round(seconds * rate)) / rate
    edge = np.minimum(1.0, np.minimum(at, seconds - at) / _EDGE_SECONDS)
    return LEVEL * np.sin(2 * np.pi * hertz * at) * edge


def _pcm(samples: npt.NDArray[np.float64]) -> bytes:
    return bytes((np.clip(samples, -1.0, 1.0) * 32767).astype("<i2").tobytes())
