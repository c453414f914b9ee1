"""The end of calls and of talk, waited for by whatever would break them off."""

from typing import Final, Protocol

from provisioning.release.gate import Reading

LOOK_SECONDS: Final = 1.0
LATEST_SECONDS: Final = 24 * 3600.0
"""A call that goes on for longer is none: something counts wrong, and must not hold up settings or a system."""


class Around(Protocol):
    """The daemon as it is seen from outside; blocks."""

    def reading(self) -> Reading: ...

    def now(self) -> float:
        """Unix seconds."""
        ...

    def steady(self) -> float:
        """Seconds of a clock that nobody sets."""
        ...

    def sleep(self, seconds: float) -> None: ...


def quiet(around: Around, within: float) -> Reading:
    """What is seen when nobody talks any more, or after that long."""
    until = around.steady() + within
    while (reading := around.reading()).busy and around.steady() < until:
        around.sleep(LOOK_SECONDS)
    return reading
