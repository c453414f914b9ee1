"""An answer of a chain that is talked over: it ends at once, and only what was heard of it is remembered."""

import asyncio

from appliance.interfaces import (
    HistoryItem,
    ResponseAudio,
    ResponseStarted,
    ResponseText,
)
from appliance.stages import Said
from tests.fakes.stages import FakeTextToSpeech
from tests.rig.virtual_time import virtual_time
from tests.unit.chain.talker import Talker


@virtual_time
async def test_after_a_barge_in_the_model_is_shown_what_was_heard():
    async with Talker() as talker:
        talker.llm[0].will_say("The museum opens at nine, and it closes at five in the evening, every day.")
        await talker.types(1, "when")
        started = await talker.next(ResponseStarted)
        await talker.next(ResponseAudio, 3)
        await talker.cancels(started.response, "The museum opens", 900)
        await talker.answered()
        await talker.types(2, "what was that")
        await talker.answered(2)
        assert talker.llm[0].prompts[1].items == (
            Said("user", "when"),
            Said("assistant", "The museum opens"),
            Said("user", "what was that"),
        )


@virtual_time
async def test_after_a_cancel_no_sound_of_the_answer_comes_and_its_requests_are_given_up():
    async with Talker() as talker:
        talker.llm[0].will_say("Well. ", endless=True)
        await talker.types(1, "go on")
        started = await talker.next(ResponseStarted)
        await talker.next(ResponseAudio, 3)
        await talker.cancels(started.response, "")
        count = len(talker.all(ResponseAudio))
        await asyncio.sleep(10)
        assert len(talker.all(ResponseAudio)) <= count
        assert talker.llm[0].under_way == 0
        assert talker.llm[0].cancelled == 1


@virtual_time
async def test_an_answer_of_which_nothing_was_heard_is_not_remembered():
    async with Talker() as talker:
        talker.llm[0].will_say("Never mind what this is.")
        await talker.types(1, "one")
        await talker.cancels((await talker.next(ResponseStarted)).response, "")
        await talker.answered()
        await talker.types(2, "two")
        await talker.answered(2)
        assert talker.llm[0].prompts[-1].items == (Said("user", "one"), Said("user", "two"))


@virtual_time
async def test_cancels_twice_too_late_and_of_nothing_are_harmless():
    async with Talker() as talker:
        talker.llm[0].will_say("It is noon.")
        await talker.types(1, "time")
        finished = await talker.answered()
        for _ in range(2):
            await talker.cancels(finished.response, "It is", 300)
        await talker.cancels("nothing", "x")
        await talker.types(2, "again")
        await talker.answered(2)
        assert talker.llm[0].prompts[-1].items[1] == Said("assistant", "It is")


@virtual_time
async def test_a_cancel_before_the_model_said_anything_ends_the_request():
    async with Talker() as talker:
        talker.llm[0].will_say("Late.", think=30.0)
        await talker.types(1, "slow")
        await talker.cancels((await talker.next(ResponseStarted)).response, "")
        assert (await talker.answered()).status == "cancelled"
        assert talker.llm[0].under_way == 0


@virtual_time
async def test_an_item_of_the_history_can_be_cut_by_its_name():
    history = (HistoryItem("user", "tell me"), HistoryItem("assistant", "A long story indeed", "old-1"))
    async with Talker(history=history) as talker:
        await talker.cancels("old-1", "A long")
        await talker.types(1, "and")
        await talker.answered()
        assert talker.llm[0].prompts[0].items[1] == Said("assistant", "A long")


@virtual_time
async def test_words_that_are_timed_are_told_where_they_sound():
    async with Talker(tts=(FakeTextToSpeech(timed=True),)) as talker:
        talker.llm[0].will_say("Good morning to you. ")
        await talker.types(1, "hi")
        await talker.answered()
        told = [(event.text, event.audio_from_ms) for event in talker.all(ResponseText)]
        assert told == [("Good ", 0.0), ("morning ", 250.0), ("to ", 650.0), ("you. ", 800.0)]
