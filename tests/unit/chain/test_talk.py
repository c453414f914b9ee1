"""A conversation with a chain: what is said is understood, thought about, and answered aloud."""

import asyncio

import pytest

from appliance.interfaces import (
    DiscardTurn,
    ProviderTrouble,
    ProviderUsage,
    ResponseAudio,
    ResponseFinished,
    ResponseStarted,
    UserHeard,
)
from appliance.stages import AnswerCut, AnswerText, AnswerUsage, Said, Spent
from tests.fakes.stages import FakeTextToSpeech, level_of
from tests.rig.virtual_time import virtual_time
from tests.unit.chain.talker import Talker


@virtual_time
async def test_a_question_is_understood_and_answered_aloud():
    async with Talker() as talker:
        talker.stt[0].will_hear("what time is it")
        talker.llm[0].will_say("It is ", "noon.")
        await talker.says(1)
        finished = await talker.answered()
        assert talker.understood() == ["what time is it"]
        assert (finished.turn, finished.status) == (1, "completed")
        assert talker.text() == "It is noon."
        assert talker.levels() == [level_of("It is noon.")]
        assert talker.llm[0].prompts[0].items == (Said("user", "what time is it"),)


@virtual_time
async def test_all_events_of_an_answer_name_it_and_come_in_order():
    async with Talker() as talker:
        talker.llm[0].will_say("One is here. Two is there.")
        await talker.types(1, "count")
        finished = await talker.answered()
        kinds = [type(event) for _, event in talker.events]
        assert kinds[0] is UserHeard
        assert kinds[1] is ResponseStarted
        assert kinds[-1] is ResponseFinished
        assert {event.response for event in talker.all(ResponseAudio)} == {finished.response}


@virtual_time
async def test_the_voice_begins_before_the_model_has_ended():
    async with Talker() as talker:
        talker.llm[0].will_say("The first sentence is here. ", "Then ", "come ", "more. ", pause=1.0)
        await talker.types(1, "go on")
        await talker.next(ResponseAudio)
        assert talker.llm[0].under_way == 1
        await talker.answered()
        assert talker.text() == "The first sentence is here. Then come more."


@virtual_time
async def test_pieces_are_fetched_side_by_side_and_spoken_in_order():
    async with Talker(tts=(FakeTextToSpeech(think=0.5),)) as talker:
        sentences = [f"Number {n} of an answer that has some of them, and all are alike." for n in range(5)]
        talker.llm[0].will_say(" ".join(sentences))
        await talker.types(1, "tell me")
        await talker.answered()
        assert talker.text() == " ".join(sentences)
        assert talker.tts[0].most_at_once == 2
        assert talker.levels() == [level_of(piece.text) for piece in talker.tts[0].pieces]


@virtual_time
async def test_nothing_said_is_no_turn():
    async with Talker() as talker:
        talker.stt[0].will_hear("")
        await talker.says(1)
        assert (await talker.answered()).status == "silent"
        assert talker.llm[0].prompts == []


@virtual_time
async def test_a_turn_without_any_sound_is_answered_with_silence():
    async with Talker() as talker:
        await talker.says(1, seconds=0)
        assert (await talker.answered()).status == "silent"


@virtual_time
async def test_a_discarded_turn_is_forgotten():
    async with Talker() as talker:
        talker.stt[0].will_hear("second")
        await talker.says(1, commit=False)
        await talker.connection.send(DiscardTurn(1))
        await talker.says(2)
        await talker.answered()
        assert talker.understood() == ["second"]
        assert talker.stt[0].connections[0].turns[1].discarded


@virtual_time
async def test_who_goes_on_is_answered_once_to_all():
    async with Talker() as talker:
        talker.stt[0].think = 0.3
        talker.stt[0].will_hear("what is", "the time")
        await talker.says(1)
        await talker.says(2)
        finished = await talker.answered()
        assert finished.turn == 2
        assert [item.text for item in talker.llm[0].prompts[0].items if isinstance(item, Said)] == [
            "what is",
            "the time",
        ]
        await asyncio.sleep(5)
        assert len(talker.all(ResponseFinished)) == 1


@virtual_time
async def test_a_model_that_says_nothing_is_a_silent_answer():
    async with Talker() as talker:
        for _ in range(2):
            talker.llm[0].will_say()
        await talker.types(1, "hello")
        assert (await talker.answered()).status == "silent"


@pytest.mark.slow
@virtual_time
async def test_a_model_that_never_ends_is_cut_off():
    async with Talker(tts=(FakeTextToSpeech(think=0.0),)) as talker:
        talker.llm[0].will_say("Well. ", endless=True)
        await talker.types(1, "tell me all")
        await talker.next(ProviderTrouble, seconds=600)
        assert talker.all(ProviderTrouble)[0].code == "answer_too_long"
        await talker.answered(seconds=7_200)
        assert talker.llm[0].under_way == 0


@virtual_time
async def test_what_was_cut_by_the_service_is_told_and_stands():
    async with Talker() as talker:
        talker.llm[0].will_give(AnswerText("So it"), AnswerCut("length"))
        await talker.types(1, "why")
        assert (await talker.answered()).status == "completed"
        assert talker.text() == "So it"
        assert [trouble.code for trouble in talker.all(ProviderTrouble)] == ["answer_cut"]


@virtual_time
async def test_usage_is_told_of_model_and_ear():
    async with Talker() as talker:
        talker.llm[0].will_give(AnswerText("Yes."), AnswerUsage(120, 7))
        await talker.types(1, "really")
        await talker.answered()
        talker.stt[0].connections[0].tell(Spent(2.5))
        await talker.next(ProviderUsage, 2)
        assert talker.all(ProviderUsage) == [
            ProviderUsage(120, 7, "tokens"),
            ProviderUsage(2.5, 0.0, "seconds"),
        ]
