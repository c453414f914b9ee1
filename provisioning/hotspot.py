"""When the appliance opens a network of its own to be set up through, and when it closes it. Pure: no clock, no I/O.

It is there while there is no other way in, and the networks that are known are tried again and again. Times are
monotonic seconds.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

FIRST_SECONDS: Final = 60.0
"""Without a network after a start: cables and known networks have come up by then."""
LATER_SECONDS: Final = 300.0
"""Once there was one: routers are started anew, and mostly come back."""
JOIN_SECONDS: Final = 45.0
RETRY_SECONDS: Final = 300.0
"""So long it stays open before the known networks are tried again."""
USED_SECONDS: Final = 180.0
"""Somebody reads the page: it is not taken from under their hands."""


SAY_AGAIN_SECONDS: Final = 3600.0


class Phase(StrEnum):
    WATCHING = "watching"
    OPEN = "open"
    JOINING = "joining"


class Step(StrEnum):
    """What is to be done now."""

    NOTHING = "nothing"
    OPEN = "open"
    CLOSE = "close"
    REOPEN = "reopen"
    """Joining failed: open again, and say so on the page."""
    DONE = "done"
    """Joined."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The machine's networks as they are: `online` by anything but our own hotspot, `radio` there is a Wi-Fi device,
    `known` there are networks to try."""

    online: bool
    radio: bool
    known: bool


class Hotspot:
    """`look` is asked every few seconds; `submitted` and `used` tell what happens on the page."""

    def __init__(self, at: float) -> None:
        self.phase = Phase.WATCHING
        self._since = at
        self._used = at - USED_SECONDS
        self._was_online = False

    def look(self, seen: Seen, at: float) -> Step:
        """What to do, given what is seen."""
        if self.phase is Phase.WATCHING:
            return self._watch(seen, at)
        if self.phase is Phase.JOINING:
            return self._join(seen, at)
        if seen.online:
            self._go(Phase.WATCHING, at)
            return Step.CLOSE
        idle = at - self._used >= USED_SECONDS
        if seen.known and idle and at - self._since >= RETRY_SECONDS:
            self._go(Phase.WATCHING, at)
            self._was_online = False
            return Step.CLOSE
        return Step.NOTHING

    def submitted(self, at: float) -> None:
        """Settings were taken: the network that they name is tried."""
        self._go(Phase.JOINING, at)

    def used(self, at: float) -> None:
        """Somebody looked at the page."""
        self._used = at

    def failed(self, at: float) -> None:
        """It could not be opened: try again in a while."""
        self._go(Phase.WATCHING, at)

    def _watch(self, seen: Seen, at: float) -> Step:
        if seen.online:
            self._was_online = True
            self._since = at
            return Step.NOTHING
        patience = LATER_SECONDS if self._was_online else FIRST_SECONDS
        if not seen.radio or at - self._since < patience:
            return Step.NOTHING
        self._go(Phase.OPEN, at)
        return Step.OPEN

    def _join(self, seen: Seen, at: float) -> Step:
        if seen.online:
            self._go(Phase.WATCHING, at)
            self._was_online = True
            return Step.DONE
        if at - self._since < JOIN_SECONDS:
            return Step.NOTHING
        self._go(Phase.OPEN, at)
        return Step.REOPEN

    def _go(self, phase: Phase, at: float) -> None:
        self.phase, self._since = phase, at


class Sayings:
    """When an invitation that stays open is said aloud again: after an hour, after two more, after four more...

    An outage may last for days, and people sleep beside it. Times are monotonic seconds.
    """

    def __init__(self) -> None:
        self._next = float("-inf")
        self._pause = SAY_AGAIN_SECONDS

    def due(self, at: float, *, news: bool = False) -> bool:
        """Whether it is to be said now, as `news` is in any case."""
        if news:
            self._next = at + self._pause
        elif at < self._next:
            return False
        else:
            self._next = at + self._pause
            self._pause *= 2
        return True
