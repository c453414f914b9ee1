"""Stages that do what no stage should: bugs, requests that do not end, sound that never comes. The talk goes on."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from appliance.errors import ProviderUnavailable
from appliance.interfaces import (
    Delivery,
    ProviderTrouble,
    ResponseAudio,
    ResponseFinished,
    ResponseStarted,
    ToolCall,
    ToolDeclaration,
    UserHeard,
)
from appliance.providers.chain.answer import LONGEST_ANSWER
from appliance.providers.chain.outbox import Outbox
from appliance.stages import AnswerPart, AnswerText, Hearing, Piece, Prompt, Said, Sound
from tests.fakes.stages import (
    FakeLanguageModel,
    FakeSpeechToText,
    FakeTextToSpeech,
    FakeTranscription,
    level_of,
)
from tests.rig.virtual_time import virtual_time
from tests.unit.chain.talker import Talker

COUNTING = " ".join(str(number) for number in range(100, 180))


class BuggyModel(FakeLanguageModel):
    async def answer(self, prompt: Prompt) -> AsyncGenerator[AnswerPart, None]:
        self.prompts.append(prompt)
        await asyncio.sleep(0.01)
        if self.prompts:
            raise RuntimeError("what was said")
        yield AnswerText("")


class BuggyVoice(FakeTextToSpeech):
    async def speak(self, piece: Piece) -> AsyncGenerator[Sound, None]:
        self.pieces.append(piece)
        if self.pieces:
            raise RuntimeError("what was said")
        yield Sound(b"", piece.rate)


class BuggyEar(FakeSpeechToText):
    async def connect(self, hearing: Hearing) -> FakeTranscription:
        raise RuntimeError("what was said")


class LingeringModel(FakeLanguageModel):
    """Its requests take long to end."""

    async def answer(self, prompt: Prompt) -> AsyncGenerator[AnswerPart, None]:
        self.prompts.append(prompt)
        try:
            yield AnswerText(f"Answer number {len(self.prompts)} is here. ")
            await asyncio.sleep(100)
        finally:
            await asyncio.shield(asyncio.sleep(1.5))


class EmptyVoice(FakeTextToSpeech):
    """It sends and sends, and never a sample."""

    async def speak(self, piece: Piece) -> AsyncGenerator[Sound, None]:
        self.pieces.append(piece)
        while True:
            await asyncio.sleep(0.1)
            yield Sound(b"", piece.rate)


class SlowSpeaker(FakeTextToSpeech):
    """As one who reads digits."""

    async def speak(self, piece: Piece) -> AsyncGenerator[Sound, None]:
        self.pieces.append(piece)
        for _ in piece.text:
            yield Sound(b"\1\0" * round(piece.rate * 0.35), piece.rate)


class EndlessVoice(FakeTextToSpeech):
    async def speak(self, piece: Piece) -> AsyncGenerator[Sound, None]:
        self.pieces.append(piece)
        while True:
            await asyncio.sleep(0)
            yield Sound(bytes(piece.rate * 2), piece.rate)


# --- bugs ---


@virtual_time
async def test_a_model_with_a_bug_gives_way_to_the_next(caplog: pytest.LogCaptureFixture):
    async with Talker(llm=(BuggyModel("a"), FakeLanguageModel("b"))) as talker:
        talker.llm[1].will_say("Here I am.")
        await talker.types(1, "hello")
        await talker.answered()
        assert talker.text() == "Here I am."
    assert "RuntimeError" in caplog.text
    assert "what was said" not in caplog.text


@virtual_time
async def test_a_voice_with_a_bug_gives_way_to_the_next():
    async with Talker(tts=(BuggyVoice("a"), FakeTextToSpeech("b"))) as talker:
        talker.llm[0].will_say("Here I am.")
        await talker.types(1, "hello")
        await talker.answered()
        assert talker.levels() == [level_of("Here I am.")]
        assert talker.text() == "Here I am."


@virtual_time
async def test_an_ear_with_a_bug_gives_way_to_the_next():
    async with Talker(stt=(BuggyEar("a"), FakeSpeechToText("b"))) as talker:
        talker.stt[1].will_hear("hello")
        await talker.says(1)
        await talker.answered()
        assert talker.understood() == ["hello"]


@virtual_time
async def test_an_answer_prepared_by_a_model_with_a_bug_ends():
    async with Talker(llm=(BuggyModel(),), alone=True) as talker:
        talker.stt[0].will_hear("what time is it")
        await talker.says(1, commit=False)
        talker.stt[0].eager(1, "what time is it")
        await asyncio.sleep(0.5)
        await talker.says(1, seconds=0)
        assert (await talker.answered(seconds=10)).status == "failed"


# --- requests that do not end ---


@virtual_time
async def test_who_talks_over_a_model_that_ends_its_requests_late_is_answered_each_time():
    async with Talker(llm=(LingeringModel(),)) as talker:
        for turn in (1, 2, 3, 4):
            await talker.types(turn, "go on")
            started = await talker.next(ResponseStarted, turn)
            await asyncio.sleep(0.5)
            await talker.cancels(started.response, "Answer")
            await asyncio.sleep(4)
        assert [event.status for event in talker.all(ResponseFinished)] == ["cancelled"] * 4
        assert len(talker.llm[0].prompts) == 4


@pytest.mark.slow
@virtual_time
async def test_an_answer_that_comes_whole_and_too_long_is_cut_at_the_bound():
    async with Talker(tts=(FakeTextToSpeech(think=0.0),)) as talker:
        talker.llm[0].will_say("Some words of it. " * 4_000)
        await talker.types(1, "tell me all")
        await talker.answered(seconds=7_200)
        assert LONGEST_ANSWER - 20 < len(talker.text()) <= LONGEST_ANSWER
        assert [event.code for event in talker.all(ProviderTrouble)] == ["answer_too_long"]


# --- nothing to say ---


@virtual_time
async def test_a_model_that_answers_nothing_is_asked_again():
    async with Talker() as talker:
        talker.llm[0].will_say()
        talker.llm[0].will_say("  \n")
        talker.llm[0].will_say("Now I know.")
        await talker.types(1, "hello")
        assert (await talker.answered(1)).status == "silent"
        await talker.types(2, "hello")
        await talker.answered(2)
        assert talker.text() == "Now I know."
        assert [event.code for event in talker.all(ProviderTrouble)] == ["empty_answer"] * 2


@virtual_time
async def test_after_a_tools_result_nothing_need_be_said():
    async with Talker(tools=(ToolDeclaration("lamp", "", {"type": "object"}),)) as talker:
        talker.llm[0].will_call("lamp", first="I switch it on.")
        talker.llm[0].will_say()
        await talker.types(1, "light")
        await talker.gives(await talker.next(ToolCall), {"on": True})
        assert (await talker.answered(2)).status == "silent"
        assert len(talker.llm[0].prompts) == 2
        assert talker.all(ProviderTrouble) == []


@virtual_time
async def test_an_answer_that_nobody_can_speak_is_told():
    async with Talker() as talker:
        talker.llm[0].will_say("😀")
        await talker.types(1, "hello")
        assert (await talker.answered()).status == "silent"
        assert [event.code for event in talker.all(ProviderTrouble)] == ["nothing_to_say"]


# --- voices ---


@virtual_time
async def test_a_voice_that_sends_no_sound_is_not_waited_for_for_ever():
    async with Talker(tts=(EmptyVoice("a"), FakeTextToSpeech("b"))) as talker:
        talker.llm[0].will_say("All is well.")
        await talker.types(1, "hello")
        await talker.answered(seconds=60)
        assert talker.levels() == [level_of("All is well.")]


@virtual_time
async def test_a_voice_that_reads_digits_is_not_cut_off():
    async with Talker(tts=(SlowSpeaker(),)) as talker:
        talker.llm[0].will_say(COUNTING)
        await talker.types(1, "count")
        await talker.answered(seconds=1_200)
        assert talker.all(ProviderTrouble) == []
        assert talker.text() == COUNTING


@virtual_time
async def test_a_voice_that_does_not_end_a_short_piece_is_cut_off_soon():
    async with Talker(tts=(EndlessVoice(),)) as talker:
        talker.llm[0].will_say("Yes.")
        await talker.types(1, "hello")
        await talker.answered()
        assert len(talker.sound()) / 16_000 < 20
        assert [event.code for event in talker.all(ProviderTrouble)] == ["piece_too_long"]


@virtual_time
@pytest.mark.parametrize(
    "text",
    ["Donaudampfschifffahrtsgesellschaft.", "今天天气很好我们去公园散步。"],
)
async def test_a_piece_without_blanks_that_breaks_off_is_spoken_on(text: str):
    async with Talker() as talker:
        talker.tts[0].fail(ProviderUnavailable("gone"), after_ms=600)
        talker.llm[0].will_say(text)
        await talker.types(1, "hello")
        await talker.answered()
        assert [piece.text for piece in talker.tts[0].pieces] == [text, text]


@virtual_time
async def test_nothing_of_an_answer_that_was_withdrawn_is_put_in_late():
    outbox = Outbox(bound=1)
    outbox.add(ResponseAudio("a", b"\0\0", 8_000))
    waiting = asyncio.create_task(outbox.put(ResponseAudio("a", b"\1\0", 8_000)))
    await asyncio.sleep(0)
    outbox.withdraw("a")
    await waiting
    outbox.add(ResponseFinished("a", 1, "cancelled"))
    assert await anext(outbox.events()) == ResponseFinished("a", 1, "cancelled")


# --- order ---


@virtual_time
async def test_a_turn_that_was_left_open_holds_up_no_other():
    async with Talker() as talker:
        talker.stt[0].will_hear("second")
        await talker.says(1, 0.5, commit=False)
        await talker.says(2, 0.5)
        await talker.answered(seconds=10)
        assert [event.text for event in talker.all(UserHeard) if event.final] == ["second"]


@virtual_time
async def test_what_a_tool_broke_off_before_it_was_heard_is_not_remembered():
    watch = ToolDeclaration("watch", "", {"type": "object"}, Delivery.INTERRUPT)
    async with Talker(tools=(watch,)) as talker:
        talker.llm[0].will_call("watch", first="I am watching.")
        await talker.types(1, "watch the oven")
        call = await talker.next(ToolCall)
        await talker.answered(1)
        talker.llm[0].will_say("Once upon a time there was a long story. ", endless=True, think=1.0)
        await talker.types(2, "a story")
        await asyncio.sleep(1.01)
        talker.llm[0].will_say("It is burning!")
        await talker.gives(call, {"burning": True}, delivery=Delivery.INTERRUPT)
        await talker.answered(3)
        said = [item.text for item in talker.llm[0].prompts[-1].items if isinstance(item, Said)]
        assert said == ["watch the oven", "I am watching.", "a story"]
