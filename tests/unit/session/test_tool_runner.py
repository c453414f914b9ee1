"""Exactly one result for every tool call, whatever the tool does, and which tools an agent has."""

import asyncio
import math
from collections.abc import Mapping, Sequence
from datetime import time
from typing import Any

import pytest

from appliance.agents.agent import Agent, agent_from, choose
from appliance.agents.runner import RUNNING_BOUND, ToolRunner
from appliance.bus import EventBus
from appliance.config.schema import Agent as AgentSection
from appliance.errors import UnknownName
from appliance.events import ToolCalled, ToolCancelled, ToolFinished
from appliance.interfaces import Delivery, ToolCall, ToolDeclaration, ToolResult
from tests.rig.booth import Clockwork
from tests.rig.virtual_time import virtual_time


class Context:
    session = "s-1"
    line = "room"


class Stubborn(Clockwork):
    """Takes no notice of being cancelled."""

    async def run(self, function: str, arguments: Mapping[str, Any], context: Any) -> Mapping[str, Any]:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            await asyncio.sleep(1)
        return {"late": True}


class Broken(Clockwork):
    async def run(self, function: str, arguments: Mapping[str, Any], context: Any) -> Mapping[str, Any]:
        raise ZeroDivisionError


class Bench:
    def __init__(self, tool: Any = None) -> None:
        self.tool = tool or Clockwork()
        self.bus = EventBus()
        self.events: list[Any] = []
        self.bus.listen(self.events.append)
        self.results: list[ToolResult] = []
        agent = agent_from("a", AgentSection(tools=("clock",)), {"clock": self.tool})
        context: Any = Context()
        self.runner = ToolRunner(agent, context, self.bus)

    def call(self, call_id: str = "c", tool: str = "time_now", arguments: Any = None) -> bool:
        return self.runner.start(ToolCall(call_id, tool, arguments or {}, 1), self.results.append)


@virtual_time
async def test_a_tool_runs_and_its_result_is_told_to_provider_and_bus():
    bench = Bench()
    bench.call(arguments='{"zone": "UTC"}')
    assert bench.results == []
    await asyncio.sleep(1)
    assert bench.results == [ToolResult("c", {"time": "noon"})]
    called, finished = bench.events
    assert isinstance(called, ToolCalled)
    assert called.arguments == {"zone": "UTC"}
    assert isinstance(finished, ToolFinished)
    assert (finished.result, finished.error, finished.duration_ms) == ({"time": "noon"}, None, 300)
    assert (called.session, called.line) == ("s-1", "room")


@pytest.mark.parametrize(
    ("tool", "arguments", "error"),
    [
        ("time_now", "{not json", "The arguments are not valid JSON."),
        ("time_now", "[1]", "The arguments must be a JSON object."),
        ("self_destruct", "{}", "There is no tool self_destruct."),
        ("time_now", {"fail": True}, "The clock stands still."),
    ],
)
@virtual_time
async def test_what_cannot_be_run_has_one_result_too(tool, arguments, error):
    bench = Bench()
    bench.call("c", tool, arguments)
    await asyncio.sleep(40)
    assert bench.results == [ToolResult("c", {}, error)]
    assert [event.error for event in bench.events if isinstance(event, ToolFinished)] == [error]


@virtual_time
async def test_a_tool_that_breaks_has_one_result():
    bench = Bench(Broken())
    bench.call()
    await asyncio.sleep(1)
    assert bench.results == [ToolResult("c", {}, "The tool failed.")]


class Odd(Clockwork):
    """Returns what it is told to."""

    def __init__(self, result: Any) -> None:
        super().__init__()
        self.result = result

    async def run(self, function: str, arguments: Mapping[str, Any], context: Any) -> Mapping[str, Any]:
        returned: Mapping[str, Any] = self.result
        return returned


