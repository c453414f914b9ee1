"""What is done with what was understood."""

import pytest

from appliance.providers.offline.dialogue import OFFLINE, UNCLEAR, Call, Dialogue, Say
from appliance.providers.offline.parser import Parser
from appliance.providers.offline.skills import load_skills

pytestmark = pytest.mark.slow

ALL = (
    *("get_time", "set_timer", "set_alarm", "cancel_timer", "list_timers", "stop_ringing"),
    *("set_volume", "set_muted", "call", "transfer_call", "hang_up"),
)


class Talk:
    def __init__(self, functions: tuple[str, ...] = ALL) -> None:
        self.parser = Parser(load_skills(), functions, ["Alice"])
        self.dialogue = Dialogue(load_skills().offered(functions))

    def says(self, text: str) -> Say | Call:
        return self.dialogue.take(self.parser.parse(text, reply_to=self.dialogue.reply_to), clear=True)


def called(step: Say | Call) -> tuple[str, dict[str, object]]:
    assert isinstance(step, Call)
    return step.function, dict(step.arguments)


@pytest.mark.parametrize(
    "text", ["call alice", "call 201", "transfer me to 201", "mute", "cancel all timers", "cancel all alarms"]
)
def test_what_cannot_be_undone_is_asked_first(text: str) -> None:
    talk = Talk()
    question = talk.says(text)
    assert isinstance(question, Say)
    assert question.text.startswith("Shall I")
    assert isinstance(talk.says("yes"), Call)


def test_a_no_ends_the_matter() -> None:
    talk = Talk()
    talk.says("call alice")
    assert talk.says("no") == Say("Okay, I won't.")
    assert not isinstance(talk.says("yes"), Call)


def test_another_command_drops_the_question() -> None:
    talk = Talk()
    talk.says("call alice")
    assert called(talk.says("what time is it"))[0] == "get_time"
    assert not isinstance(talk.says("yes"), Call)


def test_a_question_is_asked_again_once_and_then_dropped() -> None:
    talk = Talk()
    talk.says("call alice")
    assert talk.says("gibberish") == Say(f"{UNCLEAR} Shall I call Alice?")
    assert talk.says("gibberish") == Say(OFFLINE)
    assert not isinstance(talk.says("yes"), Call)


def test_what_a_timer_lacks_is_asked_for() -> None:
    talk = Talk()
    assert talk.says("set a timer") == Say("For how long?")
    step = talk.says("five minutes")
    assert called(step) == ("set_timer", {"seconds": 300.0})
    assert isinstance(step, Call)
    answer = talk.dialogue.answer(step, {"label": "", "seconds": 300}, "")
    assert answer.text == "Timer set for 5 minutes, starting now."


def test_unknown_speech_is_told_honestly() -> None:
    dialogue = Talk().dialogue
    assert dialogue.take(None, clear=True) == Say(OFFLINE)
    assert dialogue.take(None, clear=False) == Say(UNCLEAR)


def test_a_tools_error_is_what_the_person_hears() -> None:
    talk = Talk()
    step = talk.says("cancel the timer")
    assert isinstance(step, Call)
    assert talk.dialogue.answer(step, {}, "There is no timer.") == Say("There is no timer.")


def test_the_last_answer_can_be_repeated() -> None:
    talk = Talk()
    said = talk.says("what is 7 times 8")
    assert talk.says("repeat that") == said == Say("That is 56.")


def test_stop_silences_what_rings_and_says_nothing() -> None:
    talk = Talk()
    step = talk.says("stop")
    assert called(step) == ("stop_ringing", {})
    assert isinstance(step, Call)
    assert talk.dialogue.answer(step, {"stopped": True}, "") == Say("")
    assert Talk(("get_time",)).says("stop") == Say("")


def test_help_names_only_what_is_offered() -> None:
    said = Talk(("get_time",)).says("help")
    assert isinstance(said, Say)
    assert "what time is it" in said.text
    assert "timer" not in said.text


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("10 / 3", "That is about 3.33."),
        ("5 / 0", "Nothing can be divided by zero."),
        ("square root of minus 4", "A negative number has no real square root."),
        ("15 percent of 80", "That is 12."),
        ("convert 5 km to miles", "5 kilometers is 3.11 miles."),
        ("100 degrees fahrenheit in celsius", "100 degrees fahrenheit is 37.78 degrees celsius."),
        ("1 mile in feet", "1 mile is 5,280 feet."),
        ("2 liters in miles", "I can't turn liters into miles."),
        ("thank you", "You're welcome."),
    ],
)
def test_arithmetic_and_units_need_no_tool(text: str, answer: str) -> None:
    assert Talk(()).says(text) == Say(answer)
