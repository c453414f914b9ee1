"""From the detector's frames to the turn's events: onset, confirmed, dismissed, stopped. Pure.

The detector says "speech" until its hangover is over, 600 ms after a cough. A candidate that has fallen silent is let
go sooner, so that a paused answer goes on; should the voice rise again within the hangover, that is a new onset.

What the echo of our own sound explains (`Captured.foreign_ms`) neither starts nor confirms.

While the appliance speaks, a suspicion (`Captured.over`) is an onset too. The playout being paused, the detector finds
the voice or does not: nothing but what it finds confirms. The canceller may hide again a voice that it let through,
for half a second: as long as the suspicion goes on, that is no lull.
"""

import math
from typing import Final

from appliance.audio.capture import Captured
from appliance.audio.vad import Edge
from appliance.session.turn import SpeechConfirmed, SpeechDismissed, SpeechStarted, SpeechStopped, TurnEvent

LEAST_TURN_MS: Final = 100.0
LULL_MS: Final = 260.0
"""As long as the plosive in "excuse me"."""
SUSPICION_LULL_MS: Final = 300.0
"""The same, with the canceller still holding back what surrounds it."""
LONGEST_SUSPICION_MS: Final = 1_000.0
"""How long the playout stands still for what the detector does not find."""
FOREIGN_START_MS: Final = 20.0
FOREIGN_CONFIRM_MS: Final = 80.0
"""Of the last 300 ms so much must not be our own sound for an onset, and for a barge-in."""
LONGEST_OWN_MS: Final = 700.0
"""A candidate that is still our own sound after so much of it is none."""


class OnsetWatch:
    """`confirm_ms` of voice makes a candidate a barge-in; less than LEAST_TURN_MS of voice makes no turn."""

    def __init__(self, start_ms: float, confirm_ms: float) -> None:
        self.running = False
        """Speech has started, and neither stopped nor been dismissed."""
        self.withheld = 0
        """Onsets that were our own sound."""
        self._start_ms = start_ms
        self._confirm_ms = confirm_ms
        self._base_ms = 0.0
        self._voiced_ms = 0.0
        self._still_ms = 0.0
        self._suspected_ms = 0.0
        self._hidden_ms = 0.0
        self._spent = False

    def hear(self, captured: Captured, *, doubtful: bool, sounding: bool = False) -> TurnEvent | None:
        """What the frame means.

        `doubtful`: the speech that runs is a candidate, to be confirmed or dismissed. `sounding`: the appliance speaks
        and can be paused.
        """
        self._spent &= captured.over
        if captured.speech:
            self._suspected_ms = 0.0
        elif self._suspected_ms or self._suspicious(captured, doubtful=doubtful, sounding=sounding):
            return self._suspect(captured, doubtful)
        if not captured.speech:
            event = self._end(doubtful)
            self._base_ms = self._voiced_ms = 0.0
            return event
        self._follow(captured)
        run_ms = captured.voiced_ms - self._base_ms
        if not self.running:
            suspected = self._suspicious(captured, doubtful=doubtful, sounding=sounding)
            if captured.edge is not Edge.STARTED and run_ms < self._start_ms and not suspected:
                return None
            if captured.foreign_ms < FOREIGN_START_MS:
                self.withheld += captured.edge is Edge.STARTED
                return None
            self.running = True
            self._still_ms = self._hidden_ms = 0.0
            return SpeechStarted()
        if doubtful and run_ms >= self._confirm_ms:
            if captured.foreign_ms >= FOREIGN_CONFIRM_MS:
                return SpeechConfirmed()
            if run_ms >= LONGEST_OWN_MS:
                self.withheld += 1
                return self.cut(doubtful=True)
        if doubtful and self._still_ms >= LULL_MS:
            return self.cut(doubtful=True)
        return None

    def cut(self, *, doubtful: bool) -> TurnEvent | None:
        """Nothing is heard from here on, for whatever reason: end the run that is under way."""
        event = self._end(doubtful)
        self._base_ms = self._voiced_ms
        return event

    def skip(self, voiced_ms: float) -> None:
        """A frame that does not count: voice up to here makes no onset."""
        self._base_ms = self._voiced_ms = voiced_ms

    def ignore(self) -> None:
        """Start no run before the detector has fallen silent."""
        self.running = False
        self._base_ms = math.inf

    def _suspicious(self, captured: Captured, *, doubtful: bool, sounding: bool) -> bool:
        """It begins one, or carries on what the detector has begun and lost."""
        if not captured.over or self._spent or captured.foreign_ms < FOREIGN_START_MS:
            return False
        return doubtful if self.running else sounding and math.isfinite(self._base_ms)

    def _suspect(self, captured: Captured, doubtful: bool) -> TurnEvent | None:
        """A frame in which somebody seems to talk, or seemed to just before, and the detector has found nothing."""
        self._base_ms = self._voiced_ms = 0.0
        self._still_ms = 0.0 if captured.over else self._still_ms + captured.frame.duration_ms
        self._suspected_ms += captured.frame.duration_ms
        if not self.running:
            self.running = True
            return SpeechStarted()
        self._spent = self._suspected_ms >= LONGEST_SUSPICION_MS
        return self._end(doubtful) if self._spent or self._still_ms >= SUSPICION_LULL_MS else None

    def _follow(self, captured: Captured) -> None:
        if captured.edge is Edge.STARTED:
            self._base_ms = self._voiced_ms = 0.0
        if captured.voiced_ms > self._voiced_ms:
            self._still_ms = 0.0
        elif self.running and captured.over and not self._spent:
            self._still_ms = 0.0
            self._hidden_ms += captured.frame.duration_ms
            self._spent = self._hidden_ms >= LONGEST_SUSPICION_MS
        else:
            self._still_ms += captured.frame.duration_ms
        self._voiced_ms = captured.voiced_ms

    def _end(self, doubtful: bool) -> TurnEvent | None:
        self._suspected_ms = 0.0
        if not self.running:
            return None
        self.running = False
        too_short = self._voiced_ms - self._base_ms < LEAST_TURN_MS
        return SpeechDismissed() if doubtful or too_short else SpeechStopped()
