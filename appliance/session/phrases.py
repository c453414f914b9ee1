"""The appliance's own lines, by language."""

from enum import StrEnum
from typing import Final


class Phrase(StrEnum):
    NO_ANSWER = "no_answer"
    SAY_AGAIN = "say_again"
    CUT_OFF = "cut_off"
    STEPPED_DOWN = "stepped_down"
    OUTAGE = "outage"
    CREDENTIALS_MISSING = "credentials_missing"
    CREDENTIALS_REJECTED = "credentials_rejected"
    SETUP_REJECTED = "setup_rejected"
    DRIVER_MISSING = "driver_missing"
    QUOTA_EXHAUSTED = "quota_exhausted"
    RATE_LIMITED = "rate_limited"
    NO_SERVICE = "no_service"
    RECORDED = "recorded"
    LIMIT_NEAR = "limit_near"
    LIMIT_REACHED = "limit_reached"
    LIMIT_DAY = "limit_day"
    STILL_THERE = "still_there"
    IDLE = "idle"


_WORDS: Final = {
    "en": {
        Phrase.NO_ANSWER: "Sorry, I did not get an answer. Please try again.",
        Phrase.SAY_AGAIN: "Sorry, the connection broke. Please say that again.",
        Phrase.CUT_OFF: "Sorry, I was cut off there.",
        Phrase.STEPPED_DOWN: "I have lost the connection and go on another way.",
        Phrase.OUTAGE: "I have no connection just now. I keep trying.",
        Phrase.CREDENTIALS_MISSING: "There is no key for a speech service. Please have one set.",
        Phrase.CREDENTIALS_REJECTED: "A speech service does not accept my key. Please have it checked.",
        Phrase.SETUP_REJECTED: "A speech service does not accept my settings. Please have them checked.",
        Phrase.DRIVER_MISSING: "A program that I need is not installed. Please have it installed.",
        Phrase.QUOTA_EXHAUSTED: "The credit of a speech service is used up.",
        Phrase.RATE_LIMITED: "A speech service is too busy just now.",
        Phrase.NO_SERVICE: "Sorry, I cannot answer at the moment.",
        Phrase.RECORDED: "This call is recorded.",
        Phrase.LIMIT_NEAR: "Our time is almost over.",
        Phrase.LIMIT_REACHED: "Our time is over. Goodbye.",
        Phrase.LIMIT_DAY: "The time for today is used up. Please come again tomorrow. Goodbye.",
        Phrase.STILL_THERE: "Are you still there?",
        Phrase.IDLE: "I am going now. Goodbye.",
    },
    "de": {
        Phrase.NO_ANSWER: "Leider kam keine Antwort. Bitte versuchen Sie es noch einmal.",
        Phrase.SAY_AGAIN: "Die Verbindung ist abgebrochen. Bitte sagen Sie das noch einmal.",
        Phrase.CUT_OFF: "Entschuldigung, da brach die Antwort ab.",
        Phrase.STEPPED_DOWN: "Die Verbindung ist weg, ich mache anders weiter.",
        Phrase.OUTAGE: "Ich habe gerade keine Verbindung. Ich versuche es weiter.",
        Phrase.CREDENTIALS_MISSING: "Für einen Sprachdienst fehlt der Schlüssel. Bitte ihn eintragen.",
        Phrase.CREDENTIALS_REJECTED: "Ein Sprachdienst nimmt meinen Schlüssel nicht an. Bitte ihn prüfen.",
        Phrase.SETUP_REJECTED: "Ein Sprachdienst nimmt meine Einstellungen nicht an. Bitte sie prüfen.",
        Phrase.DRIVER_MISSING: "Ein Programm, das ich brauche, fehlt. Bitte es installieren.",
        Phrase.QUOTA_EXHAUSTED: "Das Guthaben eines Sprachdienstes ist aufgebraucht.",
        Phrase.RATE_LIMITED: "Ein Sprachdienst ist gerade überlastet.",
        Phrase.NO_SERVICE: "Leider kann ich gerade nicht antworten.",
        Phrase.RECORDED: "Dieses Gespräch wird aufgezeichnet.",
        Phrase.LIMIT_NEAR: "Unsere Zeit ist gleich um.",
        Phrase.LIMIT_REACHED: "Unsere Zeit ist um. Auf Wiederhören.",
        Phrase.LIMIT_DAY: "Die Zeit für heute ist aufgebraucht. Bitte kommen Sie morgen wieder. Auf Wiederhören.",
        Phrase.STILL_THERE: "Sind Sie noch da?",
        Phrase.IDLE: "Ich lege jetzt auf. Auf Wiederhören.",
    },
}

_FAULTS: Final = {
    "credentials_missing": Phrase.CREDENTIALS_MISSING,
    "credentials_rejected": Phrase.CREDENTIALS_REJECTED,
    "setup_rejected": Phrase.SETUP_REJECTED,
    "driver_missing": Phrase.DRIVER_MISSING,
    "quota_exhausted": Phrase.QUOTA_EXHAUSTED,
    "rate_limited": Phrase.RATE_LIMITED,
}


def phrase(which: Phrase, language: str) -> str:
    """In `language` ("de", "en-GB"), or in English where that is not known."""
    return _WORDS.get(language.partition("-")[0].lower(), _WORDS["en"])[which]


def phrase_for(code: str) -> Phrase | None:
    """What is said about a provider's fault of that code; None where only time will tell."""
    return _FAULTS.get(code)
