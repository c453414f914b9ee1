# SPDX-License-Identifier: Apache-2.0
"""A digit that the far end keys in: what the library tells of it, again and again, makes one. Pure."""

from dataclasses import dataclass
from typing import Final

SILENCE: Final = 0.5
"""Seconds: whoever lets go without saying so has let go by then."""
_LONGEST_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Digit:
    """`method` is rfc4733 or info; `duration_ms` 0 where it is not known."""

    digit: str
    duration_ms: int
    method: str


class Keyed:
    """Each method returns the digit that is over by it, if one is."""

    def __init__(self) -> None:
        self._digit: Digit | None = None
        self._at = 0.0

    def told(self, digit: Digit, now: float, *, goes_on: bool) -> Digit | None:
        """`goes_on`: it is the one that was told of before, still held."""
        same = goes_on and self._digit is not None and self._digit.digit == digit.digit
        before = None if same else self.end()
        known = digit.duration_ms if digit.duration_ms < _LONGEST_MS else 0
        self._digit, self._at = Digit(digit.digit, known, digit.method), now
        return before

    def tick(self, now: float) -> Digit | None:
        return self.end() if self._digit is not None and now - self._at > SILENCE else None

    def end(self) -> Digit | None:
        digit, self._digit = self._digit, None
        return digit
