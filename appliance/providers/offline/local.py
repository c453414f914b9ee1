"""Answers that need no tool: arithmetic, units, and small talk. Pure."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from appliance.providers.offline.skills import Intent
from appliance.providers.offline.spelling import cardinal

Slots = Mapping[str, Any]
MOST_HELP: Final = 4
_LARGEST: Final = 1e15
_UNIT_LISTS: Final = ("length", "mass", "fluid", "heat", "span", "speed")

_METRES: Final = {
    "mm": 0.001,
    "cm": 0.01,
    "m": 1.0,
    "km": 1000.0,
    "inch": 0.0254,
    "ft": 0.3048,
    "yd": 0.9144,
    "mi": 1609.344,
}
_GRAMS: Final = {
    "g": 1.0,
    "kg": 1000.0,
    "t": 1e6,
    "oz": 28.349523125,
    "lb": 453.59237,
    "st": 6350.29318,
}
_LITRES: Final = {
    "ml": 0.001,
    "l": 1.0,
    "gal": 3.785411784,
    "pt": 0.473176473,
    "cup": 0.2365882365,
    "tbsp": 0.01478676478,
    "tsp": 0.00492892159,
}
_SECONDS: Final = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0, "wk": 604_800.0}
_SPEEDS: Final = {"kmh": 1.0, "mph": 1.609344}
_KINDS: Final = (_METRES, _GRAMS, _LITRES, _SECONDS, _SPEEDS)
_NAMES: Final = {
    "mm": "millimeters",
    "cm": "centimeters",
    "m": "meters",
    "km": "kilometers",
    "inch": "inches",
    "ft": "feet",
    "yd": "yards",
    "mi": "miles",
    "g": "grams",
    "kg": "kilograms",
    "oz": "ounces",
    "lb": "pounds",
    "st": "stones",
    "t": "tons",
    "ml": "milliliters",
    "l": "liters",
    "gal": "gallons",
    "pt": "pints",
    "cup": "cups",
    "tbsp": "tablespoons",
    "tsp": "teaspoons",
    "c": "degrees celsius",
    "f": "degrees fahrenheit",
    "s": "seconds",
    "min": "minutes",
    "h": "hours",
    "d": "days",
    "wk": "weeks",
    "kmh": "kilometers per hour",
    "mph": "miles per hour",
}


def answer(name: str, slots: Slots, offered: Sequence[Intent]) -> str:
    """What is said to the local intent `name`."""
    if name == "help":
        return help_text(offered)
    return _ANSWERS[name](slots)


def convert(value: float, source: str, target: str) -> float | None:
    """`value` in the unit `target`; None where the two units measure different things."""
    if {source, target} <= {"c", "f"}:
        if source == target:
            return value
        return value * 9 / 5 + 32 if source == "c" else (value - 32) * 5 / 9
    for kind in _KINDS:
        if source in kind and target in kind:
            return value * kind[source] / kind[target]
    return None


def help_text(offered: Sequence[Intent]) -> str:
    """Some of what can be said, one example a skill."""
    examples = [intent.help for intent in offered if intent.help]
    step = max(1, len(examples) // MOST_HELP)
    return (
        f"You can say, for example: {'; '.join(examples[::step][:MOST_HELP])}."
        if examples
        else "There is nothing I can do here."
    )


def _calculate(slots: Slots) -> str:
    x, y = slots["x"], slots["y"]
    match slots["operation"]:
        case "+":
            return _result(x + y)
        case "-":
            return _result(x - y)
        case "*":
            return _result(x * y)
    return _result(x / y) if y else "Nothing can be divided by zero."


def _convert(slots: Slots) -> str:
    value = float(slots.get("x", 1.0))
    source = _first(slots, ("unit", *_UNIT_LISTS))
    target = _first(slots, ("other_unit", *(f"to_{name}" for name in _UNIT_LISTS)))
    result = convert(value, source, target)
    if result is None:
        return f"I can't turn {_NAMES[source]} into {_NAMES[target]}."
    return f"{_quantity(value, source)} is {_quantity(result, target)}."


def _first(slots: Slots, names: Iterable[str]) -> str:
    return next(str(slots[name]) for name in names if name in slots)


def _quantity(value: float, unit: str) -> str:
    name = _NAMES[unit]
    if value == 1:
        name = {"inches": "inch", "feet": "foot"}.get(name, name.replace("s per", " per").removesuffix("s"))
        name = name.replace("degrees", "degree") if unit in "cf" else name
        name = "degree celsius" if unit == "c" else name
    return f"{cardinal(value)} {name}"


def _root(slots: Slots) -> str:
    return _result(math.sqrt(slots["x"])) if slots["x"] >= 0 else "A negative number has no real square root."


def _result(value: float) -> str:
    if abs(value) > _LARGEST:
        return "That is more than I can count."
    about = "about " if not math.isclose(value, round(value, 2), abs_tol=1e-9) else ""
    return f"That is {about}{cardinal(value)}."


_ANSWERS: Final[Mapping[str, Callable[[Slots], str]]] = {
    "calculate": _calculate,
    "add_two": lambda slots: _result(slots["x"] + slots["y"]),
    "percent": lambda slots: _result(slots["x"] * slots["y"] / 100),
    "half_of": lambda slots: _result(slots["x"] / 2),
    "square_root": _root,
    "squared": lambda slots: _result(slots["x"] ** 2),
    "convert": _convert,
    "greeting": lambda _: "Hello. How can I help?",
    "thanks": lambda _: "You're welcome.",
    "who": lambda _: "I am Handset. I am working offline.",
    "nobody": lambda slots: f"I don't know anybody called {slots['anybody']}.",
}
