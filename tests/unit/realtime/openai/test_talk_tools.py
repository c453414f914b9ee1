"""OpenAI Realtime over a socket: calls of tools, and when something is said about their results."""

import asyncio
import json
from collections.abc import Sequence

import pytest

from appliance.interfaces import (
    CancelResponse,
    CommitTurn,
    Delivery,
    ResponseAudio,
    ResponseFinished,
    SendText,
    ToolCall,
    ToolDeclaration,
    ToolResult,
)
from tests.fakes.openai_realtime import FakeOpenAi
from tests.rig.talker import Talker
from tests.unit.realtime.openai.talker import outputs, provider_of, speech, talking

pytestmark = pytest.mark.slow


BACKGROUND = ToolDeclaration("order", "", {"type": "object"}, Delivery.WHEN_IDLE)


async def answered(talker: Talker, turn: int, calls: Sequence[str], delivery: Delivery) -> None:
    for call_id in calls:
        await talker.connection.send(ToolResult(call_id, {"answer": call_id}, delivery=delivery))


async def test_a_result_is_told_once_however_often_it_comes(cloud: FakeOpenAi) -> None:
    cloud.will_call("get_time", {"zone": "UTC"})
    async with talking(provider_of(cloud)) as talker:
        await talker.connection.send(SendText(1, "what time is it"))
        call = await talker.until(ToolCall)
        assert (call.tool, json.loads(str(call.arguments)), call.turn) == ("get_time", {"zone": "UTC"}, 1)
        for _ in range(2):
            await talker.connection.send(ToolResult(call.call_id, {"time": "10:32"}))
        await talker.finished(1, times=2)
        assert [json.loads(one["output"]) for one in outputs(cloud)] == [{"time": "10:32"}]
        assert len(talker.of(ToolCall)) == 1
        assert "10:32" in talker.said(talker.of(ResponseFinished)[-1].response)
    assert cloud.violations == []


async def test_arguments_that_are_no_json_are_passed_on(cloud: FakeOpenAi) -> None:
    cloud.will_call("get_time", '{"zone": ')
    async with talking(provider_of(cloud)) as talker:
        await talker.connection.send(SendText(1, "what time is it"))
        assert (await talker.until(ToolCall)).arguments == '{"zone": '


async def test_a_failed_tool_is_told_as_an_error(cloud: FakeOpenAi) -> None:
    cloud.will_call("get_time", {})
    async with talking(provider_of(cloud)) as talker:
        await talker.connection.send(SendText(1, "what time is it"))
        call = await talker.until(ToolCall)
        await talker.connection.send(ToolResult(call.call_id, error="The clock is broken."))
        await talker.finished(1, times=2)
        assert json.loads(outputs(cloud)[0]["output"]) == {"error": "The clock is broken."}


async def test_a_batch_is_spoken_about_once_and_when_it_is_whole(cloud: FakeOpenAi) -> None:
    cloud.will_call_all(("get_time", {}), ("get_date", {}))
    async with talking(provider_of(cloud)) as talker:
        await talker.connection.send(SendText(1, "time and date"))
        await talker.finished(1)
        first, second = (one.call_id for one in talker.of(ToolCall))
        await talker.connection.send(ToolResult(first, {}))
        await asyncio.sleep(0.1)
        assert len(cloud.answers) == 1
        await talker.connection.send(ToolResult(second, {}))
        await talker.finished(1, times=2)
        assert len(cloud.answers) == 2
    assert cloud.violations == []


async def ordered(talker: Talker) -> ToolCall:
    """The call that the first turn was answered with."""
    await talker.connection.send(SendText(1, "order it"))
    call = await talker.until(ToolCall)
    await talker.finished(1)
    return call


async def test_a_silent_result_is_only_known(cloud: FakeOpenAi) -> None:
    cloud.will_call("order", {})
    async with talking(provider_of(cloud)) as talker:
        call = await ordered(talker)
        await talker.connection.send(ToolResult(call.call_id, {}, delivery=Delivery.SILENT))
        await asyncio.sleep(0.1)
        assert len(outputs(cloud)) == 1
        assert len(cloud.answers) == 1


@pytest.mark.parametrize("delivery", [Delivery.WHEN_IDLE, Delivery.IMMEDIATE])
async def test_a_result_waits_for_what_is_being_said(cloud: FakeOpenAi, delivery: Delivery) -> None:
    cloud.will_call("order", {})
    cloud.will_say("Something else, at length.", 1.0)
    async with talking(provider_of(cloud), tools=[BACKGROUND]) as talker:
        call = await ordered(talker)
        await talker.connection.send(SendText(2, "and tell me a story"))
        await talker.until(ResponseAudio)
        await talker.connection.send(ToolResult(call.call_id, {}, delivery=delivery))
        await talker.finished(1, times=2)
        ends = [(one.turn, one.status) for one in talker.of(ResponseFinished)]
        assert ends == [(1, "completed"), (2, "completed"), (1, "completed")]
    assert cloud.violations == []


async def test_a_result_does_not_talk_into_what_the_person_says(cloud: FakeOpenAi) -> None:
    cloud.will_call("order", {})
    async with talking(provider_of(cloud), tools=[BACKGROUND]) as talker:
        call = await ordered(talker)
        await talker.says(2, speech(0.4))
        await talker.connection.send(ToolResult(call.call_id, {}, delivery=Delivery.WHEN_IDLE))
        await asyncio.sleep(0.1)
        assert len(cloud.answers) == 1
        await talker.connection.send(CommitTurn(2))
        await talker.finished(2)
        assert len(cloud.answers) == 2
    assert cloud.violations == []


async def test_an_interrupting_result_breaks_off_what_is_being_said(cloud: FakeOpenAi) -> None:
    cloud.will_call("order", {})
    cloud.will_say("Something else, at great length.", 20.0)
    async with talking(provider_of(cloud), tools=[BACKGROUND]) as talker:
        call = await ordered(talker)
        await talker.connection.send(SendText(2, "and tell me a story"))
        await talker.until(ResponseAudio)
        await talker.connection.send(ToolResult(call.call_id, {}, delivery=Delivery.INTERRUPT))
        await talker.finished(1, times=2)
        assert [(one.turn, one.status) for one in talker.of(ResponseFinished)][1:] == [
            (2, "cancelled"),
            (1, "completed"),
        ]
    assert cloud.violations == []


async def test_nothing_is_said_about_calls_of_an_answer_that_was_cancelled(cloud: FakeOpenAi) -> None:
    cloud.will_call("get_time", {}, text="Let me see.")
    async with talking(provider_of(cloud)) as talker:
        await talker.connection.send(SendText(1, "what time is it"))
        call = await talker.until(ToolCall)
        done = await talker.finished(1)
        await talker.connection.send(CancelResponse(done.response, "Let me", 100))
        await talker.connection.send(ToolResult(call.call_id, error="The call was cancelled."))
        await asyncio.sleep(0.1)
        assert len(cloud.answers) == 1
        assert len(outputs(cloud)) == 1
