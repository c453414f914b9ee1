"""Turns that the speech to text ends, or says beforehand that they end."""

import asyncio

import pytest

from appliance.interfaces import (
    ResponseAudio,
    ResponseFinished,
    TurnEnded,
)
from appliance.stages import Ended, Said, Transcript
from tests.rig.virtual_time import virtual_time
from tests.unit.chain.talker import Talker


@virtual_time
async def test_an_answer_is_prepared_when_the_turn_has_probably_ended():
    async with Talker() as talker:
        talker.stt[0].will_hear("what time is it")
        talker.llm[0].will_say("Noon.", think=0.5)
        await talker.says(1, commit=False)
        talker.stt[0].eager(1, "what time is it")
        await asyncio.sleep(0.55)
        await talker.says(1, seconds=0)
        await talker.answered()
        assert len(talker.llm[0].prompts) == 1
        assert talker.text() == "Noon."
        assert talker.connection.counters()["drafts_used"] == 1


@virtual_time
@pytest.mark.parametrize("resumed", [True, False])
async def test_a_prepared_answer_to_something_else_is_dropped(resumed: bool):
    async with Talker() as talker:
        talker.stt[0].will_hear("what time is it in rome")
        talker.llm[0].will_say("Noon.", think=5.0)
        talker.llm[0].will_say("In Rome it is one.")
        await talker.says(1, commit=False)
        talker.stt[0].eager(1, "what time is it")
        await asyncio.sleep(0.1)
        if resumed:
            talker.stt[0].resumed(1)
            await asyncio.sleep(0.01)
        await talker.says(1)
        await talker.answered()
        assert talker.text() == "In Rome it is one."
        assert talker.llm[0].cancelled == 1


@virtual_time
async def test_closing_in_the_midst_of_everything_leaves_nothing_behind():
    async with Talker() as talker:
        talker.llm[0].will_say("Well. ", endless=True)
        await talker.types(1, "go on")
        await talker.next(ResponseAudio, 2)
        await talker.says(2, commit=False)


# --- turns that the service ends ---


@virtual_time
async def test_a_turn_that_the_service_ends_is_answered_at_once_and_only_once():
    async with Talker() as talker:
        talker.llm[0].will_say("Noon.")
        speaking = asyncio.create_task(talker.says(1, 3.0))
        await asyncio.sleep(1.0)
        service = talker.stt[0].connections[0]
        service.tell(Transcript(1, "what time is it", final=True))
        service.tell(Ended(1))
        await talker.answered()
        assert not speaking.done()
        await speaking
        await asyncio.sleep(5)
        assert len(talker.all(ResponseFinished)) == 1
        assert talker.all(TurnEnded) == [TurnEnded(1)]
        assert talker.text() == "Noon."


@virtual_time
async def test_what_is_said_after_a_premature_end_is_not_lost():
    async with Talker() as talker:
        speaking = asyncio.create_task(talker.says(1, 3.0))
        await asyncio.sleep(1.0)
        service = talker.stt[0].connections[0]
        service.tell(Transcript(1, "what time", final=True))
        service.tell(Ended(1))
        talker.stt[0].will_hear("what time is it in rome")
        await speaking
        await asyncio.sleep(5)
        assert talker.understood() == ["what time", "what time is it in rome"]
        assert Said("user", "what time is it in rome") in talker.llm[0].prompts[-1].items
        assert len(service.turns[1].pcm) == 3 * 32_000
