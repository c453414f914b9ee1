"""The words of an answer: a skill's template, filled with what its tool returned. Pure.

A field may name how it is told: `{seconds:duration}`, `{time:clock}`, `{timers:timers}`. What people write otherwise
than they say it, as a clock time, is written that way; the voice has its own spelling of it.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from string import Formatter
from typing import Any, Final

from appliance.providers.offline.spelling import spaced
from appliance.sentences import sentences

Row = Mapping[str, Any]


def fill(template: str, values: Mapping[str, Any], *, aloud: bool = False) -> str:
    """`template` with `values`, to be read or `aloud`; a field without a value is told as nothing."""
    return " ".join(_Filled(aloud).vformat(template, (), values).split())


class _Filled(Formatter):
    def __init__(self, aloud: bool) -> None:
        self._words = WRITTEN if not aloud else {**WRITTEN, **SPOKEN}

    def get_value(self, key: int | str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        return kwargs.get(str(key), "")

    def format_field(self, value: Any, format_spec: str) -> str:
        return self._words[format_spec](value) if format_spec else f"{value}"


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
    """HH:MM as people write it: "10:32 AM", "3 PM", "noon"."""
    hour, minute = (int(part) for part in time.split(":")[:2])
    half = "AM" if hour < 12 else "PM"
    twelve = hour % 12 or 12
    if minute == 0:
        return f"{twelve} {half}" if hour % 12 else ("midnight" if hour == 0 else "noon")
    return f"{twelve}:{minute:02} {half}"


def clock_aloud(time: str) -> str:
    """HH:MM as people say it, in the voice's spelling: "10 32 A M", "7 oh 5 P M", "noon"."""
    written = clock(time)
    number, blank, half = written.partition(" ")
    hour, colon, minute = number.partition(":")
    if not blank:
        return written
    said = f" {minute.replace('0', 'oh ', 1) if minute.startswith('0') else minute}" if colon else ""
    return f"{hour}{said} {' '.join(half)}"


def day(iso: str) -> str:
    """ "Saturday, November 21st"."""
    when = date.fromisoformat(iso)
    return f"{when:%A}, {when:%B} {ordinal(when.day)}"


def ordinal(number: int) -> str:
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def due(iso: str, clock: Callable[[str], str] = clock) -> str:
    """When an alarm rings: "Sunday at 7:30 AM"."""
    when = datetime.fromisoformat(iso)
    return f"{when:%A} at {clock(f'{when:%H:%M}')}"


def due_aloud(iso: str) -> str:
    return due(iso, clock_aloud)


def timers(rows: Sequence[Row]) -> str:
    """What runs, and how long each still has."""
    if not rows:
        return "There is no timer running."
    told = [f"{_named(row)} has {duration(row['seconds_left'])} left" for row in rows[:_TOLD]]
    return f"{_count(rows, 'timer')}{_listed(told)}.{_more(rows)}"


def alarms(rows: Sequence[Row], due: Callable[[str], str] = due) -> str:
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
WRITTEN: Final[Mapping[str, Callable[[Any], str]]] = {
    "duration": duration,
    "clock": clock,
    "date": day,
    "year": lambda iso: iso[:4],
    "month": lambda iso: f"{date.fromisoformat(iso):%B}",
    "due": due,
    "digits": str,
    "timers": timers,
    "alarms": alarms,
    "cancelled": cancelled,
    "title": _title,
}
SPOKEN: Final[Mapping[str, Callable[[Any], str]]] = {
    "clock": clock_aloud,
    "due": due_aloud,
    "digits": lambda value: spaced(str(value)),
    "alarms": lambda rows: alarms(rows, due_aloud),
}
"""Only what the voice is told otherwise than it is written."""


class Shown:
    """What is shown while a voice speaks: each sentence as it is `written`, where it has a spelling of its own."""

    def __init__(self, written: str, aloud: str) -> None:
        self._own = not aloud
        self._left = [] if self._own else list(sentences(written))

    def of(self, spoken: str) -> str:
        """For a piece of sound with the text `spoken`; empty where it goes on with the sentence before."""
        if self._own or not spoken:
            return spoken
        return self._left.pop(0) if self._left else ""

    def rest(self) -> str:
        """What no piece was for: the voice takes other pauses for the ends of sentences."""
        rest, self._left = " ".join(self._left), []
        return rest
