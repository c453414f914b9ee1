"""Stop words are of two kinds: models of a wake detector, and phrases that are said as they are written."""

import re
from collections.abc import Collection
from typing import Final

_PHRASE: Final = re.compile(r"[a-z']{2,}( [a-z']{2,}){0,2}")


def is_phrase(word: str, models: Collection[str]) -> bool:
    """Whether it is a phrase of one to three words in lower case, and not the name of one of `models`."""
    return word not in models and _PHRASE.fullmatch(word) is not None
