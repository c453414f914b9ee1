"""Whether the wall clock can be believed: a board without a battery wakes up with the time of its last shut-down.

A wrong clock refuses certificates, tells a wrong time and rings alarms at the wrong moment.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.bus import EventBus
from appliance.events import ClockChanged
from appliance.health import Part

EARLIEST: Final = 1_767_225_600
"""2026-01-01: nothing runs this software before it was written."""
STEP_SECONDS: Final = 2.0
LOOK_SECONDS: Final = 1.0
_TIMESYNC: Final = Path("/run/systemd/timesync")
NOT_SET: Final = (
    "the clock is not set from the network yet: certificates may be refused, and alarms be early or late"
)


@dataclass(frozen=True, slots=True)
class Reading:
    """`wall` in Unix seconds, `steady` of a clock that nobody sets; `synchronized` is None where nobody says."""

    wall: float
    steady: float
    synchronized: bool | None


def believable(reading: Reading) -> bool:
    """A clock that nobody speaks of is believed, unless it says the impossible."""
    return reading.synchronized is not False and reading.wall >= EARLIEST


@dataclass(frozen=True, slots=True)
class Change:
    """`state` is synchronized, unsynchronized or stepped, then by so many seconds, forwards where positive."""

    state: str
    by_seconds: float = 0.0


def changes(before: Reading | None, now: Reading) -> list[Change]:
    """What became of the clock between two readings; `before` is None at the first."""
    found: list[Change] = []
    if before is not None:
        by = (now.wall - before.wall) - (now.steady - before.steady)
        if abs(by) >= STEP_SECONDS:
            found.append(Change("stepped", round(by, 3)))
    if before is None and not believable(now):
        found.append(Change("unsynchronized"))
    elif before is not None and believable(before) != believable(now):
        found.append(Change("synchronized" if believable(now) else "unsynchronized"))
    return found


def read(directory: Path = _TIMESYNC) -> Reading:
    """The clocks now; systemd-timesyncd, where it runs, leaves a file when it has set the clock since the start."""
    synchronized = (directory / "synchronized").exists() if directory.is_dir() else None
    return Reading(time.time(), time.monotonic(), synchronized)


class Clock:
    """Looks every second. `part` fails while the clock cannot be believed."""

    def __init__(self, bus: EventBus, part: Part, read: Callable[[], Reading] = read) -> None:
        self._bus = bus
        self._part = part
        self._read = read
        self._last: Reading | None = None
        self.look()

    def believed(self) -> bool:
        return self._last is None or believable(self._last)

    def look(self) -> None:
        """Compare with the last look, and tell what changed."""
        now = self._read()
        found = changes(self._last, now)
        self._last = now
        if believable(now):
            self._part.ok()
        else:
            self._part.failing(NOT_SET)
        for change in found:
            self._bus.publish(ClockChanged(state=change.state, by_seconds=change.by_seconds))

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.look()
