"""OpenAI Realtime over a socket: a conversation that an earlier connection began."""

import pytest

from appliance.interfaces import (
    CalledTool,
    CancelResponse,
    HistoryItem,
    SendText,
    ToolResult,
)
from tests.fakes.openai_realtime import FakeOpenAi
from tests.unit.realtime.openai.talker import outputs, provider_of, talking

pytestmark = pytest.mark.slow


async def test_the_history_is_restored_and_not_answered(cloud: FakeOpenAi) -> None:
    history = [
        HistoryItem("user", "My name is Ada."),
        HistoryItem("assistant", "Hello Ada."),
        HistoryItem("assistant", " "),
        CalledTool("c1", "get_time", "{}", '{"time": "10:32"}'),
    ]
    async with talking(provider_of(cloud), history=history) as talker:
        await talker.connection.send(SendText(1, "who am I"))
        await talker.finished(1)
        kinds = [(item.body["type"], item.said) for item in cloud.session.items][:5]
        assert kinds == [
            ("message", "My name is Ada."),
            ("message", "Hello Ada."),
            ("function_call", ""),
            ("function_call_output", ""),
            ("message", "who am I"),
        ]
        assert len(cloud.answers) == 1
    assert cloud.violations == []


async def test_a_call_of_an_earlier_connection_gets_its_one_result(cloud: FakeOpenAi) -> None:
    history = [HistoryItem("user", "what time is it"), CalledTool("c1", "get_time", "{}", turn=6)]
    async with talking(provider_of(cloud), history=history) as talker:
        for _ in range(2):
            await talker.connection.send(ToolResult("c1", {"time": "10:32"}))
        done = await talker.finished(6)
        assert "10:32" in talker.said(done.response)
        assert len(outputs(cloud)) == 1
        assert len(cloud.answers) == 1
    assert cloud.violations == []


async def test_calls_of_a_provider_that_names_them_at_length_are_restored_too(cloud: FakeOpenAi) -> None:
    done, waiting = (f"function-call-{number}" * 3 for number in (1234567890, 1234567891))
    history = [
        CalledTool(done, "get_time", "{}", '{"time": "9:00"}'),
        CalledTool(waiting, "get_time", "{}", turn=6),
    ]
    async with talking(provider_of(cloud), history=history) as talker:
        await talker.connection.send(ToolResult(waiting, {"time": "10:32"}))
        await talker.finished(6)
        bodies = [item.body for item in cloud.session.items][:4]
        kinds = ["function_call", "function_call_output", "function_call", "function_call_output"]
        assert [body["type"] for body in bodies] == kinds
        names = [body["call_id"] for body in bodies]
        assert names[0] == names[1] != names[2] == names[3]
    assert cloud.violations == []


@pytest.mark.parametrize("heard", ["Once upon", ""])
async def test_what_sounded_over_a_drop_is_cut_to_what_was_heard(cloud: FakeOpenAi, heard: str) -> None:
    history = [
        HistoryItem("user", "a story"),
        HistoryItem("assistant", "Once upon a time", response="2:r9"),
        CalledTool("c1", "get_time", "{}", "{}"),
    ]
    async with talking(provider_of(cloud), history=history) as talker:
        for _ in range(2):
            await talker.connection.send(CancelResponse("2:r9", heard, 700))
        await talker.connection.send(SendText(1, "go on"))
        await talker.finished(1)
        said = [item.said for item in cloud.session.items]
        assert said[:4] == (["a story", heard, "", ""] if heard else ["a story", "", "", "go on"])
    assert cloud.violations == []
