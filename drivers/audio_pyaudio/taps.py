"""What runs on PortAudio's threads: one tap on each open stream. A tap copies, counts, and never raises or waits.

PyAudio hands an exception of a callback to the main thread, wherever that is: hence the broad guards.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from appliance.frames import BYTES_PER_SAMPLE
from appliance.interfaces import CaptureSink, PlayoutSource
from drivers.audio_pyaudio.library import CONTINUE
from drivers.foreign_thread import keep_state

BACKLOG_SECONDS: Final = 0.2
STANDING_SECONDS: Final = 2.0
"""A delay that lasts longer than this while we drop is the device's own (Bluetooth), and no backlog."""


@dataclass(slots=True)
class Counts:
    """What happened on one direction since the card was made. Written by one thread at a time."""

    blocks: int = 0
    xruns: int = 0
    faults: int = 0
    """Exceptions of the sink or source, which have no business raising."""
    backlog_dropped: int = 0
    gated: int = 0
    zero_blocks: int = 0
    """Blocks of exact zeros in a row: a hint that a microphone is dead, no proof."""


class Tap:
    """Common to both directions: when the last block came, and whether blocks still count."""

    def __init__(self, counts: Counts, rate: int) -> None:
        self.counts = counts
        self.rate = rate
        self.blocks = 0
        self.last = time.monotonic()
        self.closed = False

    def _tick(self, status: int) -> float:
        self.last = now = time.monotonic()
        if not self.blocks:
            keep_state()
        self.blocks += 1
        self.counts.blocks += 1
        if status:
            self.counts.xruns += 1
        return now


class MicrophoneTap(Tap):
    """Passes the microphone's blocks on while its `gate` is open, and drops what is older than the backlog allows."""

    def __init__(self, counts: Counts, rate: int, sink: CaptureSink) -> None:
        super().__init__(counts, rate)
        self.gate = False
        """Closed until the stream is known to hang on the right device, and whenever that is in doubt."""
        self.backlog = 0.0
        self._sink = sink
        self._floor = float("inf")
        self._dropping_since = 0.0

    def __call__(
        self, pcm: bytes | None, frames: int, times: Mapping[str, float], status: int
    ) -> tuple[None, int]:
        try:
            self._take(pcm or b"", frames, times, self._tick(status))
        except Exception:  # noqa: BLE001 - see the module's docstring
            self.counts.faults += 1
        return None, CONTINUE

    def _take(self, pcm: bytes, frames: int, times: Mapping[str, float], now: float) -> None:
        self.counts.zero_blocks = 0 if pcm.strip(b"\0") else self.counts.zero_blocks + 1
        taken = times["input_buffer_adc_time"]
        behind = max(0.0, times["current_time"] - taken - frames / self.rate) if taken > 0 else 0.0
        self._floor = min(self._floor, behind)
        self.backlog = behind - self._floor
        if self.closed or not self.gate:
            self.counts.gated += frames
        elif self._too_old(now):
            self.counts.backlog_dropped += frames
        else:
            self._sink(pcm, now - behind)

    def _too_old(self, now: float) -> bool:
        if self.backlog <= BACKLOG_SECONDS:
            self._dropping_since = 0.0
            return False
        self._dropping_since = self._dropping_since or now
        if now - self._dropping_since > STANDING_SECONDS:
            self._floor += self.backlog
        return True


class SpeakerTap(Tap):
    """Asks the source for each block; `delay` is the time until its first sample sounds, as the device tells."""

    def __init__(self, counts: Counts, rate: int, source: PlayoutSource, delay: float) -> None:
        super().__init__(counts, rate)
        self.delay = delay
        self._source = source

    def __call__(
        self, pcm: bytes | None, frames: int, times: Mapping[str, float], status: int
    ) -> tuple[bytes, int]:
        size = frames * BYTES_PER_SAMPLE
        try:
            self._tick(status)
            sounds = times["output_buffer_dac_time"]
            if sounds > 0:
                self.delay = min(max(0.0, sounds - times["current_time"]), 2.0)
            block = bytes(size) if self.closed else self._source(frames)
        except Exception:  # noqa: BLE001 - see the module's docstring
            self.counts.faults += 1
            block = b""
        # A short block would end the stream.
        return block.ljust(size, b"\0"), CONTINUE
