"""Timers and alarms: several, named, kept over a restart, ringing by themselves.

A timer runs on monotonic time: a clock jump does not move it. An alarm is a wall-clock time: it is looked at again
every second, so a jump over it rings it. What came due while the appliance was off rings at the next start, and says
that it is late.
"""

import asyncio
import contextlib
import itertools
import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Protocol

from appliance import private
from appliance.disk_faults import unwritable
from appliance.errors import NotPossible, RequestInvalid

MOST: Final = 50
LONGEST_SECONDS: Final = 7 * 86_400.0
RINGS: Final = 3
RING_EVERY_SECONDS: Final = 20.0
LATE_SECONDS: Final = 60.0
_TICK_SECONDS: Final = 1.0
AGAIN_SECONDS: Final = 60.0
logger = logging.getLogger(__name__)


class Kind(StrEnum):
    TIMER = "timer"
    ALARM = "alarm"


@dataclass(frozen=True, slots=True)
class Pending:
    """One that has not rung yet. `due` is Unix seconds; `session` is where it was set."""

    number: int
    kind: Kind
    label: str
    due: float
    seconds: float
    session: str = ""
    line: str = ""


@dataclass(frozen=True, slots=True)
class Ring:
    """Something came due. `again` counts the repetitions; `late` says how many seconds after its time."""

    pending: Pending
    again: int
    late: float

    @property
    def text(self) -> str:
        """What is said."""
        name = f"{self.pending.label} {self.pending.kind}".strip()
        if self.late > LATE_SECONDS:
            return f"Sorry, I was off. Your {name} was due {_ago(self.late)} ago."
        return f"Your {name} is done." if self.pending.kind is Kind.TIMER else f"This is your {name}."


class TimerStore(Protocol):
    """Where pending timers outlive a restart. Neither method raises."""

    def load(self) -> tuple[Pending, ...]: ...

    def save(self, pending: Iterable[Pending]) -> bool:
        """True where they are kept now."""
        ...


