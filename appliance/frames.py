"""The audio frame, and the arithmetic of its length.

Everywhere: mono, signed 16 bit, little endian. The working rate is 16 kHz, the working frame 20 ms.
"""

from dataclasses import dataclass
from typing import Final

WORKING_RATE: Final = 16_000
FRAME_MS: Final = 20
BYTES_PER_SAMPLE: Final = 2
LINE_RATES: Final = (8_000, 16_000, 24_000, 48_000)


@dataclass(frozen=True, slots=True)
class Frame:
    """A run of samples: `pcm` s16le mono at `rate`; `at` is the monotonic second when its last sample was taken."""

    pcm: bytes
    rate: int
    at: float

    @property
    def samples(self) -> int:
        return len(self.pcm) // BYTES_PER_SAMPLE

    @property
    def duration_ms(self) -> float:
        return self.samples * 1000 / self.rate


def samples_in(milliseconds: float, rate: int) -> int:
    """Samples in `milliseconds` at `rate`, rounded to the nearest."""
    return round(milliseconds * rate / 1000)


def milliseconds_of(pcm: bytes | bytearray | memoryview, rate: int) -> float:
    """Length of `pcm` (s16le mono) in milliseconds."""
    return len(pcm) / BYTES_PER_SAMPLE * 1000 / rate
