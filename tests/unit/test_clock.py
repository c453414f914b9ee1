"""A clock that cannot be believed, and one that steps."""

from types import SimpleNamespace
from typing import cast

import pytest

from appliance.agents.timers import Timers
from appliance.agents.tools import Services
from appliance.agents.tools.time import TimeTool
from appliance.bus import EventBus
from appliance.clock import EARLIEST, Change, Clock, Reading, believable, changes, read
from appliance.events import ClockChanged
from appliance.health import Health
from appliance.interfaces import ToolContext

NOON = EARLIEST + 43_200.0


def at(wall, steady, synchronized=True):
    return Reading(wall, steady, synchronized)


@pytest.mark.parametrize(
    ("reading", "so"),
    [
        (at(NOON, 1), True),
        (at(NOON, 1, None), True),
        (at(NOON, 1, False), False),
        (at(0, 1, None), False),
        (at(0, 1), False),
    ],
)
def test_what_nobody_speaks_of_is_believed_unless_it_is_impossible(reading, so):
    assert believable(reading) is so


@pytest.mark.parametrize(
    ("before", "now", "found"),
    [
        (None, at(NOON, 1), []),
        (None, at(NOON, 1, False), [Change("unsynchronized")]),
        (at(NOON, 1), at(NOON + 60, 61), []),
        (at(NOON, 1), at(NOON + 61.5, 61), []),
        (at(NOON, 1), at(NOON + 3661, 62), [Change("stepped", 3600.0)]),
        (at(NOON, 1), at(NOON - 100, 1), [Change("stepped", -100.0)]),
        (at(NOON, 1, False), at(NOON + 1, 2), [Change("synchronized")]),
        (at(0, 1, False), at(NOON, 1), [Change("stepped", NOON), Change("synchronized")]),
        (at(NOON, 1), at(NOON, 1, False), [Change("unsynchronized")]),
    ],
)
def test_what_became_of_it_follows_from_two_readings(before, now, found):
    assert changes(before, now) == found


def test_timesyncds_file_says_whether_it_was_set(tmp_path):
    assert read(tmp_path / "nobody").synchronized is None
    assert read(tmp_path).synchronized is False
    (tmp_path / "synchronized").touch()
    assert read(tmp_path).synchronized is True


async def test_the_time_is_told_with_a_caveat_until_the_clock_is_set():
    told: list[ClockChanged] = []
    bus, health, now = EventBus(), Health(), [at(NOON, 1, False)]
    bus.listen(lambda event: told.append(event) if isinstance(event, ClockChanged) else None)
    clock = Clock(bus, health.part("clock", required=False), lambda: now[-1])
    tool = TimeTool(Services(Timers(), clock_believed=clock.believed))
    context = cast("ToolContext", SimpleNamespace(now=lambda: NOON))

    assert "may be wrong" in (await tool.run("get_time", {}, context))["caveat"]
    assert "certificates" in health.sentence()
    assert health.ready()
    now.append(at(NOON + 7200, 2))
    clock.look()
    assert (await tool.run("get_time", {}, context))["caveat"] == ""
    assert health.sentence() == "ready"
    assert [event.state for event in told] == ["unsynchronized", "stepped", "synchronized"]
