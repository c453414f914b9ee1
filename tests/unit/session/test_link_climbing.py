"""A session on a lower rung, and its way up again."""

from itertools import pairwise

import pytest

from appliance.errors import CredentialsRejected, RateLimited
from appliance.events import Failed, ProviderChanged, SessionStateChanged
from appliance.interfaces import Capabilities
from tests.fakes.provider import FakeProvider
from tests.rig.booth import Booth
from tests.rig.virtual_time import virtual_time
from tests.unit.session.outage import DOWN, LONG, fallen, said, states, three, told, whole

pytestmark = pytest.mark.slow


class TestClimbing:
    @virtual_time
    async def test_a_session_goes_back_to_a_better_rung_without_a_word(self):
        far, near, _ = three()
        async with Booth(providers=[far, near]) as booth:
            await booth.answered()
            far.go_down()
            await booth.speak(0.8)
            await booth.until(lambda: near.answers != [])
            far.come_up()
            await booth.idle()
            await booth.on("a", seconds=15.0)
            assert booth.voice.spoken == [DOWN]
            assert said(far) == [
                "turn 1",
                "Yes.",
                "turn 2",
                DOWN,
                "Yes.",
            ]
            assert states(booth)[-2:] == [("reconnecting", "climb"), ("active", "")]
            assert told(booth)[-2:] == [("b", "up", ""), ("a", "up", "")]
            await booth.until(lambda: near.connection.closed)
            await booth.answered()
            assert len(far.answers) == 2

    @virtual_time
    async def test_of_three_rungs_the_best_that_is_there_is_taken_and_then_the_best_of_all(self):
        first, second, third = providers = three()
        for provider in (first, second):
            provider.go_down()
        async with Booth(providers=providers, open_session=False, idle_timeout=900.0) as booth:
            booth.lines.open_session(booth.line)
            await booth.on("c")
            await booth.wait(15.0)
            assert first.dials > 10
            second.come_up()
            await booth.on("b", seconds=60.0)
            first.come_up()
            await booth.on("a", seconds=125.0)
            assert third.connection.closed
            assert second.connection.closed

    @virtual_time
    async def test_a_better_rung_is_looked_for_ever_more_seldom(self):
        far, near, _ = three()
        async with fallen(far, near, idle_timeout=5000.0) as booth:
            del far.dialled_at[:]
            begun = booth.loop.time()
            await booth.wait(600.0)
            gaps = [after - before for before, after in pairwise([begun, *far.dialled_at])]
            assert gaps == pytest.approx([10, 20, 40, 80, 120, 120, 120], abs=0.5)
            assert booth.of(SessionStateChanged)[-1].provider == "b"
            assert len([event for event in booth.of(ProviderChanged) if event.provider == "a"]) == 1

    @virtual_time
    async def test_who_begins_to_speak_during_the_probe_keeps_the_rung_and_every_word(self):
        far, near, _ = three()
        async with fallen(far, near) as booth:
            far.come_up()
            far.connect_seconds = 1.0
            before = far.dials
            await booth.until(lambda: far.dials > before, seconds=15.0)
            await booth.wait(0.5)
            await booth.speak(1.5)
            assert booth.session.provider == "b"
            assert far.connection.closed
            await booth.state("speaking")
            assert whole(booth, near, 1)
            assert booth.session.provider == "b"
            await booth.idle()
            await booth.on("a", seconds=6.0)
            assert said(far) == ["turn 1", "Yes."]

    @virtual_time
    async def test_nothing_is_looked_for_while_somebody_talks_or_is_answered(self):
        far, near, _ = three()
        async with fallen(far, near) as booth:
            far.come_up()
            before = far.dials
            near.will_say(LONG, 30.0, speed=50.0)
            await booth.speak(0.8)
            await booth.state("speaking")
            await booth.wait(25.0)
            assert far.dials == before
            await booth.idle()
            await booth.on("a", seconds=3.0)

    @virtual_time
    async def test_a_probe_that_is_refused_is_told_in_an_event_and_not_aloud(self):
        far, near, _ = three()
        async with fallen(far, near, idle_timeout=900.0) as booth:
            far.go_down(CredentialsRejected("wrong key"))
            dials = far.dials
            await booth.wait(50.0)
            assert far.dials == dials + 1
            await booth.wait(250.0)
            assert far.dials == dials + 2
            assert ("a", "down", "credentials_rejected") in told(booth)
            assert [event.code for event in booth.of(Failed)] == ["credentials_rejected"]
            assert booth.voice.spoken == []

    @virtual_time
    async def test_the_local_rung_is_the_safety_net_and_left_when_the_cloud_is_back(self):
        cloud, other = three()[:2]
        local = FakeProvider(
            "offline", Capabilities(input_rate=16_000, output_rate=16_000, local=True), first_level=9000
        )
        async with Booth(providers=[cloud, other, local]) as booth:
            cloud.go_down()
            other.go_down()
            await booth.speak(0.8)
            took = await booth.until(lambda: local.answers != [])
            assert took <= 7.0
            await booth.idle()
            assert whole(booth, local, 1)
            assert booth.voice.spoken == [DOWN]
            cloud.come_up()
            await booth.on("a", seconds=30.0)

    @virtual_time
    async def test_a_session_that_ends_in_the_middle_of_a_probe_leaves_nothing_behind(self):
        far, near, _ = three()
        async with fallen(far, near) as booth:
            far.come_up()
            far.connect_seconds = 3.0
            before = far.dials
            await booth.until(lambda: far.dials > before, seconds=15.0)
            await booth.session.close("enough")
        assert all(connection.closed for connection in [*far.connections, *near.connections])


@virtual_time
async def test_counters_tell_dials_renewals_probes_and_climbs():
    far, near, _ = three()
    far.refuse_with(RateLimited("slow down", retry_after=1.0))
    async with Booth(providers=[far, near]) as booth:
        await booth.on("a", seconds=20.0)
        counters = booth.session.counters()
        assert {name: counters[name] for name in ("dials", "dials_failed", "probes", "climbs")} == {
            "dials": 2,
            "dials_failed": 1,
            "probes": 1,
            "climbs": 1,
        }