CIRCLE: dict[str, Any] = {}
CIRCLE["circle"] = CIRCLE


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        (None, {}),
        ("noon", {"result": "noon"}),
        ([1, 2], {"result": [1, 2]}),
        (
            {"at": time(12, 0), "odds": [math.nan, math.inf, 0.5]},
            {"at": "12:00:00", "odds": [None, None, 0.5]},
        ),
        ({"said": "\ud800", 7: "seven"}, {"said": "?", "7": "seven"}),
    ],
)
def test_whatever_a_tool_returns_is_told_as_json(returned: Any, told: Mapping[str, Any]):
    @virtual_time
    async def story():
        bench = Bench(Odd(returned))
        bench.call()
        await asyncio.sleep(0.1)
        assert bench.results == [ToolResult("c", told)]

    story()


@pytest.mark.parametrize("returned", [CIRCLE, {"page": "x" * 70_000}, {(1, 2): 3}])
def test_what_cannot_be_told_is_an_error_for_the_model(returned: Any):
    @virtual_time
    async def story():
        bench = Bench(Odd(returned))
        bench.call()
        await asyncio.sleep(0.1)
        [result] = bench.results
        assert result.error.startswith("The tool returned")

    story()


@virtual_time
async def test_arguments_nested_without_end_are_told_to_be_no_json():
    bench = Bench()
    bench.call(arguments="[" * 100_000)
    await asyncio.sleep(0.1)
    assert bench.results == [ToolResult("c", error="The arguments are not valid JSON.")]
    assert [type(event) for event in bench.events] == [ToolCalled, ToolFinished]


@virtual_time
async def test_a_tool_that_takes_too_long_has_one_result_at_30_s():
    bench = Bench(Stubborn())
    bench.call()
    await asyncio.sleep(29.9)
    assert bench.results == []
    await asyncio.sleep(0.2)
    await asyncio.sleep(10)
    assert bench.results == [ToolResult("c", {}, "The tool did not finish within 30 seconds.")]


@virtual_time
async def test_a_cancelled_tool_has_its_result_at_once_and_only_that_whatever_it_does_later():
    bench = Bench(Stubborn())
    bench.call()
    await asyncio.sleep(0.1)
    assert bench.runner.cancel() == 1
    assert bench.results == [ToolResult("c", {}, "The call was cancelled.", Delivery.SILENT)]
    await asyncio.sleep(10)
    assert len(bench.results) == 1
    assert [type(event) for event in bench.events] == [ToolCalled, ToolCancelled, ToolFinished]


@virtual_time
async def test_a_call_cancelled_before_it_began_has_its_result():
    bench = Bench()
    bench.call()
    bench.runner.cancel()
    await asyncio.sleep(1)
    assert bench.results == [ToolResult("c", {}, "The call was cancelled.", Delivery.SILENT)]
    assert bench.tool.begun == 0


@virtual_time
async def test_the_same_call_twice_is_one_call():
    bench = Bench()
    assert bench.call()
    assert not bench.call()
    await asyncio.sleep(1)
    assert not bench.call()
    await asyncio.sleep(1)
    assert len(bench.results) == 1
    assert bench.runner.counters()["tool_repeats"] == 2


@virtual_time
async def test_too_many_at_once_are_refused_each_with_its_result():
    bench = Bench()
    for number in range(RUNNING_BOUND + 3):
        bench.call(f"c{number}")
    await asyncio.sleep(1)
    assert len(bench.results) == RUNNING_BOUND + 3
    assert sum(bool(result.error) for result in bench.results) == 3


def test_an_agent_has_the_tools_that_are_configured_and_installed():
    class Other(Clockwork):
        declarations: Sequence[ToolDeclaration] = (ToolDeclaration("time_now", "Mine too.", {}),)

    clock, other = Clockwork(), Other()
    section = AgentSection(tools=("clock", "other", "oven"), instructions="Be brief.")
    agent = agent_from("a", section, {"clock": clock, "other": other, "unused": Clockwork()})
    assert [declaration.name for declaration in agent.declarations] == [
        declaration.name for declaration in clock.declarations
    ]
    assert agent.functions["time_now"] is clock
    assert agent.missing == ("oven",)


def test_an_agent_that_is_not_there_is_named():
    with pytest.raises(UnknownName, match="nobody"):
        choose({"a": Agent("a")}, "nobody")
