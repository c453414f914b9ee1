"""Streaming resampler for 16-bit mono audio: anti-aliased, low lag, exact in length whatever the chunk boundaries."""

import math
from functools import lru_cache
from typing import Final

import numpy as np
import samplerate
from numpy.typing import NDArray

from appliance.frames import BYTES_PER_SAMPLE

TELEPHONE_RATE: Final = 8_000
FULL_SCALE: Final = 32_768.0


def to_float(pcm: bytes) -> NDArray[np.float32]:
    """s16le -> float32 in -1..1. Raise ValueError on half a sample."""
    return np.frombuffer(pcm, dtype="<i2").astype(np.float32) / np.float32(FULL_SCALE)


def to_pcm(signal: NDArray[np.float32]) -> bytes:
    """float32 -> s16le, rounded; what is beyond full scale is clipped, never wrapped."""
    samples: NDArray[np.int16] = np.clip(np.rint(signal * np.float32(FULL_SCALE)), -32_768, 32_767).astype(
        "<i2"
    )
    return samples.tobytes()


def converter_for(from_rate: int, to_rate: int) -> str:
    """The libsamplerate converter: the short filter towards telephony, else the one that is flat to 0.4 of the rate."""
    return "sinc_fastest" if to_rate <= TELEPHONE_RATE and from_rate > to_rate else "sinc_medium"


@lru_cache(maxsize=64)
def lag_samples(from_rate: int, to_rate: int) -> int:
    """Output samples that a stream is behind its input: the filter's look-ahead, the same for any signal."""
    if from_rate == to_rate:
        return 0
    engine = samplerate.Resampler(converter_for(from_rate, to_rate), 1)
    made = len(engine.process(np.zeros(from_rate, dtype=np.float32), to_rate / from_rate))
    return to_rate - made


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
        self._ratio = to_rate / from_rate
        self._fed = 0
        self._made = 0
        self._engine = (
            None if from_rate == to_rate else samplerate.Resampler(converter_for(from_rate, to_rate), 1)
        )

    def process(self, pcm: bytes) -> bytes:
        """s16le in, s16le out; `pcm` is any number of whole samples. Raise ValueError on half a sample."""
        if len(pcm) % BYTES_PER_SAMPLE:
            raise ValueError("half a sample")
        if self._engine is None or not pcm:
            return pcm
        self._fed += len(pcm) // BYTES_PER_SAMPLE
        made = self._engine.process(to_float(pcm), self._ratio)
        self._made += len(made)
        return to_pcm(made)

    def flush(self) -> bytes:
        """End the stream: return the samples still owed for what was fed."""
        if self._engine is None:
            return b""
        owed = self._due() - self._made
        # libsamplerate's own end-of-input returns nothing through this binding: silence pushes the tail out instead.
        enough = owed + lag_samples(self.from_rate, self.to_rate) + 2
        silence = np.zeros(max(0, math.ceil(enough / self._ratio)), dtype=np.float32)
        tail = self._engine.process(silence, self._ratio)[: max(0, owed)] if self._fed else silence[:0]
        self._engine.reset()
        self._fed = self._made = 0
        return to_pcm(tail)

    def _due(self) -> int:
        return (2 * self._fed * self.to_rate + self.from_rate) // (2 * self.from_rate)
