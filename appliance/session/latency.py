"""How long the person waited: the stages of a turn, in milliseconds after the last sound of their voice. Pure."""

from typing import Final

from appliance.events import LatencyMeasured

FARTHEST_MS: Final = 60_000


class TurnStopwatch:
    """Times are monotonic seconds. Each stage counts once; `report` gives the event once, when there is one to give."""

    def __init__(self) -> None:
        self._turn = -1
        self._origin = 0.0
        self._stages: dict[str, int] = {}
        self._running = False

    def start(self, turn: int, last_voiced_at: float, committed_at: float) -> None:
        """`turn` is over for the person; their voice was last heard at `last_voiced_at`."""
        self._turn = turn
        self._origin = last_voiced_at
        self._stages = {}
        self._running = True
        self.pass_(turn, "end_of_speech", committed_at)

    def pass_(self, turn: int, stage: str, at: float) -> None:
        """`stage` of the answer to `turn` was reached at `at`."""
        if self._running and turn == self._turn:
            self._stages.setdefault(stage, min(FARTHEST_MS, max(0, round((at - self._origin) * 1000))))

    def report(self, turn: int, session: str, line: str) -> LatencyMeasured | None:
        if not self._running or turn != self._turn:
            return None
        self._running = False
        return LatencyMeasured(session=session, line=line, turn=turn, **self._stages)
