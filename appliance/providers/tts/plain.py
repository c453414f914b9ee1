"""What is asked of a service: its text without what it would interpret, at a rate that it has. Pure."""

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

_TAG: Final = re.compile(r"<+([/!?]?-*\s?[A-Za-z][^<>]*)>+")
_UNSPOKEN: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufeff\ufffe\uffff]")
_ENDS: Final = (". ", "! ", "? ", "\n", "。", "؟ ", "; ", ", ", " ")
"""Where a long text is best cut, the best first."""


def plain(text: str) -> str:
    """`text` as any service takes it: no lone surrogates, no control characters, no blanks around it."""
    whole = text.encode("utf-8", "replace").decode("utf-8")
    return _UNSPOKEN.sub(" ", whole).strip()


def untagged(text: str) -> str:
    """What looks like a tag loses its angle brackets: it is read out, and tells the service nothing.

    There is no escape for them: an entity would be read out as well.
    """
    while (bare := _TAG.sub(r" \1 ", text)) != text:
        text = bare
    return text


def says_nothing(text: str) -> bool:
    """No letter and no digit of any script: there is nothing to speak."""
    return not any(unicodedata.category(character)[0] in "LN" for character in text)


def portions(text: str, longest: int) -> list[str]:
    """`text` in pieces of at most `longest` characters, cut behind a sentence where there is one.

    Joined, they are `text`.
    """
    cut: list[str] = []
    while len(text) > longest:
        at = _cut(text, longest)
        cut.append(text[:at])
        text = text[at:]
    return [*cut, text] if text else cut


def _cut(text: str, longest: int) -> int:
    for end in _ENDS:
        at = text.rfind(end, longest // 2, longest)
        if at > 0:
            return at + len(end) if at + len(end) <= longest else at
    return longest


def nearest_rate(offered: Iterable[int], wanted: int) -> int:
    """`wanted`, or the nearest above it, or else the highest."""
    rates = sorted(offered)
    return next((rate for rate in rates if rate >= wanted), rates[-1])


def primary(language: str) -> str:
    """The language without its region: "pt" for "pt-BR"."""
    return language.replace("_", "-").partition("-")[0].lower()
