"""Models and voices of a chain that fail: the fault stays where it is."""

import asyncio

from appliance.errors import CredentialsRejected, GivenUp, ProviderUnavailable, QuotaExhausted, RateLimited
from appliance.frames import milliseconds_of
from appliance.interfaces import (
    ProviderTrouble,
    ResponseAudio,
    ResponseFinished,
)
from appliance.stages import AnswerText, Said
from tests.fakes.stages import FakeLanguageModel, FakeTextToSpeech, level_of
from tests.rig.virtual_time import virtual_time
from tests.unit.chain.talker import Talker

LONG = "The second sentence is long enough to be a piece of its own, I should think."


@virtual_time
async def test_a_model_that_fails_once_is_asked_again_unnoticed():
    async with Talker() as talker:
        talker.llm[0].fail(ProviderUnavailable("busy"))
        talker.llm[0].will_say("Here I am.")
        await talker.types(1, "hello")
        assert (await talker.answered()).status == "completed"
        assert talker.text() == "Here I am."


@virtual_time
async def test_the_next_model_answers_when_the_first_cannot():
    async with Talker(llm=(FakeLanguageModel("a"), FakeLanguageModel("b"))) as talker:
        talker.llm[0].fail(QuotaExhausted("empty"))
        talker.llm[1].will_say("Here I am.")
        await talker.types(1, "hello")
        assert (await talker.answered()).status == "completed"
        talker.llm[1].will_say("Still here.")
        await talker.types(2, "hello")
        await talker.answered(2)
        assert len(talker.llm[0].prompts) == 1


@virtual_time
async def test_a_model_that_cannot_answer_is_a_failed_answer_where_nobody_else_is_there_and_the_turn_is_kept():
    async with Talker(alone=True) as talker:
        talker.llm[0].fail(ProviderUnavailable("busy"), times=2)
        await talker.types(1, "hello")
        assert (await talker.answered()).status == "failed"
        talker.llm[0].will_say("Hello twice.")
        await talker.types(2, "hello again")
        await talker.answered(2)
        assert talker.llm[0].prompts[-1].items == (Said("user", "hello"), Said("user", "hello again"))


@virtual_time
async def test_a_model_that_fails_for_one_turn_ends_the_connection_without_an_apology():
    async with Talker() as talker:
        talker.llm[0].fail(ProviderUnavailable("busy"), times=2)
        await talker.types(1, "hello")
        await talker.ended()
        assert isinstance(talker.fault, GivenUp)
        assert talker.fault.message == "busy"
        assert talker.all(ResponseFinished) == []


@virtual_time
async def test_a_rate_limit_stays_one_when_the_chain_gives_up():
    async with Talker() as talker:
        talker.llm[0].fail(RateLimited("later", retry_after=30.0), times=2)
        await talker.types(1, "hello")
        await talker.ended()
        assert isinstance(talker.fault, RateLimited)
        assert talker.fault.retry_after == 30.0


@virtual_time
async def test_a_model_that_hung_is_not_asked_again_where_somebody_else_can_answer():
    async with Talker() as talker:
        talker.llm[0].will_give(ProviderUnavailable("did not answer in time"), think=20.0)
        await talker.types(1, "hello")
        await talker.ended()
        assert len(talker.llm[0].prompts) == 1
    async with Talker(alone=True) as talker:
        talker.llm[0].will_give(ProviderUnavailable("did not answer in time"), think=20.0)
        talker.llm[0].will_say("At last.")
        await talker.types(1, "hello")
        assert (await talker.answered()).status == "completed"


@virtual_time
async def test_a_fault_is_told_with_its_stage_s_name_once():
    async with Talker(llm=(FakeLanguageModel("openai"),), alone=True) as talker:
        talker.llm[0].fail(ProviderUnavailable("openai: nothing listens at box"), times=1)
        talker.llm[0].fail(ProviderUnavailable("it went away"), times=1)
        await talker.types(1, "hello")
        await talker.answered()
        told = [trouble.message for trouble in talker.all(ProviderTrouble)]
        assert told == ["openai: nothing listens at box", "openai: it went away (2 times)"]