class TimerFile:
    """A JSON file, written atomically. One that cannot be read is moved aside. Both methods wait for the disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._failing = False

    def load(self) -> tuple[Pending, ...]:
        private.tighten([self._path])
        try:
            return tuple(_pending(row) for row in json.loads(self._path.read_text(encoding="utf-8")))
        except (FileNotFoundError, NotADirectoryError):
            return ()
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            logger.warning("the timers' file is damaged and moved aside: %s", type(error).__name__)
            with contextlib.suppress(OSError):
                self._path.replace(self._path.with_suffix(".broken"))
            return ()

    def save(self, pending: Iterable[Pending]) -> bool:
        fresh = self._path.with_suffix(".new")
        try:
            private.make_directory(self._path.parent)
            private.tighten([fresh])
            with open(fresh, "w", encoding="utf-8", opener=private.opener) as file:
                json.dump([asdict(one) for one in pending], file)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
        except OSError as error:
            if not self._failing:
                told, hint = unwritable(error, f"see the rights of {self._path.parent}")
                logger.warning("timers would not outlive a restart now: %s; %s", told, hint)
            self._failing = True
        else:
            self._failing = False
        return not self._failing


def _pending(row: Mapping[str, Any]) -> Pending:
    """A row of the file. Raise ValueError, TypeError or KeyError for what `save` never wrote."""
    due, seconds = float(row["due"]), float(row["seconds"])
    if not (math.isfinite(due) and math.isfinite(seconds)):
        raise ValueError("a time without end")
    label, session, line = (str(row[key]) for key in ("label", "session", "line"))
    return Pending(int(row["number"]), Kind(row["kind"]), label, due, seconds, session, line)


class Timers:
    """All methods belong to the loop's thread. `ring` is called once for each ringing, at most RINGS times a timer.

    The offset of the wall clock is learnt at `add`: `now` gives Unix seconds, `monotonic` the clock that timers run on.
    """

    def __init__(
        self,
        store: TimerStore | None = None,
        ring: Callable[[Ring], None] = lambda _: None,
        *,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.ring = ring
        self._store = store
        self._now = now
        self._monotonic = monotonic
        self._numbers = itertools.count(1)
        self._pending: dict[int, Pending] = {}
        self._ends: dict[int, float] = {}
        self._ringing: dict[int, tuple[Ring, float]] = {}
        self._unsaved = asyncio.Event()
        self._again_at = math.inf
        """When to try to keep them once more, after that failed."""

    async def run(self) -> None:
        """Load what was pending, then ring what comes due and keep the file in step, until cancelled."""
        await self.load()
        while True:
            self.look()
            if self._unsaved.is_set() or self._monotonic() >= self._again_at:
                await self.save()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._wait()):
                    await self._unsaved.wait()

    async def save(self) -> None:
        """Keep what is pending, if that changed since the last time, or could not be kept then."""
        changed = self._unsaved.is_set() or self._again_at < math.inf
        # Also without a store: `run` waits for this event, and one that stays set would stop the loop.
        self._unsaved.clear()
        if self._store is not None and changed:
            kept = await asyncio.to_thread(self._store.save, tuple(self._pending.values()))
            self._again_at = math.inf if kept else self._monotonic() + AGAIN_SECONDS

    async def load(self) -> None:
        """Take up what was pending before a restart."""
        for kept in await asyncio.to_thread(self._store.load) if self._store else ():
            number = next(self._numbers)
            self._pending[number] = replace(kept, number=number)
            self._ends[number] = self._monotonic() + kept.due - self._now()

    def add(
        self, kind: Kind, due_in: float, *, label: str = "", session: str = "", line: str = ""
    ) -> Pending:
        """Start one that rings in `due_in` seconds. Raise RequestInvalid, or NotPossible when there are too many."""
        if not 0 < due_in <= LONGEST_SECONDS:
            raise RequestInvalid("That must be between one second and seven days.")
        if len(self._pending) >= MOST:
            raise NotPossible(f"There are {MOST} timers already.")
        number = next(self._numbers)
        pending = Pending(number, kind, label.strip().lower(), self._now() + due_in, due_in, session, line)
        self._pending[number] = pending
        self._ends[number] = self._monotonic() + due_in
        self._unsaved.set()
        return pending

    def find(self, kind: Kind | None = None, label: str = "") -> tuple[Pending, ...]:
        """Those of a kind and a name, the next to ring first."""
        wanted = label.strip().lower()
        found = [
            one for one in self._pending.values() if kind in (None, one.kind) and wanted in ("", one.label)
        ]
        return tuple(sorted(found, key=self.seconds_left))

    def cancel(self, pending: Iterable[Pending]) -> None:
        """Forget them; harmless when they rang meanwhile."""
        for one in pending:
            self._pending.pop(one.number, None)
            self._ends.pop(one.number, None)
        self._unsaved.set()

    def hush(self) -> bool:
        """Stop what rings; False when nothing does."""
        ringing = bool(self._ringing)
        self._ringing.clear()
        return ringing

    def seconds_left(self, pending: Pending) -> float:
        """Until it rings, never below 0."""
        if pending.kind is Kind.ALARM:
            return max(0.0, pending.due - self._now())
        return max(0.0, self._ends.get(pending.number, 0.0) - self._monotonic())

    def look(self) -> None:
        """Ring what is due now."""
        for one in [one for one in self._pending.values() if self.seconds_left(one) <= 0]:
            del self._pending[one.number]
            late = (
                self._now() - one.due
                if one.kind is Kind.ALARM
                else self._monotonic() - self._ends.pop(one.number)
            )
            self._ends.pop(one.number, None)
            ring = Ring(one, 0, late)
            self._ringing[one.number] = (ring, self._monotonic() + RING_EVERY_SECONDS)
            self._unsaved.set()
            self.ring(ring)
        for number, (ring, at) in tuple(self._ringing.items()):
            if self._monotonic() >= at:
                self._ring_again(number, ring)

    def counters(self) -> Mapping[str, int]:
        return {"pending": len(self._pending), "ringing": len(self._ringing)}

    def _ring_again(self, number: int, ring: Ring) -> None:
        again = replace(ring, again=ring.again + 1)
        if again.again + 1 >= RINGS:
            self._ringing.pop(number, None)
        else:
            self._ringing[number] = (again, self._monotonic() + RING_EVERY_SECONDS)
        self.ring(again)

    def _wait(self) -> float:
        soonest = min((self.seconds_left(one) for one in self._pending.values()), default=_TICK_SECONDS)
        return min(_TICK_SECONDS, max(0.02, soonest))


def _ago(seconds: float) -> str:
    for size, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            count = round(seconds / size)
            return f"{count} {name}{'s' if count > 1 else ''}"
    return "a moment"
