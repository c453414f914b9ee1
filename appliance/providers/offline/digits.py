"""Digits that somebody says one by one: for a PIN, on the device itself. What was said is kept nowhere."""

from typing import Final

from appliance.providers.offline.automaton import Automaton
from appliance.providers.offline.recogniser import Recogniser, Vocabulary

_WORDS: Final = {
    "zero": "0",
    "oh": "0",
    "one": "1",
    "two": "2",
    "three": "3",
    "four": "4",
    "five": "5",
    "six": "6",
    "seven": "7",
    "eight": "8",
    "nine": "9",
}
_ANY_NUMBER_OF_THEM: Final = Automaton((dict.fromkeys(_WORDS, 1), dict.fromkeys(_WORDS, 1)), frozenset({1}))


class SpokenDigits:
    """English. `hear` blocks, and may be called from any thread."""

    def __init__(self) -> None:
        self._recogniser = Recogniser()
        self._vocabulary: Vocabulary | None = None

    def hear(self, pcm: bytes) -> str:
        """The digits in `pcm` (16 kHz); empty where it was something else. Raise DriverMissing without recognition."""
        if self._vocabulary is None:
            self._vocabulary = Vocabulary({"": _ANY_NUMBER_OF_THEM})
        heard = self._recogniser.recognise(self._vocabulary, "", pcm)
        return "".join(_WORDS[word] for word in heard.text.split())
