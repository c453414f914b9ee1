"""What a field of a command may hold. Pure: each check returns the value in its final form or raises BadField."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from appliance.frames import LINE_RATES

Check = Callable[[Any], Any]

NAME_LENGTH: Final = 256
TEXT_LENGTH: Final = 4_000
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_CONTROL_IN_TEXT: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_DIGITS: Final = re.compile(r"[0-9A-Da-d*#]{1,64}")


class BadField(Exception):
    """The value does not fit; the message says what would, beginning with "must"."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a command: without `required` and not given, it takes `default`."""

    check: Check
    required: bool = False
    default: Any = None
    example: str = ""


def name(value: Any) -> str:
    """An id, a name or an address: one line, not empty."""
    if not isinstance(value, str) or not value.strip():
        raise BadField("must be a text, and not empty")
    if len(value) > NAME_LENGTH:
        raise BadField(f"must have at most {NAME_LENGTH} characters")
    if _CONTROL.search(value) or not _is_unicode(value):
        raise BadField("must be one line of plain text")
    return value


def text(value: Any) -> str:
    """Something to be said or typed."""
    if not isinstance(value, str) or not value.strip():
        raise BadField("must be a text, and not empty")
    if len(value) > TEXT_LENGTH:
        raise BadField(f"must have at most {TEXT_LENGTH} characters")
    if _CONTROL_IN_TEXT.search(value) or not _is_unicode(value):
        raise BadField("must be text without control characters")
    return value


def label(value: Any) -> str:
    """As `name`, but may be empty."""
    return "" if value == "" else name(value)


def switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise BadField("must be true or false")
    return value


def digits(value: Any) -> str:
    if not isinstance(value, str) or not _DIGITS.fullmatch(value):
        raise BadField("must be 1 to 64 of 0-9 A-D * #")
    return value.upper()


def rate(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value not in LINE_RATES:
        raise BadField(f"must be one of {', '.join(map(str, LINE_RATES))}")
    return value


def number(value: Any) -> float:
    """Unix seconds."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadField("must be a number")
    try:
        result = float(value)
    except OverflowError:
        result = math.inf
    if not math.isfinite(result):
        raise BadField("must be a finite number")
    return result


def whole(low: int, high: int) -> Check:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise BadField(f"must be a whole number from {low} to {high}")
        return value

    return check


def one_of(*choices: str) -> Check:
    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in choices:
            raise BadField(f"must be {' or '.join(repr(choice) for choice in choices)}")
        return value

    return check


def prefixes(known: Sequence[str]) -> Check:
    """A list of topic prefixes, each of which fits at least one of `known`."""

    def check(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or len(value) > 64 or not all(isinstance(item, str) for item in value):
            raise BadField("must be a list of at most 64 texts")
        for item in value:
            if not any(fits(item, topic) for topic in known):
                raise BadField(f"holds {item[:NAME_LENGTH]!r}, which fits no event")
        return tuple(value)

    return check


def fits(prefix: str, topic: str) -> bool:
    """True when `topic` begins with `prefix`; "call." also fits the topic "call"."""
    return topic.startswith(prefix) or (prefix.endswith(".") and topic == prefix[:-1])


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
