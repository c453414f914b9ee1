"""OpenAI Realtime over a socket: turns that the service ends."""

import asyncio

import numpy as np
import pytest

from appliance.interfaces import (
    CommitTurn,
    ResponseAudio,
    ResponseStarted,
    SendText,
    TurnEnded,
)
from tests.fakes.openai_realtime import FakeOpenAi
from tests.rig.spoken import silence
from tests.unit.realtime.openai.talker import RATE, provider_of, speech, talking

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("turns", ["server", "semantic"])
async def test_the_service_ends_a_turn_while_silence_follows_it(cloud: FakeOpenAi, turns: str) -> None:
    provider = provider_of(cloud, turns=turns)
    assert provider.capabilities.server_turns
    async with talking(provider) as talker:
        for turn in (1, 2):
            await talker.says(turn, speech(0.6, seed=turn))
            await talker.connection.send(CommitTurn(turn))
            await talker.finished(turn)
        assert [one.turn for one in talker.of(TurnEnded)] == [1, 2]
        assert [one.turn for one in talker.of(ResponseStarted)] == [1, 2]
        assert cloud.session.sent("input_audio_buffer.commit") == []
        spoken = cloud.session.spoken
        assert np.array_equal(spoken[0].samples[: round(0.6 * RATE)], speech(0.6, seed=1))
        assert not spoken[0].samples[round(0.6 * RATE) :].any()
    assert cloud.violations == []


async def test_a_turn_that_the_service_ended_needs_no_commit(cloud: FakeOpenAi) -> None:
    async with talking(provider_of(cloud, turns="server")) as talker:
        await talker.says(1, np.concatenate((speech(0.5), silence(0.7, RATE))))
        assert (await talker.until(TurnEnded)).turn == 1
        await talker.connection.send(CommitTurn(1))
        await talker.finished(1)
        await asyncio.sleep(0.1)
        assert len(cloud.session.received) == 60
        assert len(cloud.answers) == 1
        assert len(cloud.session.spoken) == 1


async def test_a_service_that_finds_no_end_is_told_it(cloud: FakeOpenAi) -> None:
    async with talking(provider_of(cloud, turns="server")) as talker:
        await talker.says(1, speech(0.5) // 200)
        await talker.connection.send(CommitTurn(1))
        await talker.finished(1)
        assert len(cloud.session.sent("input_audio_buffer.commit")) == 1
        assert talker.of(TurnEnded) == []
    assert cloud.violations == []


async def test_silence_ends_with_the_turn(cloud: FakeOpenAi) -> None:
    async with talking(provider_of(cloud, turns="server")) as talker:
        await talker.says(1, speech(0.5))
        await talker.connection.send(CommitTurn(1))
        await talker.finished(1)
        before = len(cloud.session.received)
        await asyncio.sleep(0.3)
        assert len(cloud.session.received) == before


async def test_the_key_alone_ends_a_turn_where_there_is_one(cloud: FakeOpenAi) -> None:
    async with talking(provider_of(cloud, turns="semantic"), by_key=True) as talker:
        assert cloud.session.config["audio"]["input"]["turn_detection"] is None
        await talker.says(1, speech(0.5))
        await talker.connection.send(CommitTurn(1))
        await talker.finished(1)
        assert talker.of(TurnEnded) == []


async def test_a_turn_that_ends_while_an_answer_comes_is_answered_after_it(cloud: FakeOpenAi) -> None:
    cloud.will_say("one two three", 8.0)
    async with talking(provider_of(cloud, turns="server")) as talker:
        await talker.connection.send(SendText(1, "count"))
        await talker.until(ResponseAudio)
        await talker.says(2, speech(0.5))
        await talker.connection.send(CommitTurn(2))
        await talker.finished(2)
        assert [one.turn for one in talker.of(ResponseStarted)] == [1, 2]
    assert cloud.violations == []
