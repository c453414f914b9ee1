"""The tools do what they declare, and refuse what they cannot do with a sentence."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pytest

from appliance.agents.timers import Timers
from appliance.agents.tools import Services
from appliance.agents.tools.phone import CallTool, HangUpTool, TransferTool
from appliance.agents.tools.time import TimeTool
from appliance.agents.tools.timer import TimerTool, alarm_time
from appliance.agents.tools.volume import VolumeTool
from appliance.errors import NotPossible, RequestInvalid
from appliance.interfaces import LineKind, Tool

NOON = datetime(2026, 11, 21, 12, 0).astimezone()


class Context:
    """A session as a tool sees it; remembers what was done."""

    session, line, line_kind = "s-1", "room", LineKind.ROOM

    def __init__(self) -> None:
        self.done: list[tuple[str, Any]] = []
        self.level = 50

    def now(self) -> float:
        return NOON.timestamp()

    def volume(self) -> int:
        return self.level

    def set_volume(self, level: int) -> int:
        self.level = level
        return level

    def set_muted(self, on: bool) -> None:
        self.done.append(("muted", on))

    async def dial(self, to: str) -> str:
        self.done.append(("dial", to))
        return "call-1"

    async def transfer(self, to: str, *, summary: str = "") -> None:
        self.done.append(("transfer", to))

    async def record(self, on: bool) -> None:
        self.done.append(("record", on))

    async def hang_up(self) -> None:
        self.done.append(("hang_up", None))

    def notify(self, text: str, *, label: str = "", urgent: bool = False) -> None:
        self.done.append(("notify", text))


@pytest.fixture
def context() -> Context:
    return Context()


@pytest.fixture
def services() -> Services:
    return Services(Timers(now=NOON.timestamp, monotonic=lambda: 5.0), {"Kitchen": "201"})


async def run(tool: Tool, function: str, context: Context, **arguments: Any) -> Mapping[str, Any]:
    return await tool.run(function, arguments, context)


async def test_the_time_is_told_in_parts(services: Services, context: Context) -> None:
    told = await run(TimeTool(services), "get_time", context)
    assert (told["time"], told["date"], told["weekday"]) == ("12:00", "2026-11-21", "Saturday")


async def test_the_volume_is_set_changed_and_kept_in_bounds(services: Services, context: Context) -> None:
    tool = VolumeTool(services)
    assert await run(tool, "set_volume", context, level=30) == {"level": 30}
    assert await run(tool, "set_volume", context, change=-50) == {"level": 0}
    assert await run(tool, "set_volume", context) == {"level": 0}
    with pytest.raises(RequestInvalid):
        await run(tool, "set_volume", context, level=300)
    await run(tool, "set_muted", context, on=True)
    assert context.done == [("muted", True)]


async def test_a_named_timer_is_set_asked_for_and_cancelled(services: Services, context: Context) -> None:
    tool = TimerTool(services)
    assert (await run(tool, "set_timer", context, seconds=300, label="Tea"))["label"] == "tea"
    (left,) = (await run(tool, "list_timers", context))["timers"]
    assert left["seconds_left"] == 300
    assert len((await run(tool, "cancel_timer", context, label="tea"))["cancelled"]) == 1
    with pytest.raises(NotPossible, match="no tea timer"):
        await run(tool, "cancel_timer", context, label="tea")


async def test_which_of_several_is_asked_and_all_cancels_all(services: Services, context: Context) -> None:
    tool = TimerTool(services)
    for label in ("tea", ""):
        await run(tool, "set_timer", context, seconds=60, label=label)
    with pytest.raises(NotPossible, match="several"):
        await run(tool, "cancel_timer", context, kind="timer")
    assert len((await run(tool, "cancel_timer", context, kind="timer", all=True))["cancelled"]) == 2


@pytest.mark.parametrize(
    ("arguments", "due"),
    [
        ({"time": "13:30"}, "2026-11-21 13:30"),
        ({"time": "07:00"}, "2026-11-22 07:00"),
        ({"time": "7:30", "either_half": True}, "2026-11-21 19:30"),
        ({"time": "11:00", "either_half": True}, "2026-11-21 23:00"),
        ({"time": "12:00", "either_half": True}, "2026-11-22 00:00"),
        ({"time": "7:00", "day": "tomorrow", "either_half": True}, "2026-11-22 07:00"),
        ({"time": "8:00", "day": "tonight", "either_half": True}, "2026-11-21 20:00"),
    ],
)
def test_an_alarm_is_due_at_the_next_fitting_moment(arguments: Mapping[str, Any], due: str) -> None:
    assert alarm_time(arguments, NOON).strftime("%Y-%m-%d %H:%M") == due


@pytest.mark.parametrize(
    "arguments", [{}, {"time": "25:00"}, {"time": "noon"}, {"time": "9:00", "day": "today"}]
)
def test_an_impossible_alarm_is_refused(arguments: Mapping[str, Any]) -> None:
    with pytest.raises(RequestInvalid):
        alarm_time(arguments, NOON)


async def test_calls_are_placed_handed_over_and_ended(services: Services, context: Context) -> None:
    assert (await run(CallTool(services), "call", context, to="kitchen"))["call"] == "call-1"
    await run(TransferTool(services), "transfer_call", context, to="201")
    await run(HangUpTool(services), "hang_up", context)
    assert context.done == [("dial", "kitchen"), ("transfer", "201"), ("hang_up", None)]
    with pytest.raises(RequestInvalid):
        await run(CallTool(services), "call", context, to=" ")


def test_the_call_tool_tells_its_contacts(services: Services) -> None:
    schema = CallTool(services).declarations[0].parameters["properties"]["to"]
    assert schema["examples"] == ["Kitchen"]
