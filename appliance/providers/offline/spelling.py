"""Numbers: from the words that people say or type to digits, and back.

Normalising is pure and total: what is no number stays as it is.
"""

# ruff: noqa: RUF001 - people type all kinds of quotation marks and signs

import re
from collections.abc import Sequence
from typing import Final

UNITS: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEENS: Final = (
    *(
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
    ),
)
TENS: Final = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SMALL: Final = {word: value for value, word in enumerate((*UNITS, *TEENS))}
_TENS: Final = {word: value * 10 for value, word in enumerate(TENS, start=2)}
_SCALES: Final = {"thousand": 1_000, "million": 1_000_000}
_DIGITS: Final = {**{word: str(value) for value, word in enumerate(UNITS)}, "oh": "0", "o": "0"}
_TIMES: Final = {"double": 2, "triple": 3}
_REWRITES: Final = (
    (re.compile(r"(?<=\d)(?=[a-z])"), " "),
    (re.compile(r"\b([ap])\.?\s?m\b\.?"), r" \1 m "),
    (re.compile(r"[’`´]"), "'"),
    (re.compile(r"(\d),(\d{3})\b"), r"\1\2"),
    (re.compile(r"°\s*([cf])\b"), lambda found: {"c": " celsius", "f": " fahrenheit"}[found[1]]),
    (re.compile(r"°"), " degrees "),
    (re.compile(r"(?<=\d)\s*[x×*]\s*(?=-?\d)"), " times "),
    (re.compile(r"(?<=\d)\s*[/÷]\s*(?=-?\d)"), " divided by "),
    (re.compile(r"(?<=\d)\s*\+\s*(?=-?\d)"), " plus "),
    (re.compile(r"(?<=\d)\s*-\s*(?=\d)|(?<=\d)\s+-\s*(?=\d)"), " minus "),
    (re.compile(r"%"), " percent "),
    (re.compile(r"(?<=[a-z])-(?=[a-z])"), " "),
)


_UNITS_WRITTEN: Final = {
    "h": "hours",
    "hr": "hours",
    "hrs": "hours",
    "min": "minutes",
    "mins": "minutes",
    "sec": "seconds",
    "secs": "seconds",
    "mm": "millimeters",
    "cm": "centimeters",
    "km": "kilometers",
    "ft": "feet",
    "mi": "miles",
    "kg": "kilograms",
    "oz": "ounces",
    "lb": "pounds",
    "lbs": "pounds",
    "ml": "milliliters",
    "l": "liters",
    "g": "grams",
    "tbsp": "tablespoons",
    "tsp": "teaspoons",
    "mph": "miles per hour",
    "kmh": "kilometers per hour",
    "litres": "liters",
    "litre": "liter",
    "metres": "meters",
    "metre": "meter",
    "kilometres": "kilometers",
    "ok": "okay",
}


def words_of(text: str) -> list[str]:
    """Lower-case words and numbers of typed or recognised text, without punctuation; numbers still as written."""
    text = text.lower()
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    words = re.findall(r"-?\d+(?:[:.]\d+)*|[a-z]+(?:'[a-z]+)*", text)
    return " ".join(_UNITS_WRITTEN.get(word, word) for word in words).split()


def with_digits(words: Sequence[str]) -> list[str]:
    """`words` with each number in digits: "twenty five" becomes "25", "seven thirty" "7 30", "three point
    five" "3.5"."""
    out: list[str] = []
    at = 0
    while at < len(words):
        value, used = _number(words[at:])
        if not used:
            out.append(words[at])
            at += 1
            continue
        at += used
        fraction, used = _fraction(words[at:])
        at += used
        out.append(value + fraction)
    return _negatives(out)


def clock_words(words: Sequence[str]) -> list[str]:
    """`words` with clock times as hour and minute: "seven oh five" and "7:05" become "7 05"."""
    return with_digits(_oh_minutes([part for word in words for part in word.split(":") if part]))


def compact(text: str) -> list[str]:
    """The words of typed `text` with addresses as they are and without what people put between the digits
    of a number."""
    bare = re.sub(r"(?<=\d)[\s()./-]+(?=\d)", "", text.lower())
    return [word.strip(".,!?;()") for word in bare.split() if word.strip(".,!?;()")]


