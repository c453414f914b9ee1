"""The words of an answer: a skill's template, filled with what its tool returned. Pure.

A field may name how it is spoken: `{seconds:duration}`, `{time:clock}`, `{timers:timers}`.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from string import Formatter
from typing import Any, Final

from appliance.providers.offline.spelling import spaced

Row = Mapping[str, Any]


def fill(template: str, values: Mapping[str, Any]) -> str:
    """`template` with `values`; a field without a value is spoken as nothing."""
    return " ".join(_Spoken().vformat(template, (), values).split())


class _Spoken(Formatter):
    def get_value(self, key: int | str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        return kwargs.get(str(key), "")

    def format_field(self, value: Any, format_spec: str) -> str:
        return SPOKEN[format_spec](value) if format_spec else f"{value}"


def duration(seconds: float) -> str:
    """ "1 hour and 5 minutes": the two largest parts, which is what a listener keeps."""
    left = max(0, round(seconds))
    parts = []
    for size, name in ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {name}{'s' if count > 1 else ''}")
    return " and ".join(parts[:2]) if parts else "no time"


def clock(time: str) -> str:
    """HH:MM as people say it: "10 32 A M", "7 oh 5 P M", "12 o'clock noon"."""
    hour, minute = (int(part) for part in time.split(":")[:2])
    half = "A M" if hour < 12 else "P M"
    twelve = hour % 12 or 12
    if minute == 0:
        return f"{twelve} {half}" if hour % 12 else ("midnight" if hour == 0 else "noon")
    return f"{twelve} {f'oh {minute}' if minute < 10 else minute} {half}"


def day(iso: str) -> str:
    """ "Saturday, November 21st"."""
    when = date.fromisoformat(iso)
    return f"{when:%A}, {when:%B} {ordinal(when.day)}"


def ordinal(number: int) -> str:
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def due(iso: str) -> str:
    """When an alarm rings: "Sunday at 7 30 A M"."""
    when = datetime.fromisoformat(iso)
    return f"{when:%A} at {clock(f'{when:%H:%M}')}"


def timers(rows: Sequence[Row]) -> str:
    """What runs, and how long each still has."""
    if not rows:
        return "There is no timer running."
    told = [f"{_named(row)} has {duration(row['seconds_left'])} left" for row in rows[:_TOLD]]
    return f"{_count(rows, 'timer')}{_listed(told)}.{_more(rows)}"


def alarms(rows: Sequence[Row]) -> str:
    if not rows:
        return "There is no alarm set."
    told = [f"{_named(row)} is set for {due(row['due'])}" for row in rows[:_TOLD]]
    return f"{_count(rows, 'alarm')}{_listed(told)}.{_more(rows)}"


def cancelled(rows: Sequence[Row]) -> str:
    if not rows:
        return "Okay."
    if len(rows) > 1:
        return f"{len(rows)} {rows[0]['kind']}s cancelled."
    name = f"{rows[0]['label']} {rows[0]['kind']}".strip()
    return f"{name.capitalize()} cancelled."


def _title(label: str) -> str:
    return f"{label} timer set".capitalize() if label else "Timer set"


def _named(row: Row) -> str:
    return f"the {row['label']} {row['kind']}" if row.get("label") else f"the {row['kind']}"


def _count(rows: Sequence[Row], name: str) -> str:
    return f"There are {len(rows)} {name}s: " if len(rows) > 1 else ""


def _listed(parts: Sequence[str]) -> str:
    text = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])}, and {parts[-1]}"
    return text if len(parts) > 1 else text[0].upper() + text[1:]


def _more(rows: Sequence[Row]) -> str:
    return f" And {len(rows) - _TOLD} more." if len(rows) > _TOLD else ""


_TOLD: Final = 4
SPOKEN: Final[Mapping[str, Callable[[Any], str]]] = {
    "duration": duration,
    "clock": clock,
    "date": day,
    "year": lambda iso: iso[:4],
    "month": lambda iso: f"{date.fromisoformat(iso):%B}",
    "due": due,
    "digits": lambda value: spaced(str(value)),
    "timers": timers,
    "alarms": alarms,
    "cancelled": cancelled,
    "title": _title,
}
