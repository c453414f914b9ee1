"""Brings the words that a service says it speaks to the words of the text that it was given. Pure.

A service tells "twelve" where the text has "12", one word for each sign of a Chinese sentence, or none of the signs
that are not spoken. What is told on is always the text's own words, each once and in order.
"""

import math
import unicodedata
from typing import Final

from appliance.stages import Word

_AHEAD: Final = 12
"""So many words of the text may be spoken under other names before the next one that is recognised."""
_LONGEST_MS: Final = 3_600_000.0


class Words:
    """Of one piece."""

    def __init__(self, text: str) -> None:
        self._own = text.split()
        self._keys = [_key(word) for word in self._own]
        self._next = 0
        self._begun = ""
        """What is not spoken yet of the word before `_next`."""
        self._last_ms = 0.0
        self._strange_ms: float | None = None
        """Since then words are spoken that are not the text's."""
        self._heard = False

    def spoken(self, said: str, start_ms: float) -> list[Word]:
        """The service speaks `said` from `start_ms` on. Return the text's words that are thereby known to begin."""
        if not (math.isfinite(start_ms) and 0 <= start_ms <= _LONGEST_MS):
            return []
        self._heard = True
        return [word for part in said.split() for word in self._one(_key(part), start_ms)]

    def begun_by(self, ms: float, *, spelled: bool) -> bool:
        """Its last word has begun to sound before `ms`; with `spelled` the last one is being told."""
        left = len(self._own) - self._next
        return self._heard and left <= int(spelled) and self._last_ms < ms

    def rest(self) -> list[Word]:
        """The piece is spoken: its words that were not told yet. None where the service tells no words at all."""
        if not self._heard:
            return []
        start = self._last_ms if self._strange_ms is None else self._strange_ms
        return self._until(len(self._own), start)

    def _one(self, said: str, start_ms: float) -> list[Word]:
        if not said:
            return []
        if self._begun.startswith(said):
            self._begun = self._begun[len(said) :]
            return []
        at = self._find(said)
        if at is None:
            self._strange_ms = start_ms if self._strange_ms is None else self._strange_ms
            return []
        before = self._until(at, start_ms if self._strange_ms is None else self._strange_ms)
        self._strange_ms = None
        end, self._begun = self._covered(at, said)
        return before + self._until(end, start_ms)

    def _find(self, said: str) -> int | None:
        """The text's word that begins with `said`: the next one, or one soon after it that is the very same."""
        worded = [at for at in range(self._next, len(self._own)) if self._keys[at]][:_AHEAD]
        if worded and (self._keys[worded[0]].startswith(said) or said.startswith(self._keys[worded[0]])):
            return worded[0]
        return next((at for at in worded if self._keys[at] == said), None)

    def _covered(self, at: int, said: str) -> tuple[int, str]:
        """Up to which word `said` reaches from `at` on, and what it leaves of the last one."""
        if self._keys[at].startswith(said):
            return at + 1, self._keys[at][len(said) :]
        left = said
        while at < len(self._own) and left.startswith(self._keys[at]) and left:
            left = left[len(self._keys[at]) :]
            at += 1
        return at, ""

    def _until(self, end: int, start_ms: float) -> list[Word]:
        self._last_ms = max(self._last_ms, start_ms)
        told = [Word(word, self._last_ms) for word in self._own[self._next : end]]
        self._next = max(self._next, end)
        return told


def _key(word: str) -> str:
    folded = unicodedata.normalize("NFKC", word).casefold()
    return "".join(character for character in folded if character.isalnum())
