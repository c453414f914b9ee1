"""Whether a release that runs is good: pure, told what is seen and when."""

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

STABLE_SECONDS: Final = 30.0
WITHIN_SECONDS: Final = 240.0


@dataclass(frozen=True, slots=True)
class Reading:
    """What is seen of the service at one moment.

    `restarts` counts those that systemd made by itself since somebody last started it; `failing` are the parts that do
    not work (room, sip...), required or not; `stale` the heartbeats that are overdue; `busy`: somebody talks or calls.
    Where the control API does not answer (`answers`), all that only it knows is empty. `refused`: the
    daemon ended over its configuration, or wrong use, and is not started again.
    """

    active: bool
    restarts: int = 0
    process: int = 0
    answers: bool = False
    ready: bool = False
    reasons: tuple[str, ...] = ()
    failing: frozenset[str] = frozenset()
    stale: frozenset[str] = frozenset()
    busy: bool = False
    refused: bool = False


class Verdict(StrEnum):
    WAIT = "wait"
    GOOD = "good"
    BAD = "bad"


@dataclass(slots=True)
class Gate:
    """Good is what is as well as `before` for STABLE_SECONDS without a break; bad what is not within WITHIN_SECONDS.

    What failed before may go on failing: an update is not to blame for a cable. A service that ended or was restarted
    by itself is bad at once. `reason` says what is missing.
    """

    before: Reading
    began: float
    reason: str = "it did not start"
    process: int = 0
    well_since: float | None = field(default=None)

    def look(self, now: Reading, at: float) -> Verdict:
        if now.restarts or (self.process and now.process not in (0, self.process)):
            self.reason = "it ended by itself and was restarted"
            return Verdict.BAD
        self.process = now.process or self.process
        if trouble := worse(self.before, now):
            self.reason, self.well_since = trouble, None
        elif self.well_since is None:
            self.well_since = at
        if self.well_since is not None and at - self.well_since >= STABLE_SECONDS:
            return Verdict.GOOD
        return Verdict.BAD if at - self.began >= WITHIN_SECONDS else Verdict.WAIT

    def again(self, trouble: str) -> None:
        """Something else was found to be missing: it has to be well for as long again."""
        self.reason, self.well_since = trouble, None


def worse(before: Reading, now: Reading) -> str:
    """What is worse than before, in words; empty where nothing is."""
    if not now.active:
        return "the service does not run"
    if not now.answers:
        return "the control API does not answer"
    if now.stale:
        return f"no sign of life from {', '.join(sorted(now.stale))}"
    if failing := sorted(now.failing - before.failing):
        told = [reason for reason in now.reasons if reason.partition(":")[0] in failing]
        return "; ".join(told) or f"{', '.join(failing)} fails"
    if before.ready and not now.ready:
        return "; ".join(now.reasons) or "it is not ready"
    return ""


def new_failures(before: Collection[str], now: Collection[str]) -> str:
    """Which checks of `handset doctor` fail that did not before, in words; empty where none does."""
    return ", ".join(sorted(set(now) - set(before)))
