"""Each skill understands its own sentences, spoken and typed, and leaves the rest alone."""

import random

import pytest

from appliance.providers.offline.arguments import arguments_of
from appliance.providers.offline.automaton import Automaton
from appliance.providers.offline.grammar import speech_grammar, spoken_words
from appliance.providers.offline.parser import LONGEST_TEXT, Parser
from appliance.providers.offline.skills import load_skills

ALL = (
    *("get_time", "set_timer", "set_alarm", "cancel_timer", "list_timers", "stop_ringing"),
    *("set_volume", "set_muted", "call", "transfer_call", "hang_up"),
)
CONTACTS = ("Alice", "kitchen", "the front desk")


@pytest.fixture(scope="module")
def parser() -> Parser:
    return Parser(load_skills(), ALL, CONTACTS)


@pytest.fixture(scope="module")
def grammar() -> Automaton:
    commands = [intent for intent in load_skills().offered(ALL) if not intent.reply_to]
    return speech_grammar(load_skills(), commands, CONTACTS)


def wanted(parser: Parser, text: str) -> tuple[str, dict[str, object]]:
    understood = parser.parse(text)
    assert understood is not None, text
    return understood.intent.name, arguments_of(understood.intent.arguments, understood.slots)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "intent", "arguments"),
    [
        ("what time is it", "get_time", {}),
        ("could you tell me what time it is please", "get_time", {}),
        ("What's today's date?", "get_date", {}),
        ("set a timer for ten minutes", "set_timer", {"seconds": 600.0}),
        ("set a timer for two and a half minutes", "set_timer", {"seconds": 150.0}),
        ("set a timer for half an hour", "set_timer", {"seconds": 1800.0}),
        ("set a pasta timer for 8 minutes", "set_timer", {"seconds": 480.0, "label": "pasta"}),
        ("set a bicycle timer for 3 min", "set_timer", {"seconds": 180.0, "label": "bicycle"}),
        ("set a timr for ten minuts", "set_timer", {"seconds": 600.0}),
        ("1 hour 20 minutes timer", "set_timer", {"seconds": 4800.0}),
        ("wake me up at 7:05 am", "set_alarm", {"time": "07:05"}),
        ("wake me at seven thirty", "set_alarm", {"time": "07:30", "either_half": True}),
        ("wake me at quarter to one", "set_alarm", {"time": "12:45", "either_half": True}),
        ("set an alarm for half past eight p m", "set_alarm", {"time": "20:30"}),
        ("set an alarm for five to six in the morning", "set_alarm", {"time": "05:55"}),
        ("set an alarm for midnight", "set_alarm", {"time": "00:00"}),
        ("cancel the pasta timer", "cancel_timer", {"kind": "timer", "label": "pasta"}),
        ("cancel all timers", "cancel_all_timers", {"kind": "timer", "all": True}),
        ("how long is left on the timer", "list_timers", {"kind": "timer"}),
        ("volume 40%", "set_volume", {"level": 40}),
        ("turn it down", "volume_down", {"change": -15}),
        ("mute", "mute", {"on": True}),
        ("call alice", "call_contact", {"to": "Alice"}),
        ("call the kitchen", "call_contact", {"to": "kitchen"}),
        ("call the kitchne", "call_contact", {"to": "kitchen"}),
        ("call the bathroom", "call_unknown", {}),
        ("call kitchen", "call_contact", {"to": "kitchen"}),
        ("call front desk", "call_contact", {"to": "the front desk"}),
        ("transfer me to the kitchen", "transfer_contact", {"to": "kitchen"}),
        ("call +49 (30) 123-4567", "call_number", {"to": "+49301234567"}),
        ("call sip:bob@example.com", "call_number", {"to": "sip:bob@example.com"}),
        ("dial double two one", "call_number", {"to": "221"}),
        ("transfer me to extension two oh one", "transfer_number", {"to": "201"}),
        ("put me through to the front desk", "transfer_contact", {"to": "the front desk"}),
        ("goodbye", "hang_up", {}),
        ("say that again", "repeat", {}),
        ("never mind", "stop", {}),
    ],
)
def test_a_sentence_means_what_it_says(
    parser: Parser, text: str, intent: str, arguments: dict[str, object]
) -> None:
    assert wanted(parser, text) == (intent, arguments)


@pytest.mark.parametrize(
    "text",
    [
        *("", "   ", "please", "what's the weather like", "set the thermostat to twenty degrees", "call"),
        *(
            "transfer me to",
            "cancel my appointment",
            "set a timer for purple minutes",
            "12 times",
            "what is x plus y",
        ),
    ],
)
def test_what_is_no_command_is_not_understood(parser: Parser, text: str) -> None:
    assert parser.parse(text) is None


def test_an_endless_text_is_not_even_tried(parser: Parser) -> None:
    assert parser.parse("set a timer for ten minutes " * (LONGEST_TEXT // 10)) is None


@pytest.mark.slow
def test_what_the_agent_has_no_tool_for_is_not_offered() -> None:
    parser = Parser(load_skills(), ["get_time"], ())
    assert parser.parse("what time is it") is not None
    assert parser.parse("call 201") is None
    assert parser.parse("set a timer for ten minutes") is None


def test_a_reply_is_one_only_to_its_question(parser: Parser) -> None:
    assert parser.parse("yes") is None
    agreed = parser.parse("yes please", reply_to="confirmation")
    assert agreed is not None
    assert agreed.intent.name == "yes"
    given = parser.parse("five minutes", reply_to="seconds")
    assert given is not None
    assert given.intent.name == "give_duration"


@pytest.mark.slow
def test_whatever_the_recogniser_can_hear_the_parser_understands(parser: Parser, grammar: Automaton) -> None:
    chance = random.Random(7)
    for _ in range(400):
        sentence = walk(grammar, chance)
        assert parser.parse(sentence) is not None, sentence


@pytest.mark.slow
def test_a_contact_can_be_said(grammar: Automaton) -> None:
    assert grammar.accepts("call the front desk")
    assert not grammar.accepts("call bob")


@pytest.mark.slow
def test_the_words_that_can_be_said_are_known_without_the_grammar(grammar: Automaton) -> None:
    commands = [intent for intent in load_skills().offered(ALL) if not intent.reply_to]
    assert spoken_words(load_skills(), commands, CONTACTS) == grammar.words()


@pytest.mark.slow
def test_the_spoken_grammar_stays_small(grammar: Automaton) -> None:
    # Recognition time and memory follow it: at 17 000 states a sentence took seconds.
    assert len(grammar.arcs) < 800


def test_every_tool_that_a_skill_calls_exists() -> None:
    called = {intent.call for intent in load_skills().intents.values() if intent.call}
    assert called <= set(ALL)


def walk(grammar: Automaton, chance: random.Random) -> str:
    """A sentence of the grammar, by chance."""
    state = 0
    words: list[str] = []
    while True:
        ways = sorted(grammar.arcs[state].items())
        if state in grammar.accepting and (not ways or chance.random() < 0.5):
            return " ".join(words)
        word, state = chance.choice(ways)
        words.append(word)
