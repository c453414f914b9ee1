"""Makes an utterance ready for the recogniser: its band, its loud part, and a little noise under it. Pure."""

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from appliance.frames import WORKING_RATE

Samples = NDArray[np.float32]
_BLOCK: Final = 320
_FLOOR_RMS: Final = 60.0
"""Below it (-55 dBFS) a block is silence whatever stands beside it."""
_RANGE: Final = 0.05
"""A block 26 dB below the loudest is silence."""
_MARGIN_BLOCKS: Final = 12
_FEWEST_VOICED_MS: Final = 60.0
_PITCHED: Final = 0.45
_PITCH_BAND_HZ: Final = 900
_SHORTEST_PERIOD: Final = WORKING_RATE // 400
_LONGEST_PERIOD: Final = WORKING_RATE // 70
_HIGH_HZ: Final = 5_200
"""Above what a telephone passes, and above the image of it that the SIP library's interpolation leaves up to 5 kHz."""
_TELEPHONE_RMS: Final = 3.0
_NOMINAL_RMS: Final = 3_500.0
_NOISE_RMS: Final = 100.0
"""-50 dBFS: without a floor, synthetic or gated silence has features that the model never met, and takes
whole words along."""


class Band(StrEnum):
    """What reached us of the voice: a telephone passes nothing above 4 kHz."""

    WIDE = "wide"
    TELEPHONE = "telephone"


@dataclass(frozen=True, slots=True)
class Conditioned:
    pcm: bytes
    band: Band


def conditioned(pcm: bytes) -> Conditioned | None:
    """`pcm` (16 kHz) cut to its loud part, brought to one loudness, over a noise floor.

    None when nothing in it is loud, or nothing is a voice.
    """
    samples = _samples(pcm)
    blocks = _levels(samples)
    if not blocks.size or blocks.max() < _FLOOR_RMS:
        return None
    loud = np.flatnonzero(blocks > max(_FLOOR_RMS, float(blocks.max()) * _RANGE))
    begin = max(0, int(loud[0]) - _MARGIN_BLOCKS) * _BLOCK
    end = (int(loud[-1]) + 1 + _MARGIN_BLOCKS) * _BLOCK
    level = float(np.sqrt(np.mean(np.square(blocks[loud]))))
    cut = samples[begin:end]
    if _voiced_ms(cut) < _FEWEST_VOICED_MS:
        return None
    mixed = cut * min(_NOMINAL_RMS / level, 20.0) + _noise(len(cut))
    return Conditioned(np.clip(mixed, -32_768, 32_767).astype("<i2").tobytes(), _band(cut))


class PauseWatch:
    """Follows speech as it comes, and tells its pauses."""

    def __init__(self) -> None:
        self.fresh = False
        """Something loud came since `settle`."""
        self._peak = 0.0
        self._quiet = 0

    def hear(self, pcm: bytes) -> None:
        for level in _levels(_samples(pcm)):
            self._peak = max(self._peak, float(level))
            if level > max(_FLOOR_RMS, self._peak * _RANGE):
                self.fresh = True
                self._quiet = 0
            else:
                self._quiet += 1

    def pausing(self, milliseconds: int) -> bool:
        """Whether there was something new, and then quiet for so long."""
        return self.fresh and self._quiet * _BLOCK * 1000 >= milliseconds * WORKING_RATE

    def settle(self) -> None:
        """What came so far is dealt with."""
        self.fresh = False


def _samples(pcm: bytes) -> Samples:
    return np.frombuffer(pcm[: len(pcm) & ~1], dtype="<i2").astype(np.float32)


def _levels(samples: Samples) -> Samples:
    whole = samples[: len(samples) // _BLOCK * _BLOCK].reshape(-1, _BLOCK)
    levels: Samples = np.sqrt(np.mean(np.square(whole), axis=1))
    return levels


def _voiced_ms(samples: Samples) -> float:
    """How much of it has a pitch, as vowels have and coughs, claps and hiss have not."""
    count = len(samples) // _BLOCK - 1
    if count < 1:
        return 0.0
    frames = np.lib.stride_tricks.sliding_window_view(samples, 2 * _BLOCK)[: count * _BLOCK : _BLOCK]
    frames = frames - frames.mean(axis=1, keepdims=True)
    energy = np.sum(np.square(frames), axis=1)
    spectra = np.abs(np.fft.rfft(frames, 4 * _BLOCK, axis=1)) ** 2
    spectra[:, int(_PITCH_BAND_HZ * 4 * _BLOCK / WORKING_RATE) :] = 0
    likeness = np.fft.irfft(spectra, axis=1)
    best = likeness[:, _SHORTEST_PERIOD:_LONGEST_PERIOD].max(axis=1) / np.maximum(likeness[:, 0], 1.0)
    loud = energy > max(float(energy.max()) * _RANGE**2, 2 * _BLOCK * _FLOOR_RMS**2)
    return float(np.sum(loud & (best > _PITCHED)) * _BLOCK * 1000 / WORKING_RATE)


def _band(samples: Samples) -> Band:
    spectrum = np.fft.rfft(samples)
    high = spectrum[int(_HIGH_HZ / WORKING_RATE * len(samples)) :]
    rms = float(np.sqrt(2 * np.sum(np.square(np.abs(high)))) / len(samples))
    return Band.TELEPHONE if rms < _TELEPHONE_RMS else Band.WIDE


def _noise(count: int) -> Samples:
    base = _noise_second()
    return np.resize(base, count)


@cache
def _noise_second() -> Any:
    # Always the same noise: the same sound gives the same words.
    return np.random.default_rng(20).normal(0, _NOISE_RMS, WORKING_RATE * 3).astype(np.float32)