@virtual_time
async def test_where_there_is_no_other_provider_each_turn_is_tried():
    async with Talker(alone=True) as talker:
        talker.llm[0].fail(ProviderUnavailable("busy"), times=6)
        for turn in (1, 2, 3):
            await talker.types(turn, "hello")
            assert (await talker.answered(turn, seconds=5)).status == "failed"
        talker.llm[0].will_say("Here I am.")
        await talker.types(4, "hello")
        assert (await talker.answered(4)).status == "completed"


@virtual_time
async def test_a_refused_key_ends_the_connection_at_once():
    async with Talker() as talker:
        talker.llm[0].fail(CredentialsRejected("no"))
        await talker.types(1, "hello")
        await talker.ended()
        assert isinstance(talker.fault, CredentialsRejected)


@virtual_time
async def test_a_stream_that_breaks_off_is_not_begun_again():
    async with Talker() as talker:
        talker.llm[0].will_give(AnswerText("It begins well. It goes"), ProviderUnavailable("gone"))
        await talker.types(1, "hello")
        assert (await talker.answered()).status == "failed"
        assert talker.text() == "It begins well."
        assert len(talker.llm[0].prompts) == 1


@virtual_time
async def test_a_piece_that_fails_is_spoken_at_the_second_try():
    async with Talker() as talker:
        talker.tts[0].fail(ProviderUnavailable("busy"))
        talker.llm[0].will_say("All is well.")
        await talker.types(1, "hello")
        assert (await talker.answered()).status == "completed"
        assert talker.levels() == [level_of("All is well.")]


@virtual_time
async def test_the_next_voice_speaks_when_the_first_cannot_and_goes_on():
    async with Talker(tts=(FakeTextToSpeech("a", parallel=1), FakeTextToSpeech("b"))) as talker:
        talker.tts[0].fail(*[ProviderUnavailable("busy")] * 2)
        talker.llm[0].will_say(f"All is well. {LONG}")
        await talker.types(1, "hello")
        await talker.answered()
        assert talker.tts[1].pieces[0].text == "All is well."
        assert talker.text().startswith("All is well. The second")


@virtual_time
async def test_a_piece_that_breaks_off_is_gone_on_with_and_not_begun_again():
    text = "This sentence has quite a number of words in it to be broken off somewhere in the middle."
    async with Talker(tts=(FakeTextToSpeech(timed=True),)) as talker:
        talker.tts[0].fail(ProviderUnavailable("gone"), after_ms=2_000)
        talker.llm[0].will_say(text)
        await talker.types(1, "hello")
        await talker.answered()
        second = talker.tts[0].pieces[1].text
        assert text.endswith(second)
        assert 30 <= len(text) - len(second) <= 42
        assert talker.text() == text


@virtual_time
async def test_a_piece_that_nothing_can_speak_is_skipped_aloud():
    async with Talker(tts=(FakeTextToSpeech(parallel=1),)) as talker:
        talker.tts[0].fail(*[ProviderUnavailable("busy")] * 2)
        talker.llm[0].will_say(f"This is lost. {LONG}")
        await talker.types(1, "hello")
        assert (await talker.answered()).status == "completed"
        assert "piece_skipped" in [trouble.code for trouble in talker.all(ProviderTrouble)]
        first = talker.all(ResponseAudio)[0]
        assert 100 < milliseconds_of(first.pcm, first.rate) < 400
        assert talker.text().startswith("The second sentence")
        await talker.types(2, "and")
        await talker.answered(2)
        assert talker.llm[0].prompts[-1].items[1] == Said("assistant", talker.tts[0].pieces[2].text)


@virtual_time
async def test_a_voice_that_falls_silent_is_not_waited_for_for_ever():
    async with Talker() as talker:
        talker.tts[0].stall()
        talker.llm[0].will_say("All is well.")
        await talker.types(1, "hello")
        assert (await talker.answered(seconds=60)).status == "completed"
        assert talker.levels() == [level_of("All is well.")]


@virtual_time
async def test_after_the_end_nothing_more_of_an_answer_is_fetched():
    async with Talker(tts=(FakeTextToSpeech(parallel=1),)) as talker:
        talker.tts[0].stall()
        talker.llm[0].will_say(f"All is well. {LONG}")
        await talker.types(1, "hello")
        await asyncio.sleep(2.0)
        await talker.connection.close()
        await asyncio.sleep(2.0)
        assert [piece.text for piece in talker.tts[0].pieces] == ["All is well."]
