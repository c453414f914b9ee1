"""The echo canceller's far end: as much of what was played as was recorded, and never much later than that."""

from typing import Final

from appliance.audio.ring import Ring
from appliance.frames import BYTES_PER_SAMPLE, samples_in

LAG_LIMIT_MS: Final = 100.0
LAG_TARGET_MS: Final = 10.0
SURPLUS_MS: Final = 30.0
SURPLUS_WINDOW_MS: Final = 2_000.0
LEAST_SURPLUS_MS: Final = 6.0
MOST_SURPLUS_MS: Final = 22.0
"""What was never needed stays between these: two clocks drift apart, and are held together a sample at a time."""
SLIP_SECONDS: Final = 6.0
"""In about so long it is brought back: 200 ppm leave it 1.2 ms outside."""
FASTEST_SLIP: Final = 5e-4
"""Samples left out or repeated, for each that is taken: what a canceller follows."""


class FarEnd:
    """Reads `ring` (at `rate`, written by Playout.pull) in step with a microphone at `capture_rate`.

    What stays unread is a delay that the canceller does not see, and beyond the card's own delay it makes it blind. So
    more than LAG_LIMIT_MS is cut at once, and what was never needed in SURPLUS_WINDOW_MS down to LAG_TARGET_MS. The
    clocks' drift needs no cut, nor silence where the speaker's is the slower one: a canceller is lost for seconds
    after either.
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
        self._slip = 0.0
        self._slipped = 0.0
        self._fresh_window()

    def take(self, captured: int) -> bytes:
        """As long a piece (s16le at `rate`) as `captured` microphone samples; silence stands for what is missing."""
        self._due += captured * self._rate
        wanted, self._due = divmod(self._due, self._capture_rate)
        self._slipped += self._slip * wanted
        if self._unread() - wanted > samples_in(LAG_LIMIT_MS, self._rate):
            self._cut(self._unread() - wanted - samples_in(LAG_TARGET_MS, self._rate))
        played = self._slipping(wanted)
        short = wanted * BYTES_PER_SAMPLE - len(played)
        self.missing += short // BYTES_PER_SAMPLE
        self._watch_surplus(wanted)
        return played + bytes(short)

    def _slipping(self, wanted: int) -> bytes:
        """`wanted` samples, of which at most one was left out or repeated."""
        if self._slipped >= 1 and self._unread() > wanted:
            self._slipped -= 1
            played = self._ring.read((wanted + 1) * BYTES_PER_SAMPLE)
            return played[: (wanted - 1) * BYTES_PER_SAMPLE] + played[wanted * BYTES_PER_SAMPLE :]
        if self._slipped <= -1 and wanted > 1:
            self._slipped += 1
            played = self._ring.read((wanted - 1) * BYTES_PER_SAMPLE)
            return played + played[-BYTES_PER_SAMPLE:]
        return self._ring.read(wanted * BYTES_PER_SAMPLE)

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
        least, most = (samples_in(ms, self._rate) for ms in (LEAST_SURPLUS_MS, MOST_SURPLUS_MS))
        beyond = max(0, self._surplus - most) - max(0, least - self._surplus)
        self._slip = max(-FASTEST_SLIP, min(FASTEST_SLIP, beyond / (SLIP_SECONDS * self._rate)))
        self._slipped = 0.0
        self._fresh_window()
