"""The PIN that a caller keys in before anything else. Pure; the digits stand in no text that it gives."""

import hmac
from enum import StrEnum, auto
from typing import Final

TRIES: Final = 3
LONGEST: Final = 32


class Verdict(StrEnum):
    RIGHT = auto()
    WRONG = auto()
    OVER = auto()
    """Wrong for the last time."""


class PinEntry:
    """`pin` is digits; an entry ends with as many digits as it has, or with `#` before that. `*` begins anew."""

    def __init__(self, pin: str, tries: int = TRIES) -> None:
        self._pin = pin
        self._left = tries
        self._entered = ""
        self._full = False
        """The entry before had all its digits: a # that follows belongs to it."""

    def __repr__(self) -> str:
        return f"PinEntry({self._left} tries left)"

    def press(self, digit: str) -> Verdict | None:
        """None while the entry goes on."""
        full, self._full = self._full, False
        if digit == "*":
            self._entered = ""
            return None
        if digit == "#" and full:
            return None
        if digit != "#":
            self._entered = (self._entered + digit)[:LONGEST]
            if len(self._entered) < len(self._pin):
                return None
            self._full = True
        return self._judge()

    def late(self) -> Verdict:
        """Nothing more came: what there is counts as an entry."""
        return self._judge()

    def _judge(self) -> Verdict:
        entered, self._entered = self._entered, ""
        if self._pin and hmac.compare_digest(entered.encode(), self._pin.encode()):
            return Verdict.RIGHT
        self._left -= 1
        return Verdict.WRONG if self._left > 0 else Verdict.OVER
