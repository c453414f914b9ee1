"""How much agents may still dial today: calls, minutes, calls to one number. Pure: the caller tells the day."""

import math
from collections import Counter
from dataclasses import dataclass

from appliance.errors import DialBudgetUsed


@dataclass(frozen=True, slots=True)
class Ceiling:
    """Of one day; 0 is no limit."""

    calls: int = 0
    minutes: int = 0
    calls_to_one: int = 0


class DialBudget:
    """What agents dialled, of the day that was asked for last. A new day begins with nothing used."""

    def __init__(self, ceiling: Ceiling) -> None:
        self._ceiling = ceiling
        self._day = ""
        self._numbers: Counter[str] = Counter()
        self._seconds = 0.0

    def load(self, day: str, calls: list[tuple[str, float]]) -> None:
        """What was dialled before this run on `day`: numbers, and for how many seconds they were talked to."""
        self._turn(day)
        for number, seconds in calls:
            self._numbers[number] += 1
            self._seconds += seconds

    def refusal(self, number: str, day: str) -> DialBudgetUsed | None:
        """Why an agent may not dial now; None where it may."""
        self._turn(day)
        ceiling = self._ceiling
        if ceiling.calls and self._numbers.total() >= ceiling.calls:
            return DialBudgetUsed("No more calls may be dialled today.", hint="see limits.dials_per_day")
        if ceiling.minutes and self._seconds >= ceiling.minutes * 60:
            return DialBudgetUsed(
                "The minutes for calls are used up today.", hint="see limits.dial_minutes_per_day"
            )
        if ceiling.calls_to_one and self._numbers[number] >= ceiling.calls_to_one:
            return DialBudgetUsed(
                "This number was called often enough today.", hint="see limits.dials_to_one_number"
            )
        return None

    def spent(self, day: str) -> tuple[str, ...] | None:
        """Numbers that may not be called again today; None where nobody may be called."""
        if self.refusal("", day) is not None:
            return None
        most = self._ceiling.calls_to_one
        return tuple(sorted(number for number, times in self._numbers.items() if most and times >= most))

    def dialled(self, number: str, day: str) -> None:
        self._turn(day)
        self._numbers[number] += 1

    def talked(self, seconds: float, day: str) -> None:
        self._turn(day)
        self._seconds += seconds

    def seconds_left(self, day: str) -> float:
        """Of talk; infinite where nothing limits it."""
        self._turn(day)
        return max(0.0, self._ceiling.minutes * 60 - self._seconds) if self._ceiling.minutes else math.inf

    def counters(self) -> dict[str, float]:
        return {
            "agent_dials_today": self._numbers.total(),
            "agent_dial_seconds_today": round(self._seconds, 1),
        }

    def _turn(self, day: str) -> None:
        if day != self._day:
            self._day, self._seconds = day, 0.0
            self._numbers.clear()
