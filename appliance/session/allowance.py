"""How long a session may last: minutes a call, and what is left of the day's. Pure: the caller tells the time."""

import math
from enum import StrEnum, auto
from typing import Final

WARNING_SECONDS: Final = 60.0
WARNING_SHARE: Final = 0.2
"""Of a limit below five minutes, what is left when it is told."""


class Notice(StrEnum):
    NEAR = auto()
    """The end is near: told once."""
    CALL_OVER = auto()
    DAY_OVER = auto()


class Allowance:
    """`minutes` 0 is no limit. All times are seconds, `now` monotonic."""

    def __init__(self, minutes_per_call: float, minutes_per_day: float, now: float) -> None:
        self._ends_at = now + minutes_per_call * 60 if minutes_per_call else math.inf
        self._call_warning = warning_seconds(minutes_per_call)
        self._day_warning = warning_seconds(minutes_per_day)
        self._told = False

    def wait(self, seconds: float) -> None:
        """So long nobody could talk: the limit moves on with it."""
        self._ends_at += seconds

    def look(self, now: float, left_today: float) -> Notice | None:
        """What is to be done; `left_today` is infinite where nothing limits the day."""
        if left_today <= 0:
            return Notice.DAY_OVER
        left = self._ends_at - now
        if left <= 0:
            return Notice.CALL_OVER
        if self._told or (left > self._call_warning and left_today > self._day_warning):
            return None
        self._told = True
        return Notice.NEAR


def warning_seconds(minutes: float) -> float:
    """How long before the end of a limit it is told; nothing for no limit."""
    return min(WARNING_SECONDS, minutes * 60 * WARNING_SHARE)
