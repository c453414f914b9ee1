"""From text to what the person wants: typed text and recognised text alike go through hassil with the
skills' own sentences.

Typed text is met generously: case, punctuation, digits, politeness and slips of the pen do not matter.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from hassil import Intents, recognize_all
from hassil.intents import RangeSlotList, SlotList, TextSlotList, WildcardSlotList
from hassil.recognize import RecognizeResult

from appliance.providers.offline.grammar import spoken_words
from appliance.providers.offline.skills import Intent, Skills, Understood
from appliance.providers.offline.spelling import clock_words, compact, digits_joined, with_digits, words_of

LONGEST_TEXT: Final = 200
"""Characters: nobody commands a kitchen timer in more; it bounds the time that parsing takes."""
_ALIKE: Final = 0.8
_NUMBER: Final = re.compile(r"-?\d{1,12}(\.\d{1,6})?|a|an")
_ADDRESS: Final = re.compile(r"sips?:\S+|[\w.+-]+@[\w.-]+(:\d+)?")


class Parser:
    """The sentences of one set of skills."""

    def __init__(self, skills: Skills, functions: Iterable[str], contacts: Sequence[str] = ()) -> None:
        self._intents = {intent.name: intent for intent in skills.offered(functions)}
        self._lists = skills.lists
        self._slot_lists: dict[str, SlotList] = {
            name: _slot_list(name, body, contacts) for name, body in skills.lists.items()
        }
        self._matchers = {
            reply: _matcher(skills, [one for one in self._intents.values() if one.reply_to == reply])
            for reply in {intent.reply_to for intent in self._intents.values()}
        }
        self._vocabulary = _vocabulary(skills, self._intents.values(), contacts)

    def parse(self, text: str, *, reply_to: str = "") -> Understood | None:
        """What `text` asks for; with `reply_to`, first as the reply to such a question."""
        if len(text) > LONGEST_TEXT or not text.strip():
            return None
        last: Understood | None = None
        for expected in dict.fromkeys((reply_to, "")):
            for words in self._readings(text):
                found = self._match(expected, words)
                if found is not None and not found.intent.last:
                    return found
                last = last or found
        return last

    def _readings(self, text: str) -> Iterable[Sequence[str]]:
        words = words_of(text)
        mended = [self._mended(word) for word in words]
        spelled = [compact(text), words, *([mended] if mended != words else [])]
        seen: set[tuple[str, ...]] = set()
        for base in spelled:
            for read in (with_digits, clock_words, digits_joined):
                reading = tuple(read(base))
                if reading and reading not in seen:
                    seen.add(reading)
                    yield reading

    def _mended(self, word: str) -> str:
        if word in self._vocabulary or len(word) < 4 or not word.isalpha():
            return word
        near = difflib.get_close_matches(word, self._vocabulary, n=1, cutoff=_ALIKE)
        return near[0] if near else word

    def _match(self, reply_to: str, words: Sequence[str]) -> Understood | None:
        matcher = self._matchers.get(reply_to)
        if matcher is None:
            return None
        found = recognize_all(" ".join(words), matcher, slot_lists=self._slot_lists, language="en")
        ranked = sorted((result for result in found if self._valid(result)), key=_rank)
        if not ranked:
            return None
        best = ranked[0]
        slots = {entity.name: self._value(entity.name, entity.value) for entity in best.entities_list}
        return Understood(self._intents[best.intent.name], slots)

    def _valid(self, result: RecognizeResult) -> bool:
        return all(_fits(self._lists[entity.name], entity.value) for entity in result.entities_list)

    def _value(self, name: str, value: Any) -> Any:
        if "number" in self._lists[name]:
            return 1.0 if value in ("a", "an") else float(value)
        return value


def _matcher(skills: Skills, intents: Iterable[Intent]) -> Intents:
    polite = {
        one.name: [f"<lead> ({text}) <tail>" for text in (*one.sentences, *one.typed)] for one in intents
    }
    document = {
        "language": "en",
        "intents": {name: {"data": [{"sentences": sentences}]} for name, sentences in polite.items()},
        "expansion_rules": {**skills.rules, "lead": skills.typed_lead, "tail": skills.typed_tail},
    }
    return Intents.from_dict(document)


def _rank(result: RecognizeResult) -> tuple[int, int]:
    return sum(entity.is_wildcard for entity in result.entities_list), -(result.text_chunks_matched or 0)


def _slot_list(name: str, body: Mapping[str, Any], contacts: Sequence[str]) -> SlotList:
    match body:
        case {"values": values}:
            return TextSlotList.from_tuples([(value["in"], value["out"]) for value in values], name=name)
        case {"contacts": _}:
            return TextSlotList.from_tuples([(_called(contact), contact) for contact in contacts], name=name)
        case {"range": [low, high]}:
            return RangeSlotList(name, start=low, stop=high, words=False)
        case {"clock_minutes": _}:
            return RangeSlotList(name, start=0, stop=59, words=False)
    return WildcardSlotList(name)


def _called(contact: str) -> str:
    """With the article or without, however it is written in the configuration."""
    return f"[the] {contact.lower().removeprefix('the ')}"


_FITS: Final[Mapping[str, Callable[[Any, str], bool]]] = {
    "number": lambda _, text: bool(_NUMBER.fullmatch(text)),
    "digits": lambda bounds, text: bool(re.fullmatch(rf"[+*#]?[\d*#]{{{bounds[0]},{bounds[1]}}}", text)),
    "address": lambda _, text: bool(_ADDRESS.fullmatch(text)),
    "free": lambda _, text: len(text) <= 40 and not re.search(r"\d", text),
}


def _fits(body: Mapping[str, Any], value: Any) -> bool:
    return all(fits(body[kind], str(value)) for kind, fits in _FITS.items() if kind in body)


def _vocabulary(skills: Skills, intents: Iterable[Intent], contacts: Sequence[str]) -> frozenset[str]:
    spoken = spoken_words(skills, intents, contacts)
    typed = re.findall(r"[a-z']+", " ".join(text for intent in intents for text in intent.typed))
    return frozenset(spoken | set(typed))