def digits_joined(words: Sequence[str]) -> list[str]:
    """`words` with each run of spoken digits in one: "two oh one" becomes "201", "double four one" "441"."""
    out: list[str] = []
    at = 0
    while at < len(words):
        run, used = _digit_run(words[at:])
        if used:
            out.append(run)
            at += used
        else:
            out.append(words[at])
            at += 1
    return out


def _oh_minutes(words: Sequence[str]) -> list[str]:
    """`words` with "oh five" as "05", as in "seven oh five"."""
    out: list[str] = []
    for word in words:
        if out and out[-1] in ("oh", "o") and word in _DIGITS:
            out[-1] = "0" + _DIGITS[word]
        else:
            out.append(word)
    return out


def _digit_run(words: Sequence[str]) -> tuple[str, int]:
    run, at = "", 0
    while at < len(words):
        times = _TIMES.get(words[at], 1)
        ahead = at + (times > 1)
        if ahead >= len(words):
            break
        word = words[ahead]
        digit = _DIGITS.get(word, word if word.isdigit() and len(word) <= 4 else "")
        if not digit:
            break
        run += digit * times
        at = ahead + 1
    return (run, at) if at > 1 else ("", 0)


def _number(words: Sequence[str]) -> tuple[str, int]:
    if words[0] == "a" and len(words) > 1 and (words[1] == "hundred" or words[1] in _SCALES):
        words = ["one", *words[1:]]
    total, at = 0, 0
    while at < len(words):
        value, used = _below_thousand(words[at:])
        if not used:
            break
        scale = _SCALES.get(words[at + used]) if at + used < len(words) else None
        if scale is None:
            return str(total + value), at + used
        total += value * scale
        at += used + 1
        if at + 1 < len(words) and words[at] == "and" and _below_thousand(words[at + 1 :])[1]:
            at += 1
    return str(total), at


def _below_thousand(words: Sequence[str]) -> tuple[int, int]:
    value, used = _below_hundred(words)
    if not used or used >= len(words) or words[used] != "hundred" or not 0 < value < 10:
        return value, used
    used += 1
    ahead = used + (used + 1 < len(words) and words[used] == "and")
    more, taken = _below_hundred(words[ahead:])
    return (value * 100 + more, ahead + taken) if taken and more else (value * 100, used)


def _below_hundred(words: Sequence[str]) -> tuple[int, int]:
    if not words:
        return 0, 0
    if words[0] in _SMALL:
        return _SMALL[words[0]], 1
    if words[0] not in _TENS:
        return 0, 0
    unit = _SMALL.get(words[1], 0) if len(words) > 1 else 0
    return (_TENS[words[0]] + unit, 2) if 0 < unit < 10 else (_TENS[words[0]], 1)


def _fraction(words: Sequence[str]) -> tuple[str, int]:
    if len(words) < 2 or words[0] != "point":
        return "", 0
    at = 1
    while at < len(words) and words[at] in _DIGITS:
        at += 1
    return ("." + "".join(_DIGITS[word] for word in words[1:at]), at) if at > 1 else ("", 0)


def _negatives(words: Sequence[str]) -> list[str]:
    out: list[str] = []
    for at, word in enumerate(words):
        before = words[at - 2] if at >= 2 else ""
        if word[0].isdigit() and out and out[-1] in ("minus", "negative") and not before[:1].isdigit():
            out[-1] = "-" + word
        else:
            out.append(word)
    return out


def cardinal(value: float) -> str:
    """`value` as one writes it for a voice: whole numbers without a point, others with at most two
    decimals, "minus" in words."""
    rounded = round(value, 2) if abs(value) >= 0.01 else float(f"{value:.2g}")
    text = f"{abs(rounded):,.0f}" if rounded == int(rounded) else f"{abs(rounded):.10f}".rstrip("0")
    return f"minus {text}" if rounded < 0 else text


def spaced(digits: str) -> str:
    """A number as it is read out, digit by digit."""
    return " ".join(digits) if re.fullmatch(r"[\d+*#]+", digits) else digits
