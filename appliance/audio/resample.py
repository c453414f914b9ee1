"""Streaming resampler for 16-bit mono audio: anti-aliased, low lag, exact in length whatever the chunk boundaries.

A polyphase filter, linear in phase, flat to 0.45 of the lower rate and 80 dB down from 0.56 on. What folds back between
those lies above the voice. Its look-ahead is 1.5 ms at 16 kHz, and 3 ms towards 8 kHz.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from appliance.frames import BYTES_PER_SAMPLE

FULL_SCALE: Final = 32_768.0
REACH: Final = 24
"""Periods of the lower rate that the filter looks back, and ahead."""
FEW_PHASES: Final = 8
"""With more, one look into the inputs for each sample is cheaper than one for each phase."""
KAISER: Final = 8.0
"""The window's shape: with REACH, 80 dB within an eighth of the lower rate."""


def to_pcm(signal: NDArray[np.float32]) -> bytes:
    """float32 -> s16le, rounded; what is beyond full scale is clipped, never wrapped."""
    return _rounded(signal * np.float32(FULL_SCALE))


def _rounded(samples: NDArray[np.float32]) -> bytes:
    np.rint(samples, out=samples)
    np.clip(samples, -32_768, 32_767, out=samples)
    return samples.astype("<i2").tobytes()


@dataclass(frozen=True, slots=True)
class _Filter:
    """Output n lies at input n * down / up, and needs the inputs up to `reach` before and behind that.

    Row p of `phases` weighs them where n * down leaves p when divided by `up`.
    """

    up: int
    down: int
    reach: int
    phases: NDArray[np.float32]


@lru_cache(maxsize=32)
def _filter(from_rate: int, to_rate: int) -> _Filter:
    common = math.gcd(from_rate, to_rate)
    up, down = to_rate // common, from_rate // common
    reach = math.ceil(REACH * max(1.0, from_rate / to_rate))
    cut = min(1.0, to_rate / from_rate)
    taps = np.arange(-reach, reach + 1)
    apart = np.arange(up)[:, None] / up - taps[None, :]
    window = np.i0(KAISER * np.sqrt(np.clip(1 - np.square(apart / reach), 0, None)))
    phases = np.where(np.abs(apart) <= reach, window * np.sinc(cut * apart), 0.0)
    phases /= phases.sum(axis=1, keepdims=True)
    return _Filter(up, down, reach, phases.astype(np.float32))


def lag_samples(from_rate: int, to_rate: int) -> int:
    """Output samples that a stream is behind its input: the filter's look-ahead, the same for any signal."""
    if from_rate == to_rate:
        return 0
    return _filter(from_rate, to_rate).reach * to_rate // from_rate


def _windows(
    inputs: NDArray[np.float32], width: int, start: int, step: int, count: int
) -> NDArray[np.float32]:
    """`count` views of what a filter weighs at once, `step` samples apart, the first from `start` on."""
    size = inputs.itemsize
    return np.ndarray((count, width), np.float32, inputs, start * size, (step * size, size))


class Resampler:
    """One stream from `from_rate` to `to_rate`.

    `process` returns what is ready (at most `lag_ms` behind), `flush` the tail; together exactly
    round(n * to_rate / from_rate) samples for n samples fed, with the same content for any chunking. After `flush`
    the next `process` begins a new stream.
    """

    def __init__(self, from_rate: int, to_rate: int) -> None:
        if from_rate <= 0 or to_rate <= 0:
            raise ValueError(f"no such sample rates: {from_rate} -> {to_rate}")
        self.from_rate = from_rate
        self.to_rate = to_rate
        self.lag_ms = lag_samples(from_rate, to_rate) * 1000 / to_rate
        self._filter = None if from_rate == to_rate else _filter(from_rate, to_rate)
        self._begin(self._filter.reach if self._filter else 0)

    def _begin(self, reach: int) -> None:
        self._fed = 0
        self._made = 0
        self._kept = np.zeros(reach, dtype=np.float32)
        """The newest inputs that outputs to come need; before the first there was silence."""
        self._silent = 2 * reach
        """So many of the newest inputs were silence."""

    def process(self, pcm: bytes) -> bytes:
        """s16le in, s16le out; `pcm` is any number of whole samples. Raise ValueError on half a sample."""
        if len(pcm) % BYTES_PER_SAMPLE:
            raise ValueError("half a sample")
        if self._filter is None or not pcm:
            return pcm
        return self._made_of(np.frombuffer(pcm, dtype="<i2"), self._filter, pcm == bytes(len(pcm)))

    def flush(self) -> bytes:
        """End the stream: return the samples still owed for what was fed."""
        if self._filter is None:
            return b""
        owed = (2 * self._fed * self.to_rate + self.from_rate) // (2 * self.from_rate) - self._made
        silence = np.zeros(self._filter.reach + self._filter.down + 1, dtype="<i2")
        tail = self._made_of(silence, self._filter, True)[: max(0, owed) * BYTES_PER_SAMPLE]
        self._begin(self._filter.reach)
        return tail

    def _made_of(self, samples: NDArray[np.int16], by: _Filter, silence: bool) -> bytes:
        inputs = np.concatenate((self._kept, samples), dtype=np.float32)
        first = self._fed - len(self._kept)
        self._fed += len(samples)
        self._silent = self._silent + len(samples) if silence else 0
        begin, end = self._made, max(self._made, -((by.reach - self._fed) * by.up // by.down))
        self._made = end
        self._kept = inputs[end * by.down // by.up - by.reach - first :].copy()
        if begin == end or self._silent >= len(inputs):
            return bytes((end - begin) * BYTES_PER_SAMPLE)
        width = 2 * by.reach + 1
        made = np.empty(end - begin, dtype=np.float32)
        if by.up > FEW_PHASES:
            places = np.arange(begin, end) * by.down
            windows = _windows(inputs, width, 0, 1, len(inputs) - 2 * by.reach)[
                places // by.up - by.reach - first
            ]
            np.einsum("ij,ij->i", windows, by.phases[places % by.up], out=made)
            return _rounded(made)
        for at in range(min(by.up, end - begin)):
            start, phase = divmod((begin + at) * by.down, by.up)
            every = made[at :: by.up]
            windows = _windows(inputs, width, start - by.reach - first, by.down, len(every))
            np.einsum("ij,j->i", windows, by.phases[phase], out=every)
        return _rounded(made)
