"""Which provider to dial next, when, and for how long. Pure: the caller tells the time, and whether somebody waits.

Numbers and reasons are in docs/adr/0008-redial-ladder-and-standings.md.
"""

import random
from collections.abc import Sequence
from typing import Final

from appliance.errors import ApplianceError, GivenUp
from appliance.session.standing import Standing, Standings

STEP_SECONDS: Final = 0.25
STEPS_LAST_SECONDS: Final = 5.0
LONGEST_DELAY: Final = 10.0
DIAL_SECONDS: Final = (2.5, 2.5, 4.0, 6.0, 10.0)
"""What the dials of an outage may take, each with handshake and set-up; the last is that of all further ones."""
SHORTEST_DIAL_SECONDS: Final = 0.1
STEADY_SECONDS: Final = 5.0
"""A connection that lasted so long is no flapping one."""
FLAPS: Final = 3
"""So many connections in a row that were not steady, and the rung counts as out of reach."""
BARE_FLAPS: Final = 6
"""So many, and the next connection begins without the history: it may be what breaks them."""
FIRST_CLIMB_SECONDS: Final = 10.0
LONGEST_CLIMB_SECONDS: Final = 120.0
NEXT_MOMENT_SECONDS: Final = 2.0
"""After a rung was reached and the moment to change had passed."""
SAFE_SECONDS: Final = 60.0
"""A rung that held so long after a climb was worth it."""
_SLACK_SECONDS: Final = 0.05
"""A dial that was cut off when the next rung was due ends a hair before or after."""


class Backoff:
    """The delays of one outage: none, then a quarter of a second for STEPS_LAST_SECONDS, then doubling, with jitter."""

    def __init__(self, chance: random.Random, began_at: float) -> None:
        self._chance = chance
        self._began_at = began_at
        self._longer = 0
        self.dials = 0

    def next(self, now: float) -> float:
        """A dial failed: seconds until the next."""
        self.dials += 1
        if now - self._began_at < STEPS_LAST_SECONDS:
            # Never longer than the step: it bounds how soon after the return of the path the next dial comes.
            return STEP_SECONDS * self._chance.uniform(0.8, 1.0)
        self._longer += 1
        return _doubled(self._longer, self._chance)


