"""What tells speech from steady sound: minimum statistics in a few bands of the voice, and how much the level moves.

Speech rises and falls by 10 dB and more several times a second, also in noise of 5 dB less; hum, hiss, fans and held
chords stay within 6 dB.
"""

import math
from collections import deque
from typing import Final

import numpy as np
from numpy.typing import NDArray

from appliance.frames import FRAME_MS, WORKING_RATE, samples_in

FRAME_SAMPLES: Final = samples_in(FRAME_MS, WORKING_RATE)
BAND_EDGES_HZ: Final = (150, 400, 800, 1_600, 3_200, 5_600)
BLOCK_FRAMES: Final = 10
BLOCKS: Final = 8
"""The floor is the lowest level of so many blocks: 1.6 s, longer than speech goes without a dip."""
PRIOR_DB: Final = -62.0
PRIOR_BLOCKS: Final = 3
"""Until so many blocks were heard, the room is taken to be as quiet as PRIOR_DB a band: speech may come at once."""
QUIETEST_DB: Final = -72.0
"""A floor below this is taken to be this: in digital silence the faintest click would stand out."""
SMOOTHING: Final = 0.5
BEST_BANDS: Final = 3
STEADY_FRAMES: Final = 75
STEADY_SPREAD_DB: Final = 7.0
STEADY_JUMP_DB: Final = 5.0

_WINDOW: Final = np.hanning(FRAME_SAMPLES).astype(np.float32)
_STARTS: Final = np.array([round(edge * FRAME_SAMPLES / WORKING_RATE) for edge in BAND_EDGES_HZ])
_SCALE: Final = 2.0 / (32_768.0**2 * FRAME_SAMPLES * float(np.sum(_WINDOW.astype(np.float64) ** 2)))

Levels = NDArray[np.float64]


def band_levels(pcm: bytes) -> Levels:
    """Power of a frame in each band, dBFS."""
    spectrum = np.fft.rfft(np.frombuffer(pcm, dtype="<i2") * _WINDOW)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    bands = np.add.reduceat(power[: _STARTS[-1]], _STARTS[:-1])
    levels: Levels = 10 * np.log10(bands * _SCALE + 1e-12)
    return levels


class NoiseFloor:
    """Follows the steady sound of the last 1.6 s."""

    def __init__(self) -> None:
        bands = len(BAND_EDGES_HZ) - 1
        prior = np.full(bands, PRIOR_DB)
        self._prior_blocks = PRIOR_BLOCKS
        self._minima: deque[Levels] = deque([prior] * PRIOR_BLOCKS, maxlen=BLOCKS)
        self._block = np.full(bands, np.inf)
        self._block_frames = 0
        self._lowest = prior
        self._smooth: Levels | None = None

    def stands_out_db(self, levels: Levels) -> float:
        """Take the next frame's band levels; return by how many dB its best bands exceed the floor."""
        self._smooth = levels if self._smooth is None else SMOOTHING * self._smooth + (1 - SMOOTHING) * levels
        floor = np.minimum(self._lowest, self._block)
        excess = self._smooth - np.maximum(floor, QUIETEST_DB)
        excess.sort()
        self._block = np.minimum(self._block, self._smooth)
        self._block_frames += 1
        if self._block_frames == BLOCK_FRAMES:
            self._turn_block()
        return float(excess[-BEST_BANDS:].sum()) / BEST_BANDS

    def _turn_block(self) -> None:
        if self._prior_blocks:
            self._prior_blocks -= 1
            self._minima.popleft()
        self._minima.append(self._block)
        self._lowest = np.minimum.reduce(list(self._minima))
        self._block = np.full(len(self._block), np.inf)
        self._block_frames = 0


class Steadiness:
    """Knows whether the level of the last 1.5 s has hardly moved."""

    def __init__(self) -> None:
        self._levels: deque[float] = deque(maxlen=STEADY_FRAMES)

    def take(self, levels: Levels) -> None:
        """The next frame's band levels."""
        self._levels.append(10 * math.log10(sum(10 ** (band / 10) for band in levels.tolist())))

    @property
    def steady(self) -> bool:
        """The newest frame is one more of a flat run."""
        if len(self._levels) < STEADY_FRAMES // 2:
            return False
        ordered = sorted(self._levels)
        low, middle, high = (ordered[len(ordered) * tenth // 10] for tenth in (1, 5, 9))
        return high - low < STEADY_SPREAD_DB and self._levels[-1] - middle < STEADY_JUMP_DB
