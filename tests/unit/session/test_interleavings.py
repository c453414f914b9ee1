"""Speech, keys, commands, tools and broken connections in any order: what must hold whatever happens."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.events import ToolCalled, ToolFinished
from appliance.session.turn import Phase
from tests.rig.booth import Booth
from tests.rig.virtual_time import run

PAUSES = [0.0, 0.02, 0.1, 0.25, 0.5, 0.7, 1.3, 3.0]
VOICES = [0.04, 0.08, 0.14, 0.2, 0.26, 0.4, 0.9]
ANSWERS = [
    "short",
    "long",
    "burst",
    "slow",
    "tool",
    "slow tool",
    "bad tool",
    "silent",
    "failed",
    "endless",
    "none",
]


def instruct(booth: Booth, answer: str) -> None:
    provider = booth.provider
    match answer:
        case "short":
            provider.will_say("Yes.", 0.4)
        case "long":
            provider.will_say("one two three four five six", 3.0)
        case "burst":
            provider.will_say("one two three four five six", 3.0, speed=1000.0)
        case "slow":
            provider.will_say("Wait for it.", 1.0, think=4.0)
        case "tool":
            provider.will_call("time_now", {})
        case "slow tool":
            provider.will_call("time_now", {"slow": True})
        case "bad tool":
            provider.will_call("oven", "{broken")
        case "silent" | "failed":
            provider.will_be_silent(answer)
        case "endless":
            provider.never_finish(0.6)
        case "none":
            provider.will_not_answer()


DEEDS: dict[str, Callable[[Booth], object]] = {
    "press": lambda booth: booth.line.press(),
    "release": lambda booth: booth.line.release(),
    "type": lambda booth: booth.session.send_text("And this?"),
    "interrupt": lambda booth: booth.session.interrupt("test"),
    "say": lambda booth: booth.session.say("A word from here."),
    "protect": lambda booth: booth.session.say("This is recorded.", interruptible=False),
    "notify": lambda booth: booth.session.notify("The tea is ready."),
    "drop": lambda booth: booth.provider.drop(),
    "down": lambda booth: booth.provider.go_down(),
    "up": lambda booth: booth.provider.come_up(),
    "mute": lambda booth: booth.line.set_muted(True),
    "unmute": lambda booth: booth.line.set_muted(False),
}
ACTIONS = [*(("speak", seconds) for seconds in VOICES), *((deed, 0.0) for deed in DEEDS)]


async def perform(booth: Booth, action: str, seconds: float) -> None:
    if action == "speak":
        await booth.speak(seconds)
    else:
        DEEDS[action](booth)


def check(booth: Booth) -> None:
    provider = booth.provider
    heard = Counter[int]()
    for answer in provider.answers:
        sounded = booth.heard(answer.level)
        heard[answer.turn] += sounded > 0.5
        if answer.cancelled is not None:
            # Another sound, fading in or out, passes through this one's value for a sample or two.
            assert booth.heard(answer.level, since=answer.cancelled_at + 0.04) < 0.5
            assert abs(answer.cancelled.heard_ms - sounded) <= 25
    assert all(count <= 1 for count in heard.values()), "a turn was answered twice"
    results = Counter(result.call_id for result in provider.tool_results)
    assert all(count == 1 for count in results.values()), "a tool call had two results"
    assert provider.unanswered_calls == 0
    called = Counter(event.call_id for event in booth.of(ToolCalled))
    finished = Counter(event.call_id for event in booth.of(ToolFinished))
    assert set(called) <= set(finished)
    assert set(finished.values()) <= {1}
    assert booth.session.phase is Phase.IDLE
    assert not booth.line.playout.paused()
    counters = booth.session.counters()
    assert counters["journal_ms"] == 0
    assert counters["journal_dropped_ms"] == 0
    assert counters["announcements_waiting"] == 0


async def live(answers: list[str], steps: list[tuple[tuple[str, float], float]]) -> None:
    async with Booth(idle_timeout=10_000.0) as booth:
        booth.clock.seconds = 1.0
        for answer in answers:
            instruct(booth, answer)
        for (action, seconds), pause in steps:
            await perform(booth, action, seconds)
            await booth.wait(pause)
        booth.line.release()
        booth.provider.come_up()
        booth.line.set_muted(False)
        await booth.until(lambda: booth.session.state == "active", seconds=30)
        await booth.wait(0.5)
        await booth.idle(seconds=300)
        await booth.wait(1.0)
        await booth.idle(seconds=300)
        check(booth)


STORY: Any = st.lists(st.tuples(st.sampled_from(ACTIONS), st.sampled_from(PAUSES)), min_size=1, max_size=14)
FEW: Any = st.lists(st.sampled_from(ANSWERS), max_size=6)
SLOW = [HealthCheck.too_slow]


@settings(max_examples=40, derandomize=True, deadline=None, suppress_health_check=SLOW)
@given(FEW, STORY)
def test_whatever_happens_the_floor_comes_free_and_nothing_is_said_or_answered_twice(answers, steps):
    run(live(answers, steps))


@pytest.mark.slow
@pytest.mark.timeout(900)
@settings(max_examples=1000, derandomize=True, deadline=None, suppress_health_check=SLOW)
@given(FEW, STORY)
def test_the_same_a_thousand_times(answers, steps):
    run(live(answers, steps))
