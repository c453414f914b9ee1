"""Which stage of a kind is asked first. Pure: the caller tells the time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from appliance.errors import ApplianceError, GivenUp, ProviderUnavailable, RateLimited

COOL_SECONDS: Final = 30.0
"""A stage that failed is left alone for so long, while there is another."""
REFUSED_SECONDS: Final = 600.0
"""The same for a key that was refused, or an account with nothing left."""
GIVEN_UP_SECONDS: Final = (10.0, 20.0, 40.0, 60.0)
"""After a whole ladder was of no use, the first time in a row, the second...: time for the session's own ladder."""


def verdict(faults: Sequence[ApplianceError]) -> ApplianceError:
    """Of the faults of all rungs, the one that speaks for them: a retry may mend the first that says so.

    A refused key on one rung must not have the whole chain refused while another is only away for a moment.
    """
    return next((fault for fault in faults if fault.retryable), faults[0])


@dataclass(slots=True)
class _Rung:
    cool_until: float = 0.0
    fault: ApplianceError | None = None


class Rungs:
    """Shared by all connections of a chain: what one has learned of a service, the others know."""

    def __init__(self, count: int) -> None:
        self._rungs = [_Rung() for _ in range(count)]
        self._given_up_until = 0.0
        self._times = 0
        self.given_up: ApplianceError | None = None
        """Why all of them together were given up; None once one has worked again."""

    def order(self, now: float) -> list[int]:
        """All of them, the one to ask first at the front: in the order of the configuration, the cooling ones last."""
        return sorted(range(len(self._rungs)), key=lambda rung: (self._rungs[rung].cool_until > now, rung))

    def cooling(self, rung: int, now: float) -> bool:
        return self._rungs[rung].cool_until > now

    def failed(self, rung: int, fault: ApplianceError, now: float) -> None:
        seconds = COOL_SECONDS if fault.retryable else REFUSED_SECONDS
        if isinstance(fault, RateLimited) and fault.retry_after is not None:
            seconds = max(1.0, fault.retry_after)
        self._rungs[rung] = _Rung(now + seconds, fault)

    def refusals(self, now: float) -> list[tuple[int, ApplianceError]]:
        """The rungs that are left alone for a fault that no retry mends: not installed, not set up, not let in."""
        left = ((place, rung.fault) for place, rung in enumerate(self._rungs) if rung.cool_until > now)
        return [(place, fault) for place, fault in left if fault is not None and not fault.retryable]

    def worked(self, rung: int) -> None:
        self._rungs[rung] = _Rung()
        self.given_up, self._times = None, 0

    def give_up(self, fault: ApplianceError, now: float) -> ApplianceError:
        """Each was asked, and `fault` is what came of it. Return what to end the connection with."""
        seconds = GIVEN_UP_SECONDS[min(self._times, len(GIVEN_UP_SECONDS) - 1)]
        if self.given_up is None or now >= self._given_up_until:
            self._times += 1
        if type(fault) is ProviderUnavailable:
            fault = GivenUp(fault.message, hint=fault.hint)
        self.given_up, self._given_up_until = fault, now + seconds
        return fault

    def hopeless(self, now: float) -> ApplianceError | None:
        """Why none need be asked: all were given up just now, or are cooling for a fault that no retry mends."""
        if self.given_up is not None and now < self._given_up_until:
            return self.given_up
        if all(rung.cool_until > now and rung.fault and not rung.fault.retryable for rung in self._rungs):
            return self._rungs[0].fault
        return None
