"""Which provider to dial next, and when. Pure: the caller tells the time."""

import random
from collections.abc import Callable, Iterator
from typing import Final

FIRST_DELAY: Final = 0.25
LONGEST_DELAY: Final = 10.0
REFUSED_SECONDS: Final = 300.0
STEADY_SECONDS: Final = 5.0
"""A connection that lasted so long is no flapping one."""


def backoff(
    chance: random.Random, *, first: float = FIRST_DELAY, longest: float = LONGEST_DELAY
) -> Iterator[float]:
    """Seconds before each dial: none, then `first` doubling to `longest`, each 0.8 to 1.2 of that. Without end."""
    yield 0.0
    delay = first
    while True:
        yield delay * chance.uniform(0.8, 1.2)
        delay = min(delay * 2, longest)


class Ladder:
    """`rungs` providers, the preferred first. One that stays unreachable past `fallback_after` gives way to the next.

    A rung that refused, and will again (bad credentials, a missing library), is left out for REFUSED_SECONDS.
    """

    def __init__(self, rungs: int, fallback_after: float, delays: Callable[[], Iterator[float]]) -> None:
        self.rung = 0
        self._rungs = rungs
        self._fallback_after = fallback_after
        self._fresh_delays = delays
        self._delays = delays()
        next(self._delays)
        self._down_since: float | None = None
        self._up_since: float | None = None
        self._refused_until = [0.0] * rungs

    def patience(self, now: float, longest: float) -> float:
        """How long the present dial may take."""
        if self._next(now) == self.rung:
            return longest
        since = now if self._down_since is None else self._down_since
        return min(longest, max(0.1, since + self._fallback_after - now))

    def dialling(self, now: float) -> None:
        """A dial begins."""
        if self._down_since is None:
            self._down_since = now

    def rose(self, now: float) -> None:
        """Connected."""
        self._up_since = now
        self._down_since = None

    def fell(self, now: float) -> float:
        """The connection is lost: seconds until the next dial."""
        if self._up_since is not None and now - self._up_since >= STEADY_SECONDS:
            self._delays = self._fresh_delays()
        self._up_since = None
        self._down_since = now
        return next(self._delays)

    def failed(self, now: float) -> float:
        """The dial failed: seconds until the next."""
        since = now if self._down_since is None else self._down_since
        following = self._next(now)
        if following == self.rung or now - since < self._fallback_after - 0.05:
            return next(self._delays)
        return self._step(following, now)

    def refused(self, now: float) -> float:
        """The dial failed, and will again: seconds until the next."""
        self._refused_until[self.rung] = now + REFUSED_SECONDS
        following = self._next(now)
        if following == self.rung:
            soonest = min(range(self._rungs), key=self._refused_until.__getitem__)
            self.rung = soonest
            return max(0.0, self._refused_until[soonest] - now)
        return self._step(following, now)

    def _step(self, rung: int, now: float) -> float:
        wrapped = rung < self.rung
        self.rung = rung
        self._down_since = now
        if wrapped:
            return next(self._delays)
        self._delays = self._fresh_delays()
        return next(self._delays)

    def _next(self, now: float) -> int:
        """The rung after the present one that has not refused; the present one where there is none."""
        for step in range(1, self._rungs):
            rung = (self.rung + step) % self._rungs
            if self._refused_until[rung] <= now:
                return rung
        return self.rung
