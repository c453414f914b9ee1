"""Outages, refusals, ends announced, hung dials and speech in any order, on three rungs: what must hold afterwards."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.errors import QuotaExhausted, RateLimited
from appliance.interfaces import ProviderEvent, RenewalDue, ResumptionHandle
from appliance.session.turn import Phase
from tests.fakes.provider import FakeProvider
from tests.rig.booth import Booth
from tests.rig.stories import stories
from tests.rig.virtual_time import run

pytestmark = pytest.mark.slow


def tell(event: ProviderEvent) -> Callable[[FakeProvider], None]:
    """The newest connection says it, where there is one."""

    def do(provider: FakeProvider) -> None:
        if provider.connections:
            provider.connection.tell(event)

    return do


PAUSES = [0.0, 0.02, 0.1, 0.3, 0.7, 1.3, 3.0, 11.0]
DEEDS: dict[str, Callable[[FakeProvider], object]] = {
    "drop": lambda provider: provider.drop(),
    "down": lambda provider: provider.go_down(),
    "limited": lambda provider: provider.go_down(RateLimited("slow down", retry_after=3.0)),
    "broke": lambda provider: provider.go_down(QuotaExhausted("empty")),
    "up": lambda provider: provider.come_up(),
    "hang": lambda provider: provider.hang_in_connect(),
    "refuse": lambda provider: provider.refuse(),
    "end now": tell(RenewalDue(0.0)),
    "end soon": tell(RenewalDue(4.0)),
    "end later": tell(RenewalDue(60.0)),
    "handle": lambda provider: tell(ResumptionHandle(f"{provider.name}'s"))(provider),
    "stale": tell(ResumptionHandle("")),
    "flap": lambda provider: setattr(provider, "lives", 0.4),
    "hold": lambda provider: setattr(provider, "lives", None),
    "slow": lambda provider: setattr(provider, "connect_seconds", 1.5),
    "quick": lambda provider: setattr(provider, "connect_seconds", 0.05),
}
STEP: Any = st.one_of(
    st.tuples(st.sampled_from(["speak", "tool", "long"]), st.sampled_from([0.3, 0.9, 2.5])),
    st.tuples(st.sampled_from(sorted(DEEDS)), st.sampled_from([0, 0, 1, 2])),
)
STORY: Any = st.lists(st.tuples(STEP, st.sampled_from(PAUSES)), min_size=1, max_size=14)
SLOW = [HealthCheck.too_slow]


async def live(steps: list[tuple[tuple[str, Any], float]]) -> None:
    rungs = [FakeProvider(name, first_level=5000 * place + 500) for place, name in enumerate("abc")]
    async with Booth(providers=rungs, idle_timeout=10_000.0) as booth:
        for (deed, which), pause in steps:
            if deed in DEEDS:
                DEEDS[deed](rungs[which])
            else:
                for rung in rungs:
                    if deed == "tool":
                        rung.will_call("time_now", {})
                    elif deed == "long":
                        rung.will_say("one two three four five six", 6.0)
                await booth.speak(which)
            await booth.wait(pause)
        for rung in rungs:
            rung.come_up()
            rung.lives, rung.connect_seconds = None, 0.05
            rung.forget_fates()
        booth.lines.redial()
        await booth.until(lambda: booth.session.state == "active", seconds=60)
        await booth.idle(seconds=300)
        await booth.until(lambda: booth.session.rung == 0, seconds=600)
        await booth.wait(70.0)
        await booth.idle(seconds=300)
        check(booth, rungs)


def check(booth: Booth, rungs: list[FakeProvider]) -> None:
    assert [violation for rung in rungs for violation in rung.violations] == []
    live = [connection for rung in rungs for connection in rung.connections if not connection.closed]
    assert len(live) == 1, "a connection was forgotten"
    assert booth.session.phase is Phase.IDLE
    counters = booth.session.counters()
    assert (counters["journal_ms"], counters["journal_dropped_ms"], counters["uplink_queued"]) == (0, 0, 0)
    for rung in rungs:
        assert all(setup.handle in ("", f"{rung.name}'s") for setup in rung.setups)
        for turn in rung.connections[-1].turns.values() if rung.connections else ():
            assert turn.ms == 0 or contiguous(turn.frames)


def contiguous(frames: list[bytes]) -> bool:
    got = [int.from_bytes(frame[:2], "little") for frame in frames]
    return got == sorted(set(got))


@pytest.mark.timeout(900)
@settings(max_examples=stories(45), derandomize=True, deadline=None, suppress_health_check=SLOW)
@given(STORY)
def test_whatever_becomes_of_the_providers_the_best_serves_in_the_end_and_nothing_is_left(steps):
    run(live(steps))
