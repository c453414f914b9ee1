"""OpenAI Realtime over a socket: turns, answers, and what was heard of them."""

import asyncio

import numpy as np
import pytest

from appliance.interfaces import (
    CancelResponse,
    CommitTurn,
    DiscardTurn,
    LineKind,
    ProviderUsage,
    ResponseAudio,
    ResponseStarted,
    ResponseText,
    SendText,
    UserHeard,
)
from tests.fakes.openai_realtime import FakeOpenAi
from tests.unit.realtime.openai.talker import provider_of, speech, talking

pytestmark = pytest.mark.slow


async def test_every_sample_of_a_turn_arrives_and_is_answered(cloud: FakeOpenAi) -> None:
    cloud.will_hear("how are you today")
    cloud.will_say("Fine, thank you.", 2.0)
    said = speech(1.3)
    async with talking(provider_of(cloud)) as talker:
        await talker.says(3, said)
        await talker.connection.send(CommitTurn(3))
        done = await talker.finished(3)
        assert np.array_equal(cloud.session.spoken[0].samples, said)
        assert talker.said(done.response) == "Fine, thank you."
        assert talker.pcm(done.response) == cloud.answers[0].pcm
        heard = [(one.turn, one.text, one.final) for one in talker.of(UserHeard)]
        assert heard[0] == (3, "how", False)
        assert heard[-1] == (3, "how are you today", True)
        assert talker.of(ResponseText)[-1].audio_from_ms < 2_000
        assert ProviderUsage(10, 20, "tokens") in talker.of(ProviderUsage)
    assert cloud.violations == []


async def test_a_turn_of_which_nothing_was_said_asks_for_nothing(cloud: FakeOpenAi) -> None:
    async with talking(provider_of(cloud)) as talker:
        await talker.says(1, speech(0.06))
        await talker.connection.send(CommitTurn(1))
        assert (await talker.finished(1)).status == "silent"
        await talker.says(2, speech(0.5, seed=2))
        await talker.connection.send(CommitTurn(2))
        await talker.finished(2)
        assert np.array_equal(cloud.session.spoken[0].samples, speech(0.5, seed=2))
    assert cloud.violations == []


async def test_what_is_discarded_is_in_no_later_turn(cloud: FakeOpenAi) -> None:
    async with talking(provider_of(cloud)) as talker:
        await talker.says(1, speech(0.5, seed=1))
        await talker.connection.send(DiscardTurn(1))
        await talker.says(2, speech(0.5, seed=2))
        await talker.connection.send(CommitTurn(2))
        await talker.finished(2)
        assert [item.pcm for item in cloud.session.spoken] == [speech(0.5, seed=2).tobytes()]


async def test_a_second_turn_is_answered_after_the_first_answer(cloud: FakeOpenAi) -> None:
    cloud.will_say("one two three", 1.0)
    cloud.will_say("four", 0.5)
    async with talking(provider_of(cloud)) as talker:
        await talker.connection.send(SendText(1, "first"))
        await talker.until(ResponseStarted)
        await talker.connection.send(SendText(2, "second"))
        await talker.connection.send(SendText(3, "third"))
        await talker.finished(3)
        assert [one.turn for one in talker.of(ResponseStarted)] == [1, 3]
        assert [item.said for item in cloud.session.items if item.body.get("role") == "user"] == [
            "first",
            "second",
            "third",
        ]
    assert cloud.violations == []


async def test_a_server_that_repeats_no_metadata_is_understood(cloud: FakeOpenAi) -> None:
    cloud.repeats_metadata = False
    async with talking(provider_of(cloud)) as talker:
        for turn in (4, 5):
            await talker.connection.send(SendText(turn, "hello"))
            await talker.finished(turn)
        assert [one.turn for one in talker.of(ResponseStarted)] == [4, 5]


async def test_silence_from_the_model_is_told_as_such(cloud: FakeOpenAi) -> None:
    cloud.will_be_silent()
    async with talking(provider_of(cloud)) as talker:
        await talker.connection.send(SendText(1, "hello"))
        assert (await talker.finished(1)).status == "silent"


async def test_a_model_that_fails_is_asked_once_more(cloud: FakeOpenAi) -> None:
    cloud.will_fail()
    async with talking(provider_of(cloud)) as talker:
        await talker.connection.send(SendText(1, "hello"))
        done = await talker.finished(1)
        assert (done.status, talker.said(done.response)) == ("completed", "Yes.")
        assert [one.turn for one in talker.of(ResponseStarted)] == [1]
    assert cloud.violations == []


