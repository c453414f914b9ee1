"""The echo canceller's far end: as much of what was played as was recorded, and never much later than that."""

from typing import Final

from appliance.audio.ring import Ring
from appliance.frames import BYTES_PER_SAMPLE, samples_in

LAG_LIMIT_MS: Final = 100.0
LAG_TARGET_MS: Final = 10.0
SURPLUS_MS: Final = 30.0
SURPLUS_WINDOW_MS: Final = 2_000.0


class FarEnd:
    """Reads `ring` (at `rate`, written by Playout.pull) in step with a microphone at `capture_rate`.

    What stays unread is a delay that the canceller does not see, and beyond the card's own delay it makes it blind. So
    more than LAG_LIMIT_MS is cut at once, and what was never needed in SURPLUS_WINDOW_MS down to LAG_TARGET_MS.
    """

    def __init__(self, ring: Ring, rate: int, capture_rate: int) -> None:
        self.dropped = 0
        self.missing = 0
        self._ring = ring
        self._rate = rate
        self._capture_rate = capture_rate
        self._due = 0
        self._surplus = 0
        self._window = 0
        self._fresh_window()

    def take(self, captured: int) -> bytes:
        """As long a piece (s16le at `rate`) as `captured` microphone samples; silence stands for what is missing."""
        self._due += captured * self._rate
        wanted, self._due = divmod(self._due, self._capture_rate)
        if self._unread() - wanted > samples_in(LAG_LIMIT_MS, self._rate):
            self._cut(self._unread() - wanted - samples_in(LAG_TARGET_MS, self._rate))
        played = self._ring.read(wanted * BYTES_PER_SAMPLE)
        short = wanted * BYTES_PER_SAMPLE - len(played)
        self.missing += short // BYTES_PER_SAMPLE
        self._watch_surplus(wanted)
        return played + bytes(short)

    def counters(self) -> dict[str, int]:
        return {
            "reference_dropped_ms": round(self.dropped * 1000 / self._rate),
            "reference_missing_ms": round(self.missing * 1000 / self._rate),
        }

    def _unread(self) -> int:
        return self._ring.available // BYTES_PER_SAMPLE

    def _cut(self, samples: int) -> None:
        self.dropped += self._ring.discard(samples * BYTES_PER_SAMPLE) // BYTES_PER_SAMPLE
        self._fresh_window()

    def _fresh_window(self) -> None:
        self._surplus = 1 << 30
        self._window = samples_in(SURPLUS_WINDOW_MS, self._rate)

    def _watch_surplus(self, wanted: int) -> None:
        self._surplus = min(self._surplus, self._unread())
        self._window -= wanted
        if self._window > 0:
            return
        if self._surplus > samples_in(SURPLUS_MS, self._rate):
            self._cut(self._surplus - samples_in(LAG_TARGET_MS, self._rate))
        self._fresh_window()
