"""Speech, keys, commands, tools and broken connections in any order: what must hold whatever happens."""

import itertools
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, seed
from hypothesis import strategies as st

from appliance.events import (
    Interrupted,
    SpeechStarted,
    SpeechStopped,
    Transcript,
    TurnChanged,
    Warned,
)
from appliance.interfaces import HistoryItem
from appliance.session.calls import GIVEN_AT_MOST
from tests.fakes.answers import Answer, Say
from tests.fakes.provider import FAST, RESTORING
from tests.rig.booth import Booth
from tests.rig.stories import FADE_SECONDS, PAUSES, VOICES, check_rest, check_tools, stories, told
from tests.rig.virtual_time import run

pytestmark = pytest.mark.slow

FADE_MS = 5
"""At each end of a piece that sounded: what has another value there is not found again."""
TOLD = {"no_answer", "no_service", "say_again", "cut_off"}
FOUND = Say("Here it is.", 0.5)
ANSWERS: dict[str, Callable[[Booth], object]] = {
    "short": lambda booth: booth.provider.will_say("Yes.", 0.4),
    "long": lambda booth: booth.provider.will_say("one two three four five six", 3.0),
    "burst": lambda booth: booth.provider.will_say("one two three four five six", 3.0, speed=1000.0),
    "slow": lambda booth: booth.provider.will_say("Wait for it.", 1.0, think=4.0),
    "tool": lambda booth: booth.provider.will_call("time_now", {}),
    "slow tool": lambda booth: booth.provider.will_call("time_now", {"seconds": 3.0}),
    "bad tool": lambda booth: booth.provider.will_call("oven", "{broken"),
    "failing tool": lambda booth: booth.provider.will_call("time_now", {"fail": True}),
    "look up": lambda booth: booth.provider.will_call("look_up", {}, FOUND),
    "slow look up": lambda booth: booth.provider.will_call("look_up", {"seconds": 4.0}, FOUND, unasked=True),
    "watch": lambda booth: booth.provider.will_call("watch", {"seconds": 2.0}, FOUND, unasked=True),
    "note": lambda booth: booth.provider.will_call("note", {}),
    "silent": lambda booth: booth.provider.will_be_silent("silent"),
    "failed": lambda booth: booth.provider.will_be_silent("failed"),
    "broken": lambda booth: booth.provider.will_say("one two three", 1.0, status="failed"),
    "endless": lambda booth: booth.provider.never_finish(0.6),
    "none": lambda booth: booth.provider.will_not_answer(),
}
DEEDS: dict[str, Callable[[Booth], object]] = {
    "press": lambda booth: booth.line.press(),
    "release": lambda booth: booth.line.release(),
    "type": lambda booth: booth.session.send_text("And this?"),
    "interrupt": lambda booth: booth.session.interrupt("test"),
    "say": lambda booth: booth.session.say("A word from here."),
    "protect": lambda booth: booth.session.say("This is recorded.", interruptible=False),
    "notify": lambda booth: booth.session.notify("The tea is ready."),
    "drop": lambda booth: booth.provider.drop(),
    "down": lambda booth: booth.provider.go_down(),
    "up": lambda booth: booth.provider.come_up(),
    "refuse": lambda booth: booth.provider.refuse(2),
    "hang": lambda booth: booth.provider.hang_in_connect(),
    "go away": lambda booth: booth.provider.announce_end(2.0),
    "unasked": lambda booth: booth.provider.speak("By the way.", 0.8),
    "end turn": lambda booth: booth.provider.end_turn(),
    "withdraw": lambda booth: booth.provider.withdraw_calls(),
    "trouble": lambda booth: booth.provider.have_trouble("bad_audio"),
    "mute": lambda booth: booth.line.set_muted(True),
    "unmute": lambda booth: booth.line.set_muted(False),
}
ACTIONS = [*(("speak", seconds) for seconds in VOICES), *((deed, 0.0) for deed in DEEDS)]


async def perform(booth: Booth, action: str, seconds: float) -> None:
    if action == "speak":
        await booth.speak(seconds)
    else:
        DEEDS[action](booth)


def sounded(booth: Booth, answer: Answer, since: float = 0.0) -> bool:
    """Another sound, fading in or out, passes through this one's value for a sample or two: that does not count."""
    return booth.heard(answer.level, since=since) > 0.5


def pieces(booth: Booth, answer: Answer) -> int:
    """How many there are of it, with pauses between."""
    sounds = [bool((block == answer.level).any()) for _, block in booth.speaker.blocks]
    return sum(after and not before for before, after in itertools.pairwise([False, *sounds]))


