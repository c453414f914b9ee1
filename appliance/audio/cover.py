"""How long an utterance is held back before it sounds, so that late pieces leave no gap: pure, in milliseconds.

The time is that of the driver's pulls. The `lead` of an utterance is how much of it has come, or would be due by now
had it come in time: it grows with what is gathered and with the time that passes, whichever is ahead. So a burst
sounds as soon as there is enough of it, and what comes at its own pace sounds after a fixed delay, however late the
next piece is.
"""

from typing import Final

HIGHEST_MS: Final = 200.0
MARGIN_MS: Final = 10.0
STEP_DOWN_MS: Final = 5.0
PATIENCE_MS: Final = 150.0


class JitterCover:
    """`ms` begins at `start_ms`, rises by what a late piece would have needed, MARGIN_MS more, up to HIGHEST_MS, and
    falls by STEP_DOWN_MS with each utterance that had more than that to spare."""

    def __init__(self, start_ms: float) -> None:
        self.ms = start_ms
        self._start_ms = start_ms
        self._late = False

    def wait_ms(self, lead_ms: float, gathered_ms: float, block_ms: float) -> float:
        """How much of a block of `block_ms` passes before an utterance may sound in it; `block_ms` or more: none of it.

        `gathered_ms` is what there is to take. An utterance with less than the rest of the block waits for more, but
        not beyond PATIENCE_MS.
        """
        wait = max(0.0, self.ms - lead_ms)
        if gathered_ms + wait >= block_ms or lead_ms >= max(PATIENCE_MS, self.ms):
            return wait
        return block_ms

    def came_late(self, ms: float) -> None:
        """An utterance went on after a gap of `ms`. One that no cover could have filled is no jitter."""
        self._late = True
        if ms <= HIGHEST_MS:
            self.ms = max(self.ms, min(HIGHEST_MS, self.ms + ms + MARGIN_MS))

    def settled(self, spare_ms: float) -> None:
        """An utterance ended; `spare_ms` was the least that was gathered while more of it was to come."""
        if not self._late and spare_ms >= STEP_DOWN_MS + MARGIN_MS:
            self.ms = max(self._start_ms, self.ms - STEP_DOWN_MS)
        self._late = False
