"""The second line against our own voice: whether what the microphone took can be the echo of what was played. Pure.

What is left behind an echo canceller says little about where it came from: it suppresses most where the echo is
strongest. The microphone before it does: its spectrum is that of what was played some frames ago, band by band as much
fainter as the room makes it. Both are learnt, how late and how much fainter, and how far an echo strays from that,
which is a lot where a loudspeaker distorts. What exceeds the explanation in its best bands is somebody else.
"""

import math
from collections import deque
from typing import Final

import numpy as np
import numpy.typing as npt

from appliance.frames import FRAME_MS, WORKING_RATE, samples_in

FRAME_SAMPLES: Final = samples_in(FRAME_MS, WORKING_RATE)
LAGS: Final = 32
"""Frames: an echo is heard within so many, 640 ms."""
BEST_BANDS: Final = 5
SILENT_DB: Final = -75.0
"""What is played more quietly than this in every band is no sound."""
DECAY_DB: Final = 1.8
"""A frame, 60 dB in 0.7 s: about a living room's reverberation. What a hall does beyond that widens the margin."""
FOREIGN_WINDOW: Final = 15
"""Frames that count for `foreign_ms`."""
HELD: Final = 15
"""The newest frames are not learnt from yet: it may be speech that was not found so far."""
LEARN_DB: Final = 0.5
SPEECH_SHARE: Final = 0.1
"""How much of that is learnt while the detector says that somebody speaks: it may be wrong about it."""
GAIN_QUANTILE: Final = 0.9
MARGIN_QUANTILE: Final = 0.99
LEAST_MARGIN_DB: Final = 3.0
MOST_MARGIN_DB: Final = 12.0
KNOWN_FRAMES: Final = 50
"""After so many frames of sound the explanation holds."""
LEAST_GAIN_DB: Final = -70.0
LIKENESS: Final = 0.35
"""How alike the two must be at a lag for it to be the echo's."""
MEMORY: Final = 0.99
"""Of the lag, a frame: two seconds."""

_EDGES: Final = np.unique(np.round(np.geomspace(4, 120, 17)).astype(int))
_BANDS: Final = len(_EDGES) - 1
_WINDOW: Final = np.hanning(FRAME_SAMPLES).astype(np.float32)
_SCALE: Final = 2.0 / (32_768.0**2 * FRAME_SAMPLES * float(np.sum(_WINDOW.astype(np.float64) ** 2)))
_NOTHING_DB: Final = -100.0
_NOTHING: Final = np.full(_BANDS, _NOTHING_DB)

Bands = npt.NDArray[np.float64]


def band_levels(pcm: bytes) -> Bands:
    """Of 20 ms at 16 kHz: power in each band from 200 Hz to 6 kHz, dBFS."""
    spectrum = np.fft.rfft(np.frombuffer(pcm, dtype="<i2") * _WINDOW)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    bands = np.add.reduceat(power[: _EDGES[-1]], _EDGES[:-1])
    return np.asarray(10 * np.log10(bands * _SCALE + 1e-10))


class Lag:
    """How many frames later the microphone takes what is played: where the two move most alike."""

    def __init__(self) -> None:
        self._products = np.zeros(LAGS)
        self._near_power = 1e-9
        self._far_power = np.full(LAGS, 1e-9)
        self._near_mean: Bands | None = None
        self._far_mean: Bands | None = None

    def take(self, near: Bands, played: Bands) -> None:
        """`played` are the newest LAGS frames, the newest first."""
        if self._near_mean is None or self._far_mean is None:
            self._near_mean, self._far_mean = near.copy(), played[0].copy()
        self._near_mean += 0.02 * (near - self._near_mean)
        self._far_mean += 0.02 * (played[0] - self._far_mean)
        moves = np.clip(near - self._near_mean, -20, 20)
        others = np.clip(played - self._far_mean, -20, 20)
        self._products = MEMORY * self._products + others @ moves
        self._near_power = MEMORY * self._near_power + float(moves @ moves)
        self._far_power = MEMORY * self._far_power + np.einsum("ij,ij->i", others, others)

    @property
    def found(self) -> int | None:
        """None where no lag stands out."""
        likeness = self._products / np.sqrt(self._near_power * self._far_power)
        best = int(np.argmax(likeness))
        return best if likeness[best] >= LIKENESS else None


