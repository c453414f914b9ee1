"""What is still to be said of a piece of text whose sound broke off: rather a word twice than a word lost. Pure."""

# ruff: noqa: RUF001 - clause marks of several scripts

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

from appliance.stages import Word

CHARACTER_MS: Final = 62.0
WIDE_CHARACTER_MS: Final = 220.0
"""Of speech: an ideograph or a kana is a syllable."""
_BOUNDARY: Final = re.compile(r" |[，、。；：！？]")
"""Behind it speech can begin again."""


def remainder(text: str, came_ms: float, words: Sequence[Word]) -> str:
    """What is left of `text` after `came_ms` of its sound; empty when it must have been said to its end.

    `words` are those whose times are known, in the order of the text; without any, it is reckoned by proportion.
    """
    if not came_ms:
        return text
    tokens = text.split(" ")
    begun = [word for word in words[: len(tokens)] if word.start_ms < came_ms]
    if not begun:
        return _after(text, came_ms)
    start = sum(len(token) + 1 for token in tokens[: len(begun) - 1])
    rest = text[start:]
    # A language without blanks has a sentence for a word.
    return rest[
        _boundary(rest, _reached(rest, came_ms - begun[-1].start_ms), within=len(tokens[len(begun) - 1])) :
    ]


def _after(text: str, came_ms: float) -> str:
    reached = _reached(text, came_ms)
    return "" if reached >= len(text) else text[_boundary(text, reached, within=len(text)) :]


def _reached(text: str, came_ms: float) -> int:
    """How many characters of `text` are spoken in `came_ms`."""
    for at, character in enumerate(text):
        if came_ms <= 0:
            return at
        came_ms -= WIDE_CHARACTER_MS if unicodedata.east_asian_width(character) in "WF" else CHARACTER_MS
    return len(text)


def _boundary(text: str, reached: int, *, within: int) -> int:
    """Where the word or clause begins that `reached` is in."""
    return max((found.end() for found in _BOUNDARY.finditer(text, 0, min(reached, within))), default=0)
