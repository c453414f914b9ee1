"""From what was said for a skill's lists to the arguments of its tool. Pure.

In a skill file, an argument is `=constant`, the name of a reader below, or the name of a list.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

Slots = Mapping[str, Any]


def arguments_of(wanted: Mapping[str, str], slots: Slots) -> dict[str, Any]:
    """The arguments that `slots` give; what was not said is left out."""
    found = {name: _argument(source, slots) for name, source in wanted.items()}
    return {name: value for name, value in found.items() if value is not None}


def _argument(source: str, slots: Slots) -> Any:
    if source.startswith("="):
        import yaml  # here: an idle appliance does without it

        return yaml.safe_load(source[1:])
    return READERS[source](slots) if source in READERS else slots.get(source)


def duration(slots: Slots) -> float | None:
    """Seconds; None when nothing was said of it."""
    parts = [float(slots[name]) * size for name, size in _SIZES.items() if name in slots]
    parts += [float(slots[name]) for name in ("fixed_duration", "half_hour", "half_minute") if name in slots]
    return sum(parts) if parts else None


def clock(slots: Slots) -> str | None:
    """A time of day as HH:MM, in 24 hours where the half of the day was said."""
    if "noon_or_midnight" in slots:
        return str(slots["noon_or_midnight"])
    if "hour" not in slots:
        return None
    hour = int(slots["hour"])
    minute = int(slots.get("minute", 0)) + int(slots.get("to_past", 0))
    minute += int(slots.get("past_minute", 0)) * int(slots.get("before_after", 0))
    half = slots.get("half")
    if half and 1 <= hour <= 12:
        hour = hour % 12 + (12 if half == "pm" else 0)
    total = (hour * 60 + minute) % (24 * 60)
    if half is None and total < 60 and 1 <= hour <= 12:
        total += 12 * 60
    return f"{total // 60:02}:{total % 60:02}"


def either_half(slots: Slots) -> bool | None:
    """True when nobody said whether the time of day is before noon or after."""
    unsaid = "hour" in slots and "half" not in slots and 1 <= int(slots["hour"]) <= 12
    return True if unsaid and not str(slots.get("day", "")).endswith("morning") else None


def number(slots: Slots) -> str | None:
    """A telephone number, or a SIP address."""
    dialled = slots.get("digits", slots.get("address"))
    return None if dialled is None else str(dialled)


def label(slots: Slots) -> str | None:
    name = slots.get("label", slots.get("any_label"))
    return None if name is None else str(name)


def level(slots: Slots) -> int | None:
    wanted = slots.get("level", slots.get("named_level"))
    return None if wanted is None else int(wanted)


_SIZES: Final = {"hours": 3_600.0, "minutes": 60.0, "seconds": 1.0}
READERS: Final[Mapping[str, Callable[[Slots], Any]]] = {
    "duration": duration,
    "clock": clock,
    "either_half": either_half,
    "number": number,
    "label": label,
    "level": level,
}
