"""Random stories of a session: how many, how long people talk and pause in them, and what holds at their end."""

import os
from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, settings

from appliance.events import ToolCalled, ToolFinished
from appliance.session.turn import Phase as TurnPhase
from tests.rig.booth import Booth

PAUSES = [0.0, 0.02, 0.1, 0.25, 0.5, 0.7, 1.3, 3.0]
VOICES = [0.04, 0.08, 0.14, 0.2, 0.26, 0.4, 0.9]
FADE_SECONDS = 0.04


def stories(usual: int) -> int:
    """HANDSET_STORIES, where it is set; else `usual`, which finds what is broken by and large, in seconds."""
    return int(os.environ.get("HANDSET_STORIES", usual))


def told(examples: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """So many of them. They are not made smaller when one fails: that takes an hour."""
    return settings(
        max_examples=examples,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors],
        phases=[Phase.generate],
    )


def check_rest(booth: Booth) -> None:
    """The floor is free, and nothing waits or was lost."""
    assert booth.session.phase is TurnPhase.IDLE
    assert not booth.line.playout.paused()
    counters = booth.session.counters()
    assert counters["journal_ms"] == 0
    assert counters["journal_dropped_ms"] == 0
    assert counters["downlink_dropped_ms"] == 0
    assert counters["uplink_dropped"] == 0
    assert counters["announcements_waiting"] == 0


def check_tools(booth: Booth) -> None:
    """Each call that was told has one result."""
    called = Counter(event.call_id for event in booth.of(ToolCalled))
    finished = Counter(event.call_id for event in booth.of(ToolFinished))
    assert set(called) <= set(finished)
    assert set(finished.values()) <= {1}