class Ladder:
    """`names` are the providers, the preferred first; `rung` is the one in use or to be dialled.

    One that stays unreachable past `fallback_after` while somebody waits gives way to the next; one that refuses gives
    way at once. From a lower rung, the ones above are looked for, ever more seldom.
    """

    def __init__(
        self, names: Sequence[str], fallback_after: float, standings: Standings, chance: random.Random
    ) -> None:
        self.rung = 0
        self._names = names
        self._fallback_after = fallback_after
        self._standings = standings
        self._chance = chance
        self._down_since = 0.0
        self._up_since = 0.0
        self._flaps = 0
        self._backoff = Backoff(chance, 0.0)
        self._all_tried = False
        self._climbed = False
        self._climb_delay = FIRST_CLIMB_SECONDS
        self._climb_at = 0.0

    # --- while there is no connection: seconds until the dial of `rung`, infinite where none will come ---

    def start(self, now: float) -> float:
        """Nothing was tried yet, or the configuration was read again."""
        self._down_since = now
        self._backoff = Backoff(self._chance, now)
        self._all_tried = False
        self._flaps = 0
        return self._choose(now)

    def loaded(self, now: float) -> None:
        """The library of the present rung had to be loaded first: until now nothing was out of reach."""
        self._down_since = now
        self._backoff = Backoff(self._chance, now)

    def failed(self, fault: ApplianceError, now: float, *, waited_for: bool) -> float:
        """The dial failed."""
        self._standings.failed(self._name, fault, now)
        if not self._free(self.rung, now):
            return self._leave(now)
        overdue = now - self._down_since >= self._fallback_after - _SLACK_SECONDS or isinstance(
            fault, GivenUp
        )
        if waited_for and overdue and (rung := self._next(now)) is not None:
            return self._abandon(rung, now)
        return max(self._backoff.next(now), self._flap_delay())

    def fell(self, fault: ApplianceError, now: float, *, waited_for: bool, useless: bool = False) -> float:
        """The connection broke; or it was `useless`, and given up."""
        self._ended(now)
        self._standings.failed(self._name, fault, now)
        if not self._free(self.rung, now):
            return self._leave(now)
        unsteady = waited_for and self._flaps >= FLAPS
        if (useless or unsteady or isinstance(fault, GivenUp)) and (rung := self._next(now)) is not None:
            return self._abandon(rung, now)
        return self._flap_delay()

    def renewed(self, now: float) -> float:
        """The connection was closed to be made anew."""
        self._ended(now)
        return self._flap_delay()

    def hurry(self, now: float) -> float | None:
        """Somebody begins to wait during the delay: the delay from now on, None to leave it as it is."""
        if self.flapping or not self._free(self.rung, now):
            return None
        overdue = now - self._down_since >= self._fallback_after
        if overdue and self._backoff.dials and (rung := self._next(now)) is not None:
            return self._abandon(rung, now)
        return 0.0

    def patience(self, now: float, *, waited_for: bool) -> float:
        """How long a dial that begins now may take."""
        longest = DIAL_SECONDS[min(self._backoff.dials, len(DIAL_SECONDS) - 1)]
        if not waited_for or self._next(now) is None:
            return longest
        return min(longest, max(SHORTEST_DIAL_SECONDS, self._down_since + self._fallback_after - now))

    # --- while there is one ---

    def rose(self, now: float) -> None:
        """Connected."""
        self._up_since = now
        self._standings.rose(self._name)
        self._climb_at = now + self._climb_delay

    def higher(self, now: float) -> tuple[int, ...]:
        """The rungs to look for now, the best first."""
        if now < self._climb_at:
            return ()
        return tuple(rung for rung in range(self.rung) if self._free(rung, now))

    def unreached(self, rung: int, fault: ApplianceError, now: float) -> None:
        """It was looked for, and failed."""
        self._standings.failed(self._names[rung], fault, now)
        self._standings.abandoned(self._names[rung], now)

    def looked_in_vain(self, now: float) -> None:
        """None of the higher rungs was there."""
        self._climb_delay = min(self._climb_delay * 2, LONGEST_CLIMB_SECONDS)
        self._climb_at = now + self._climb_delay

    def missed_moment(self, now: float) -> None:
        """One was there, but the person had begun to talk."""
        self._climb_at = now + NEXT_MOMENT_SECONDS

    def climb(self, rung: int) -> None:
        """Go on with `rung`, which is connected."""
        self.rung = rung
        self._climbed = True
        self._flaps = 0

    # --- at any time ---

    @property
    def standing(self) -> Standing:
        """Of the present rung."""
        return self._standings.of(self._name)

    @property
    def flapping(self) -> bool:
        """Connections of this rung break as soon as they are made."""
        return self._flaps > 1

    @property
    def bare(self) -> bool:
        """They break so often that what they begin with may be why."""
        return self._flaps >= BARE_FLAPS

    def exhausted(self, now: float) -> bool:
        """There is no rung left that was not tried, or that may be."""
        return self._all_tried or self._next(now) is None

    def look_up(self, now: float) -> None:
        """The configuration was read again: look for the higher rungs soon."""
        self._climb_delay = FIRST_CLIMB_SECONDS
        self._climb_at = now

    # --- inside ---

    @property
    def _name(self) -> str:
        return self._names[self.rung]

    def _free(self, rung: int, now: float) -> bool:
        return self._standings.free(self._names[rung], now)

    def _choose(self, now: float) -> float:
        """The best rung that may be dialled, or the one that may be soonest; seconds until then."""
        free = [rung for rung in range(len(self._names)) if self._free(rung, now)]
        near = [rung for rung in free if not self._standings.shunned(self._names[rung], now)]
        if free:
            self.rung = (near or free)[0]
            return 0.0
        self.rung = min(range(len(self._names)), key=self._free_at)
        return self._free_at(self.rung) - now

    def _free_at(self, rung: int) -> float:
        return self._standings.of(self._names[rung]).free_at

    def _next(self, now: float) -> int | None:
        """The rung after the present one, which may be dialled; one that was not out of reach just now is preferred."""
        count = len(self._names)
        rungs = [(self.rung + step) % count for step in range(1, count)]
        free = [rung for rung in rungs if self._free(rung, now)]
        near = [rung for rung in free if not self._standings.shunned(self._names[rung], now)]
        return next(iter(near or free), None)

    def _leave(self, now: float) -> float:
        """The present rung refuses."""
        rung = self._next(now)
        return self._choose(now) if rung is None else self._step(rung, now)

    def _abandon(self, rung: int, now: float) -> float:
        """The present rung is out of reach."""
        self._standings.abandoned(self._name, now)
        return self._step(rung, now)

    def _step(self, rung: int, now: float) -> float:
        self._all_tried |= rung < self.rung
        self.rung = rung
        self._down_since = now
        self._flaps = 0
        if self._all_tried:
            # Round and round, but ever slower.
            return self._backoff.next(now)
        self._backoff = Backoff(self._chance, now)
        return 0.0

    def _ended(self, now: float) -> None:
        lasted = now - self._up_since
        self._flaps = 0 if lasted >= STEADY_SECONDS else self._flaps + 1
        self._down_since = now
        self._backoff = Backoff(self._chance, now)
        self._all_tried = False
        if lasted >= SAFE_SECONDS:
            self._climb_delay = FIRST_CLIMB_SECONDS
        elif self._climbed:
            self._climb_delay = min(self._climb_delay * 2, LONGEST_CLIMB_SECONDS)
        self._climbed = False

    def _flap_delay(self) -> float:
        return _doubled(self._flaps - 2, self._chance) if self._flaps > 1 else 0.0


def _doubled(times: int, chance: random.Random) -> float:
    """STEP_SECONDS, doubled so many times, up to LONGEST_DELAY; 0.8 to 1.2 of that."""
    return min(LONGEST_DELAY, STEP_SECONDS * 2.0 ** min(times, 10)) * chance.uniform(0.8, 1.2)