class Explanation:
    """How much fainter than what was played the echo is, band by band, and how far it strays from that."""

    def __init__(self) -> None:
        self.known = 0.0
        self._gain = np.full(_BANDS, -30.0)
        self._margin = LEAST_MARGIN_DB

    def excess_db(self, near: Bands, played: Bands, noise: Bands) -> float:
        """By how much the best bands exceed echo and noise, beyond what echoes are known to stray."""
        return self._score(near, played, noise) - self._margin

    def learn(self, near: Bands, played: Bands, noise: Bands, share: float) -> None:
        step = share * (LEARN_DB if self.known >= KNOWN_FRAMES else 6 * LEARN_DB)
        # An echo that drowns in the noise is fainter than what is known: otherwise people alone would teach its level.
        above = (near - played > self._gain) & (near > noise + 3)
        move = np.where(above, GAIN_QUANTILE, GAIN_QUANTILE - 1) * step
        self._gain = np.maximum(LEAST_GAIN_DB, self._gain + np.where(played > SILENT_DB, move, 0.0))
        self.known += share
        # People exceed it by far: what is found to be speech teaches nothing of how far an echo strays.
        if self.known >= KNOWN_FRAMES and share == 1.0:
            over = self._score(near, played, noise) > self._margin
            self._margin += (MARGIN_QUANTILE if over else MARGIN_QUANTILE - 1) * step
            self._margin = min(MOST_MARGIN_DB, max(LEAST_MARGIN_DB, self._margin))

    def _score(self, near: Bands, played: Bands, noise: Bands) -> float:
        explained = np.maximum(played + self._gain, noise + 6)
        return float(np.mean(np.sort(near - explained)[-BEST_BANDS:]))


class EchoGuard:
    """One for a room. `foreign_ms` of the last 300 ms are not our own sound, as far as is known; inf in silence."""

    def __init__(self) -> None:
        self._played: deque[Bands] = deque([_NOTHING] * LAGS, maxlen=LAGS)
        self._lag = Lag()
        self._at_lag = Explanation()
        self._anywhere = Explanation()
        self._tail = np.full((2, _BANDS), _NOTHING_DB)
        self._noise = np.full(_BANDS, -85.0)
        self._held: deque[tuple[Bands, Bands, Bands]] = deque(maxlen=HELD + 1)
        self._foreign: deque[bool] = deque(maxlen=FOREIGN_WINDOW)
        self._since_sound = LAGS + HELD
        self._found: int | None = None
        self.excess_db = -math.inf
        """By how much the newest frame is more than the echo that was learnt may be; -inf before that."""

    def process(self, near: bytes, far: bytes, *, speech: bool) -> float:
        """Take 20 ms of the raw microphone and of what is played, s16le mono at 16 kHz; return `foreign_ms`.

        `speech`: it was found behind the canceller.
        """
        played = band_levels(far) if far.count(0) < len(far) else _NOTHING
        sounds = played is not _NOTHING and played.max() > SILENT_DB
        self._since_sound = 0 if sounds else self._since_sound + 1
        self._played.appendleft(played)
        silent = self._since_sound >= LAGS + HELD
        self.excess_db = -math.inf
        if silent and self._since_sound % HELD:
            return math.inf
        levels = band_levels(near)
        if silent:
            self._foreign.clear()
            self._held.clear()
            self._tail = np.full((2, _BANDS), _NOTHING_DB)
            self._learn_noise(levels, speech=speech)
            return math.inf
        history = np.array(self._played)
        self._lag.take(levels, history)
        late, wide = self._expected(history)
        self._foreign.append(self._exceeds(levels, late, wide))
        self._learn(levels, late, wide, speech=speech)
        return float(sum(self._foreign) * FRAME_MS)

    def _expected(self, history: Bands) -> tuple[Bands, Bands]:
        """What was played, as late as the echo is, and as late as it may be; with the reverberation of what was."""
        self._found = self._lag.found
        at = self._found if self._found is not None else 0
        near_lag = history[max(0, at - 1) : at + 2].max(axis=0)
        newest = np.array((near_lag, history.max(axis=0)))
        self._tail = np.maximum(self._tail - DECAY_DB, newest)
        return self._tail[0], self._tail[1]

    def _exceeds(self, levels: Bands, late: Bands, wide: Bands) -> bool:
        if self._found is not None and self._at_lag.known >= KNOWN_FRAMES:
            self.excess_db = self._at_lag.excess_db(levels, late, self._noise)
            return self.excess_db > 0
        if self._anywhere.known >= KNOWN_FRAMES:
            self.excess_db = self._anywhere.excess_db(levels, wide, self._noise)
            return self.excess_db > 0
        # Nothing is known of the room yet: whoever speaks is believed.
        return True

    def _learn(self, levels: Bands, late: Bands, wide: Bands, *, speech: bool) -> None:
        self._held.append((levels, late, wide))
        if speech:
            # A canceller that is new lets an echo through, and a detector takes it for speech: some of it is learnt.
            self._teach(levels, late, wide, SPEECH_SHARE)
            self._held.clear()
        elif len(self._held) > HELD:
            self._teach(*self._held.popleft(), 1.0)

    def _teach(self, levels: Bands, late: Bands, wide: Bands, share: float) -> None:
        if self._found is not None:
            self._at_lag.learn(levels, late, self._noise, share)
        self._anywhere.learn(levels, wide, self._noise, share)

    def _learn_noise(self, levels: Bands, *, speech: bool) -> None:
        """The room's, while nothing sounds: quantile of a half, quickly down and slowly up."""
        if not speech:
            self._noise += np.clip(levels - self._noise, -3.0, 1.0)
