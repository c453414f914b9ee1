"""The appliance's own lines, by language."""

from enum import StrEnum
from typing import Final


class Phrase(StrEnum):
    NO_ANSWER = "no_answer"
    SAY_AGAIN = "say_again"
    STEPPED_DOWN = "stepped_down"


_WORDS: Final = {
    "en": {
        Phrase.NO_ANSWER: "Sorry, I did not get an answer. Please try again.",
        Phrase.SAY_AGAIN: "Sorry, the connection broke. Please say that again.",
        Phrase.STEPPED_DOWN: "I have lost the connection and go on another way.",
    },
    "de": {
        Phrase.NO_ANSWER: "Leider kam keine Antwort. Bitte versuchen Sie es noch einmal.",
        Phrase.SAY_AGAIN: "Die Verbindung ist abgebrochen. Bitte sagen Sie das noch einmal.",
        Phrase.STEPPED_DOWN: "Die Verbindung ist weg, ich mache anders weiter.",
    },
}


def phrase(which: Phrase, language: str) -> str:
    """In `language` ("de", "en-GB"), or in English where that is not known."""
    return _WORDS.get(language.partition("-")[0].lower(), _WORDS["en"])[which]
