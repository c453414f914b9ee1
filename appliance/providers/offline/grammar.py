"""From the skills to the recogniser's grammar: an automaton of all spoken sentences."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from hassil.expression import Alternative, Expression, Group, ListReference, RuleReference, TextChunk
from hassil.parse_expression import parse_sentence

from appliance.providers.offline.automaton import Automaton, Draft
from appliance.providers.offline.skills import Intent, Skills
from appliance.providers.offline.spelling import TEENS, TENS, UNITS

ZERO_DIGIT: Final = f"({'|'.join(UNITS)})"
OH_DIGIT: Final = f"({'|'.join(UNITS[1:])}|oh)"
MOST_DIGITS: Final = 12


def speech_grammar(skills: Skills, intents: Iterable[Intent], contacts: Sequence[str] = ()) -> Automaton:
    """All spoken sentences of `intents`, with politeness around them."""
    drawn = _Drawing(skills, contacts).draft([text for intent in intents for text in intent.sentences])
    return drawn.minimal()


def spoken_words(skills: Skills, intents: Iterable[Intent], contacts: Sequence[str] = ()) -> set[str]:
    """All words of that grammar: every rule and every list is looked at once, and no automaton is made."""
    drawing = _Drawing(skills, contacts)
    spoken = [text for intent in intents for text in intent.sentences if not drawing.typed_only(text)]
    words: set[str] = set()
    seen: set[str] = set()
    waiting = [skills.lead, skills.tail, *spoken]
    while waiting:
        text = waiting.pop()
        if text not in seen:
            seen.add(text)
            words |= drawing.words(drawing.expression(text), waiting)
    return words


class _Drawing:
    """Draws hassil templates into an automaton. The same few rules and lists stand in most: each is parsed once."""

    def __init__(self, skills: Skills, contacts: Sequence[str]) -> None:
        self._skills = skills
        self._contacts = contacts
        self._draft = Draft()
        self._parsed: dict[str, Expression] = {}

    def draft(self, texts: Iterable[str]) -> Draft:
        draft = self._draft
        begin, finish = draft.state(), draft.state()
        self._template(self._skills.lead, draft.start, begin)
        self._template(self._skills.tail, finish, draft.end)
        for text in texts:
            if not self.typed_only(text):
                self._template(text, begin, finish)
        return draft

    def expression(self, text: str) -> Expression:
        known = self._parsed.get(text)
        if known is None:
            known = self._parsed[text] = parse_sentence(text).expression
        return known

    def typed_only(self, text: str) -> bool:
        used = [self._skills.lists[name] for name in self._lists_of(self.expression(text))]
        return any("free" in body or ("contacts" in body and not self._contacts) for body in used)

    def words(self, item: Expression, below: list[str]) -> set[str]:
        """Those of `item` itself; the templates that it refers to are added to `below`."""
        match item:
            case TextChunk():
                return set(item.text.lower().split())
            case Group():
                return {word for child in item.items for word in self.words(child, below)}
            case RuleReference():
                below.append(self._skills.rules[item.rule_name])
            case ListReference():
                below += spoken_values(self._skills.lists[item.list_name], self._contacts)
        return set()

    def _lists_of(self, item: Expression) -> list[str]:
        match item:
            case ListReference():
                return [item.list_name]
            case RuleReference():
                return self._lists_of(self.expression(self._skills.rules[item.rule_name]))
            case Group():
                return [name for child in item.items for name in self._lists_of(child)]
        return []

    def _template(self, text: str, source: int, target: int) -> None:
        self._draw(self.expression(text), source, target)

    def _draw(self, item: Expression, source: int, target: int) -> None:
        match item:
            case TextChunk():
                self._words(item.text.lower().split(), source, target)
            case Alternative():
                for choice in item.items:
                    self._draw(choice, source, target)
                if item.is_optional:
                    self._draft.free(source, target)
            case Group():
                stops = [source, *(self._draft.state() for _ in item.items[1:]), target]
                for child, (here, there) in zip(item.items, pairwise(stops), strict=True):
                    self._draw(child, here, there)
            case RuleReference():
                self._template(self._skills.rules[item.rule_name], source, target)
            case ListReference():
                for text in spoken_values(self._skills.lists[item.list_name], self._contacts):
                    self._template(text, source, target)
            case _:
                raise TypeError(f"no place in a spoken sentence: {item!r}")

    def _words(self, words: Sequence[str], source: int, target: int) -> None:
        if not words:
            self._draft.free(source, target)
            return
        stops = [source, *(self._draft.state() for _ in words[1:]), target]
        for word, (here, there) in zip(words, pairwise(stops), strict=True):
            self._draft.word(here, word, there)


def spoken_values(body: Mapping[str, Any], contacts: Sequence[str]) -> list[str]:
    """Templates of all that can be said for a list of `skills/*.yaml`."""
    for kind, write in _KINDS.items():
        if kind in body:
            return write(body[kind])
    if "contacts" in body:
        return [name.lower() for name in contacts]
    raise ValueError(f"unknown kind of list: {sorted(body)}")


def spoken_range(low: int, high: int) -> list[str]:
    """Templates of the whole numbers from `low` to `high`, at most 1000, as people say them."""
    small = [*UNITS, *TEENS][low : high + 1]
    tens = [_tens(index, high) for index, _ in enumerate(TENS, start=2) if low <= index * 10 <= high]
    hundreds = []
    if high >= 100:
        first = f"({'|'.join([*UNITS[1 : min(high // 100, 9) + 1], 'a'])}) hundred"
        rest = min(high - 100, 99) if high < 200 else 99
        hundreds = [f"{first} [[and] ({'|'.join(spoken_range(1, rest))})]" if rest else first]
    return [*small, *tens, *hundreds, *(["(one|a) thousand"] if high >= 1000 else [])]


def _tens(index: int, high: int) -> str:
    units = UNITS[1 : min(high - index * 10, 9) + 1]
    return f"{TENS[index - 2]} [{'|'.join(units)}]" if units else TENS[index - 2]


def _digits(bounds: Sequence[int]) -> list[str]:
    # Spelled out to the bound: a loop would let the recogniser explain a whole sentence as digits. Nobody says
    # "zero" and "oh" in one number; the recogniser, given the chance, hears "zero oh" for every "zero".
    return [_run(digit, bounds[0], min(bounds[1], MOST_DIGITS)) for digit in (ZERO_DIGIT, OH_DIGIT)]


def _run(digit: str, fewest: int, most: int) -> str:
    rest = ""
    for _ in range(most - fewest):
        rest = f" [{digit}{rest}]"
    return " ".join([digit] * fewest) + rest


_KINDS: Final[Mapping[str, Callable[[Any], list[str]]]] = {
    "values": lambda values: [value["in"] for value in values],
    "range": lambda bounds: spoken_range(*bounds),
    "clock_minutes": lambda _: [f"oh ({'|'.join(UNITS[1:])})", *spoken_range(10, 59)],
    "number": lambda high: [
        f"[minus] ({'|'.join(spoken_range(0, high))}) [point {ZERO_DIGIT} [{ZERO_DIGIT}]]"
    ],
    "digits": _digits,
}
