"""A session with a chain: speech, keys, tools and stages that fail, in any order; what must hold whatever happens."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, seed
from hypothesis import strategies as st

from appliance.errors import ProviderUnavailable, RateLimited
from appliance.events import Interrupted, Transcript, TurnChanged, Warned
from appliance.interfaces import HistoryItem
from appliance.providers.chain import Chain
from appliance.stages import AnswerText, Said, ToolUse
from tests.fakes.stages import FakeLanguageModel, FakeSpeechToText, FakeTextToSpeech, level_of
from tests.rig.booth import Booth
from tests.rig.stories import FADE_SECONDS, PAUSES, VOICES, check_rest, check_tools, stories, told
from tests.rig.virtual_time import run

pytestmark = pytest.mark.slow

TOLD = {"no_answer", "no_service", "say_again", "cut_off", "piece_skipped"}
LONG = (
    " ".join(f"word{{n}}{letter}" for letter in "abcdefghij")
    + ". More{n} of{n} it{n} comes{n} here{n}, at{n} last{n}."
)
"""Each word is in one answer only: what sounds tells which answer it is."""


@dataclass
class Parts:
    """A chain of fake stages, two of each kind, and the session that it serves."""

    stt: tuple[FakeSpeechToText, ...] = field(
        default_factory=lambda: (FakeSpeechToText("a"), FakeSpeechToText("b"))
    )
    llm: tuple[FakeLanguageModel, ...] = field(
        default_factory=lambda: (FakeLanguageModel("a"), FakeLanguageModel("b"))
    )
    tts: tuple[FakeTextToSpeech, ...] = field(
        default_factory=lambda: (FakeTextToSpeech("a", timed=True), FakeTextToSpeech("b"))
    )
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def provider(self, turns: str = "local") -> Chain:
        kinds: dict[str, Any] = {"stt": self.stt, "llm": self.llm, "tts": self.tts}
        return Chain({"turns": turns}, {}, load=lambda kind, *_: kinds[kind])

    def say(self, text: str = LONG, **how: Any) -> None:
        self.llm[0].will_say(text.format(n=next(self.numbers)), **how)


def each_cut(parts: Parts) -> None:
    for connection in parts.stt[0].connections:
        connection.cut()


def probably_ended(parts: Parts, booth: Booth) -> None:
    for stage in parts.stt:
        if stage.connections:
            stage.eager(booth.session.turn, "words")


Deed = Callable[[Parts, Booth], object]


def service_ends_turn(parts: Parts, _: Booth) -> None:
    for stage in parts.stt:
        for connection in stage.connections[-1:]:
            connection.end_turn("more words")


ANSWERS: dict[str, Callable[[Parts], object]] = {
    "short": lambda parts: parts.say("Yes, {n}."),
    "long": lambda parts: parts.say(),
    "slow": lambda parts: parts.say(think=4.0),
    "tool": lambda parts: parts.llm[0].will_call("time_now", "{}"),
    "slow tool": lambda parts: parts.llm[0].will_call(
        "time_now", '{"seconds": 3.0}', first=f"Let me look, {next(parts.numbers)}."
    ),
    "bad tool": lambda parts: parts.llm[0].will_call("oven", "{broken"),
    "silent": lambda parts: parts.llm[0].will_say(),
    "busy": lambda parts: parts.llm[0].fail(RateLimited("busy", retry_after=2.0)),
    "broken": lambda parts: parts.llm[0].will_give(
        AnswerText(f"It{next(parts.numbers)} begins. It"), ProviderUnavailable("gone")
    ),
}
DEEDS: dict[str, Deed] = {
    "press": lambda _, booth: booth.line.press(),
    "release": lambda _, booth: booth.line.release(),
    "type": lambda _, booth: booth.session.send_text("And this?"),
    "interrupt": lambda _, booth: booth.session.interrupt("test"),
    "notify": lambda _, booth: booth.session.notify("The tea is ready."),
    "stt drops": lambda parts, _: each_cut(parts),
    "stt down": lambda parts, _: parts.stt[0].go_down(),
    "stt up": lambda parts, _: parts.stt[0].come_up(),
    "stt hangs": lambda parts, _: parts.stt[0].hang_in_final(),
    "stt refuses": lambda parts, _: parts.stt[0].refuse_with(
        ProviderUnavailable("no"), ProviderUnavailable("no")
    ),
    "tts fails": lambda parts, _: parts.tts[0].fail(ProviderUnavailable("no")),
    "tts breaks off": lambda parts, _: parts.tts[0].fail(ProviderUnavailable("no"), after_ms=300),
    "tts stalls": lambda parts, _: parts.tts[0].stall(after_ms=200),
    "eager": probably_ended,
    "service ends": service_ends_turn,
}
ACTIONS = [*(("speak", seconds) for seconds in VOICES), *((deed, 0.0) for deed in DEEDS)]


async def perform(parts: Parts, booth: Booth, action: str, seconds: float) -> None:
    if action == "speak":
        await booth.speak(seconds)
    else:
        DEEDS[action](parts, booth)


def check_stale_audio(parts: Parts, booth: Booth) -> None:
    pieces = {piece.text for stage in parts.tts for piece in stage.pieces}
    for at, event in booth.events:
        if isinstance(event, Interrupted):
            for text in pieces:
                level = level_of(text)
                if booth.heard(level) and booth.began(level) < at:
                    assert booth.heard(level, since=at + FADE_SECONDS) <= 0.5, "stale audio"


def check_calls(parts: Parts, booth: Booth) -> None:
    check_tools(booth)
    for model in parts.llm:
        for prompt in model.prompts:
            uses = [item.call_id for item in prompt.items if isinstance(item, ToolUse)]
            assert len(uses) == len(set(uses))


def check_words(parts: Parts, booth: Booth) -> None:
    """What a model is shown of its own answers is what was heard of them, or the newest, which may sound still."""
    heard = [event.heard for event in booth.of(Transcript) if event.role == "assistant" and event.final]
    said = [
        item.text
        for item in booth.session.history
        if isinstance(item, HistoryItem) and item.role == "assistant"
    ]
    assert said == [words for words in heard if words]
    for model in parts.llm:
        for prompt in model.prompts[-1:]:
            told = [item.text for item in prompt.items if isinstance(item, Said) and item.role == "assistant"]
            for words in told[:-1]:
                assert words.split() in [each.split() for each in heard if each], (
                    "the model is shown what nobody heard"
                )


def check_turns(booth: Booth, parts: Parts) -> None:
    """Whoever was understood got something to hear, at the latest with the answer to what they went on to say."""
    thinking: dict[int, float] = {}
    for at, event in booth.events:
        if isinstance(event, TurnChanged) and event.state == "thinking":
            thinking.setdefault(event.turn, at)
    understood = {event.turn for event in booth.of(Transcript) if event.role == "user" and event.text}
    for turn, at in thinking.items():
        within = [event for when, event in booth.events if at <= when]
        spoken = any(isinstance(event, Transcript) and event.role == "assistant" for event in within)
        told = any(isinstance(event, Warned) and event.code in TOLD for event in within)
        superseded = any(isinstance(event, Interrupted) for event in within)
        silent = any(isinstance(event, TurnChanged) and event.state == "idle" for event in within)
        assert spoken or told or superseded or silent or turn not in understood, f"turn {turn} was forgotten"


async def live(answers: list[str], steps: list[tuple[tuple[str, float], float]], turns: str) -> None:
    parts = Parts()
    provider = parts.provider(turns)
    async with Booth(providers=[provider], strict=False, idle_timeout=10_000.0) as booth:
        for stage in parts.stt:
            stage.will_hear(*["some words"] * 40)
        for answer in answers:
            ANSWERS[answer](parts)
        for (action, seconds), pause in steps:
            await perform(parts, booth, action, seconds)
            await booth.wait(pause)
        booth.line.release()
        parts.stt[0].come_up()
        await booth.active(seconds=120)
        await booth.at_rest()
        check_rest(booth)
        check_stale_audio(parts, booth)
        check_calls(parts, booth)
        check_words(parts, booth)
        check_turns(booth, parts)
        assert [stage.violations for stage in parts.stt] == [[], []]
        await booth.lines.close("over")
        await provider.close()
        assert [model.under_way for model in parts.llm] == [0, 0]


STORY: Any = st.lists(st.tuples(st.sampled_from(ACTIONS), st.sampled_from(PAUSES)), min_size=1, max_size=14)
FEW: Any = st.lists(st.sampled_from(list(ANSWERS)), max_size=6)
EXAMPLES = stories(30)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("turns", "part"), [*(("local", part) for part in range(4)), ("server", 4), ("server", 5)]
)
def test_whatever_happens_the_floor_comes_free_and_every_turn_has_its_answer(turns, part):
    @seed(part)
    @told(EXAMPLES)
    @given(FEW, STORY)
    def any_story(answers, steps):
        run(live(answers, steps, turns))

    any_story()
