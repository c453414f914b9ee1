"""How much of an utterance is gathered before it sounds, so that late pieces leave no gap: pure, counted in samples."""

from typing import Final

HIGHEST_MS: Final = 120.0
STEP_UP_MS: Final = 20.0
STEP_DOWN_MS: Final = 5.0
PATIENCE_MS: Final = 150.0


class JitterCover:
    """`ms` begins at `start_ms`, rises by STEP_UP_MS with each underrun up to HIGHEST_MS, and falls by STEP_DOWN_MS
    with each utterance that ended without one."""

    def __init__(self, rate: int, start_ms: float) -> None:
        self.ms = start_ms
        self._start_ms = start_ms
        self._rate = rate
        self._dry = False

    def reached(self, gathered_ms: float, waited_samples: int) -> bool:
        """Whether an utterance with `gathered_ms` of audio may sound that has held it back for `waited_samples`."""
        waited_ms = waited_samples * 1000 / self._rate
        return gathered_ms > 0 and (gathered_ms >= self.ms or waited_ms >= max(PATIENCE_MS, self.ms))

    def ran_dry(self) -> None:
        self._dry = True
        self.ms = max(self.ms, min(HIGHEST_MS, self.ms + STEP_UP_MS))

    def settled(self) -> None:
        """An utterance ended."""
        if not self._dry:
            self.ms = max(self._start_ms, self.ms - STEP_DOWN_MS)
        self._dry = False