async def test_a_model_that_fails_twice_is_told_and_asked_again(cloud: FakeOpenAi) -> None:
    cloud.will_fail()
    cloud.will_fail()
    async with talking(provider_of(cloud)) as talker:
        await talker.connection.send(SendText(1, "hello"))
        assert (await talker.finished(1)).status == "failed"
        await talker.connection.send(SendText(2, "hello"))
        assert (await talker.finished(2)).status == "completed"


async def test_a_telephone_is_near(cloud: FakeOpenAi) -> None:
    async with talking(provider_of(cloud), line_kind=LineKind.PHONE):
        assert cloud.session.config["audio"]["input"]["noise_reduction"] == {"type": "near_field"}


async def test_a_server_that_speaks_at_another_rate_is_played_at_that_rate(cloud: FakeOpenAi) -> None:
    cloud.form = {"type": "audio/pcm", "rate": 16_000}
    async with talking(provider_of(cloud)) as talker:
        await talker.connection.send(SendText(1, "hello"))
        await talker.finished(1)
        assert {one.rate for one in talker.of(ResponseAudio)} == {16_000}


@pytest.mark.parametrize(("heard_ms", "left"), [(0, 0), (150, 150), (99_999, 1_000)])
async def test_an_answer_that_is_done_is_cut_to_what_was_heard(
    cloud: FakeOpenAi, heard_ms: int, left: int
) -> None:
    async with talking(provider_of(cloud)) as talker:
        await talker.connection.send(SendText(1, "hello"))
        done = await talker.finished(1)
        for _ in range(2):
            await talker.connection.send(CancelResponse(done.response, "", heard_ms))
        await talker.connection.send(SendText(2, "go on"))
        await talker.finished(2)
        assert cloud.answers[0].truncated_ms == left
        assert len(cloud.session.sent("conversation.item.truncate")) == 1
        assert cloud.session.sent("response.cancel") == []
    assert cloud.violations == []


async def test_an_answer_under_way_is_stopped_and_cut(cloud: FakeOpenAi) -> None:
    cloud.will_say("one two three four five", 10.0)
    async with talking(provider_of(cloud)) as talker:
        await talker.connection.send(SendText(1, "count"))
        first = await talker.until(ResponseAudio)
        cancel = CancelResponse(first.response, "one", 40)
        await talker.connection.send(cancel)
        await talker.connection.send(cancel)
        received = len(talker.pcm(first.response))
        assert (await talker.finished(1)).status == "cancelled"
        assert len(talker.pcm(first.response)) == received
        assert cloud.answers[0].truncated_ms == 40
        await talker.connection.send(cancel)
        await talker.connection.send(SendText(2, "go on"))
        assert (await talker.finished(2)).status == "completed"
    assert cloud.violations == []


async def test_sound_that_came_after_a_cancel_is_cut_as_well(cloud: FakeOpenAi) -> None:
    cloud.will_say("one two three", 10.0, think=0.2)
    async with talking(provider_of(cloud)) as talker:
        await talker.connection.send(SendText(1, "count"))
        begun = await talker.until(ResponseStarted)
        # The service has made sound by the time that it hears of the cancel, and nothing of it had come here.
        session = cloud.session
        await asyncio.sleep(0.15)
        session.hold()
        await asyncio.sleep(0.2)
        await talker.connection.send(CancelResponse(begun.response, "", 0))
        session.release()
        assert (await talker.finished(1)).status == "cancelled"
        assert talker.of(ResponseAudio) == []
        await talker.connection.send(SendText(2, "go on"))
        await talker.finished(2)
        assert cloud.answers[0].sent_ms > 0
        assert cloud.answers[0].truncated_ms == 0


async def test_written_answers_are_rewritten_to_what_was_heard(cloud: FakeOpenAi) -> None:
    cloud.will_say("One two three four.", 1.0)
    async with talking(provider_of(cloud, output="text")) as talker:
        await talker.connection.send(SendText(1, "count"))
        done = await talker.finished(1)
        assert talker.said(done.response) == "One two three four."
        assert talker.of(ResponseAudio) == []
        await talker.connection.send(CancelResponse(done.response, "One two", 500))
        await talker.connection.send(SendText(2, "go on"))
        await talker.finished(2)
        assert cloud.answers[0].deleted
        said = [item.said for item in cloud.session.items if item.body.get("role") == "assistant"]
        assert said[0] == "One two"
    assert cloud.violations == []
