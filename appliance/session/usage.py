"""What the appliance used of its providers today: talk time, and what they report. The day's limit is kept here.

Durations are the callers' monotonic ones; the wall clock only says which day they belong to. A clock that is put right,
or a power cut, therefore moves the day's sum by what was not written yet, a quarter of a minute, and by nothing else.
"""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final, Protocol

from appliance.events import Event, UsageReported

WRITE_SECONDS: Final = 15.0
"""Talk time that may be lost in a power cut, for each provider."""


class UsageBook(Protocol):
    """Where usage is kept, by local day (YYYY-MM-DD) and provider. Nothing here waits or fails."""

    def add_talk(self, day: str, provider: str, seconds: float) -> None: ...

    def add_usage(
        self, day: str, provider: str, unit: str, input_amount: float, output_amount: float
    ) -> None: ...


class NoUsageBook:
    """Keeps nothing."""

    def add_talk(self, day: str, provider: str, seconds: float) -> None: ...

    def add_usage(
        self, day: str, provider: str, unit: str, input_amount: float, output_amount: float
    ) -> None: ...


def local_day() -> str:
    """The date here, by the wall clock."""
    return time.strftime("%Y-%m-%d")


class Usage:
    """The sum over all sessions. `local` providers cost nothing: talking to them does not count for the day's limit.

    Nothing is written before `load` was called, so that nothing is counted twice.
    """

    def __init__(
        self,
        minutes_per_day: float = 0,
        local: Collection[str] = (),
        book: UsageBook | None = None,
        today: Callable[[], str] = local_day,
    ) -> None:
        self._limit = minutes_per_day * 60 if minutes_per_day else math.inf
        self._local = frozenset(local)
        self._book = book or NoUsageBook()
        self._today = today
        self._loaded = False
        self._talked: dict[str, dict[str, float]] = {}
        self._unwritten: dict[tuple[str, str], float] = {}
        self._reported: defaultdict[tuple[str, str, str], float] = defaultdict(float)
        self._unreported: list[tuple[str, UsageReported]] = []

    def load(self, talk: Iterable[Mapping[str, Any]], usage: Iterable[Mapping[str, Any]]) -> None:
        """Add what earlier runs kept: rows of `day`, `provider`, and `seconds`, or `unit`, `input`, `output`."""
        for row in talk:
            self._add_talk(row["day"], row["provider"], row["seconds"])
        for row in usage:
            self._report(row["day"], row["provider"], row["unit"], row["input"], row["output"])
        self._loaded = True
        for day, event in self._unreported:
            self._book.add_usage(day, event.provider, event.unit, event.input, event.output)
        self._unreported.clear()

    def talked(self, provider: str, seconds: float) -> None:
        """A session was connected to `provider` for so long."""
        key = self._today(), provider
        self._add_talk(*key, seconds)
        self._unwritten[key] = self._unwritten.get(key, 0.0) + seconds
        if self._unwritten[key] >= WRITE_SECONDS:
            self.write()

    def write(self) -> None:
        """Hand what has gathered to the book."""
        if not self._loaded:
            return
        for (day, provider), seconds in self._unwritten.items():
            self._book.add_talk(day, provider, round(seconds, 3))
        self._unwritten.clear()

    def notice(self, event: Event) -> None:
        """For the bus: sum up what providers report."""
        if not isinstance(event, UsageReported):
            return
        day = self._today()
        self._report(day, event.provider, event.unit, event.input, event.output)
        if self._loaded:
            self._book.add_usage(day, event.provider, event.unit, event.input, event.output)
        elif len(self._unreported) < 1000:
            self._unreported.append((day, event))

    def seconds_today(self) -> float:
        """Talk time that counts for the day's limit."""
        talked = self._talked.get(self._today(), {})
        return sum(seconds for provider, seconds in talked.items() if provider not in self._local)

    def left_today(self, *, local: bool = False) -> float:
        """Seconds that may still be talked today, infinite without a limit; `local`: to a local provider."""
        return math.inf if local or math.isinf(self._limit) else self._limit - self.seconds_today()

    def counters(self) -> Mapping[str, float]:
        """For /metrics."""
        minutes = 0 if math.isinf(self._limit) else self._limit / 60
        return {"minutes_today": round(self.seconds_today() / 60, 2), "minutes_per_day": minutes}

    def provider_counters(self, provider: str) -> Mapping[str, float]:
        """For /metrics: what was used of `provider` today."""
        today = self._today()
        sums = {
            f"{what}_today": round(amount, 3)
            for (day, name, what), amount in self._reported.items()
            if (day, name) == (today, provider)
        }
        talked = self._talked.get(today, {}).get(provider, 0.0)
        return {"talk_seconds_today": round(talked, 1), **sums}

    def _add_talk(self, day: str, provider: str, seconds: float) -> None:
        providers = self._talked.setdefault(day, {})
        providers[provider] = providers.get(provider, 0.0) + seconds

    def _report(self, day: str, provider: str, unit: str, given: float, made: float) -> None:
        self._reported[day, provider, f"input_{unit}"] += given
        self._reported[day, provider, f"output_{unit}"] += made