def check_answers(booth: Booth) -> None:
    heard = Counter[int]()
    for answer in booth.provider.answers:
        heard[answer.turn] += answer.turn > 0 and sounded(booth, answer)
        if answer.cancelled is not None:
            assert not sounded(booth, answer, answer.cancelled_at + FADE_SECONDS)
            faded_ms = 2 * FADE_MS * pieces(booth, answer)
            assert abs(answer.cancelled.heard_ms - booth.heard(answer.level)) <= 20 + faded_ms
    assert all(count <= 1 for count in heard.values()), "a turn was answered twice"
    for at, event in booth.events:
        if isinstance(event, Interrupted):
            before = [answer for answer in booth.provider.answers if booth.began(answer.level) < at]
            assert not any(sounded(booth, answer, at + FADE_SECONDS) for answer in before), "stale audio"


def check_calls(booth: Booth) -> None:
    provider = booth.provider
    results = Counter(result.call_id for result in provider.tool_results)
    assert all(count <= GIVEN_AT_MOST for count in results.values())
    assert provider.unanswered_calls == 0
    check_tools(booth)


def check_words(booth: Booth) -> None:
    """History, transcripts and provider agree on what was heard."""
    transcripts = [event for event in booth.of(Transcript) if event.role == "assistant" and event.final]
    heard = [event.heard for event in transcripts if event.heard]
    said = [item for item in booth.session.history if isinstance(item, HistoryItem)]
    assert [item.text for item in said if item.role == "assistant"] == heard
    told = Counter(answer.cancelled.heard for answer in booth.provider.answers if answer.cancelled)
    assert all(told[words] <= heard.count(words) for words in told if words)
    connection = booth.provider.connection
    corrected = {correction.response: correction.heard for correction in connection.corrections}
    for item in connection.setup.history:
        if isinstance(item, HistoryItem) and item.response:
            assert corrected.get(item.response, item.text) in ["", *heard]


def check_turns(booth: Booth) -> None:
    """Every turn was answered, or superseded, or the person was told."""
    began: list[tuple[float, int]] = []
    for at, event in booth.events:
        if not isinstance(event, TurnChanged) or event.state != "thinking":
            continue
        if event.turn not in [turn for _, turn in began]:
            began.append((at, event.turn))
    provider = booth.provider
    answered = {answer.turn for answer in provider.answers} | provider.reacted
    ends = [*(at for at, _ in began), booth.loop.time()][1:]
    for (at, turn), end in zip(began, ends, strict=True):
        within = [event for when, event in booth.events if at <= when <= end]
        told = any(isinstance(event, Warned) and event.code in TOLD for event in within)
        superseded = any(isinstance(event, Interrupted) for event in within)
        assert turn in answered or told or superseded, f"turn {turn} was forgotten"


def check_speech(booth: Booth) -> None:
    """Who was answered was heard: each connection that answered had the whole turn, in order, nothing twice."""
    for answer in booth.provider.answers:
        turn = booth.provider.connections[answer.connection].turns.get(answer.turn)
        if turn is None or turn.text:
            continue
        numbers = [int.from_bytes(frame[:2], "little") for frame in turn.frames]
        assert all(first < second for first, second in itertools.pairwise(numbers))
        begun = next(e for e in booth.of(SpeechStarted) if e.turn == answer.turn)
        ended = next(e for e in booth.of(SpeechStopped) if e.turn == answer.turn)
        first, last = booth.frame_at[id(begun)], booth.frame_at[id(ended)]
        spoken = {number for number in booth.microphone.spoken_frames if first <= number < last}
        assert spoken <= set(numbers), f"words of turn {answer.turn} are missing"


async def live(answers: list[str], steps: list[tuple[tuple[str, float], float]], *, restores: bool) -> None:
    async with Booth(idle_timeout=10_000.0, capabilities=RESTORING if restores else FAST) as booth:
        booth.clock.seconds = 1.0
        for answer in answers:
            ANSWERS[answer](booth)
        for (action, seconds), pause in steps:
            await perform(booth, action, seconds)
            await booth.wait(pause)
        booth.line.release()
        booth.provider.come_up()
        booth.line.set_muted(False)
        await booth.active(seconds=120)
        await booth.at_rest()
        for check in (check_rest, check_answers, check_calls, check_words, check_turns, check_speech):
            check(booth)


STORY: Any = st.lists(st.tuples(st.sampled_from(ACTIONS), st.sampled_from(PAUSES)), min_size=1, max_size=14)
FEW: Any = st.lists(st.sampled_from(list(ANSWERS)), max_size=6)
EXAMPLES = stories(100)
"""Of each of the four parts."""


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("part", range(4))
def test_whatever_happens_the_floor_comes_free_and_all_that_was_said_has_its_answer(part):
    @seed(part)
    @told(EXAMPLES)
    @given(FEW, STORY, st.booleans())
    def any_story(answers, steps, restores):
        run(live(answers, steps, restores=restores))

    any_story()
