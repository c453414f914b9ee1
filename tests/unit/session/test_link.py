"""A session's connection over outages: what the person notices, and what is told."""

import asyncio
from itertools import pairwise

import pytest

from appliance.config.schema import Room
from appliance.errors import ProviderUnavailable
from appliance.events import Failed
from appliance.interfaces import LineKind
from tests.fakes.provider import FakeProvider
from tests.rig.booth import Booth
from tests.rig.virtual_time import virtual_time
from tests.unit.session.outage import DOWN, OUTAGE, all_is_answered, fallen, three, told, whole

pytestmark = pytest.mark.slow


class TestLoading:
    @virtual_time
    async def test_a_library_that_takes_long_to_load_is_no_dial_that_failed(self):
        far, near, _ = three()
        far.load_for(12.0)
        async with Booth(providers=[far, near], open_session=False) as booth:
            booth.lines.open_session(booth.line)
            await booth.speak(1.0)
            await booth.active()
            assert (booth.session.provider, far.dials, near.dials) == ("a", 1, 0)
            await booth.idle()
            assert whole(booth, far, 1)
            assert told(booth) == [("a", "up", "")]

    @virtual_time
    async def test_a_library_that_takes_long_to_load_is_no_outage_to_be_told(self):
        far, _, _ = three()
        far.load_for(12.0)
        async with Booth(providers=[far], open_session=False) as booth:
            booth.lines.open_session(booth.line)
            await booth.speak(1.0)
            await booth.active()
            await booth.idle()
            assert whole(booth, far, 1)
            assert booth.voice.spoken == []

    @virtual_time
    async def test_after_loading_a_dial_has_all_its_time(self):
        far, near, _ = three()
        far.load_for(12.0)
        far.connect_seconds = 2.0
        async with Booth(providers=[far, near], open_session=False) as booth:
            booth.lines.open_session(booth.line)
            await booth.active()
            assert (booth.session.provider, far.dials) == ("a", 1)

    @virtual_time
    async def test_a_look_that_takes_long_each_time_does_not_put_off_the_next_rung(self):
        far, near, _ = three()
        far.look_for(0.2)
        far.go_down()
        async with Booth(providers=[far, near], open_session=False) as booth:
            booth.lines.open_session(booth.line)
            await booth.on("b", seconds=5.0)

    @virtual_time
    async def test_a_better_rung_that_has_to_be_loaded_is_climbed_to(self):
        far, near, _ = three()
        async with fallen(far, near) as booth:
            far.come_up()
            far.load_for(12.0)
            await booth.on("a")
            assert booth.session.counters()["climbs"] == 1

    @pytest.mark.parametrize("bug", [True, False])
    def test_a_library_that_does_not_load_leaves_it_to_the_next_rung(self, bug: bool):
        @virtual_time
        async def story():
            far, near, _ = three()
            if bug:
                far.fail_to_load(KeyError("a bug of the provider's"))
            else:
                far.load_for(1e9)
            async with Booth(providers=[far, near], open_session=False) as booth:
                booth.lines.open_session(booth.line)
                await booth.on("b", seconds=70.0)
                assert far.dials == 0

        story()


class TestBugs:
    @virtual_time
    async def test_what_breaks_in_a_provider_is_logged_once_however_often_it_is_dialled(self, caplog):
        far, *_ = three()
        for _ in range(5):
            far.break_in_connect()
        async with Booth(providers=[far], open_session=False) as booth:
            booth.lines.open_session(booth.line)
            await booth.active()
            assert far.dials == 6
        bugs = [record for record in caplog.records if "failed to connect" in record.message]
        assert len(bugs) == 1
        assert "KeyError at provider.py" in caplog.text
        assert "'break'" not in caplog.text


class TestRedial:
    @pytest.mark.parametrize("cut_at", [0.3, 1.0, 2.0])
    @pytest.mark.parametrize("outage", [0.2, 1.37, 3.0])
    def test_a_short_outage_is_over_within_300_ms_of_the_path(self, cut_at: float, outage: float):
        @virtual_time
        async def story():
            async with Booth(fallback_after=3.0) as booth:
                booth.microphone.voiced = True
                await booth.wait(cut_at)
                booth.provider.go_down()
                await booth.wait(outage)
                booth.provider.come_up()
                took = await booth.active()
                assert took <= 0.3 + booth.provider.connect_seconds
                await booth.wait(1.0)
                await all_is_answered(booth)
                await booth.idle()

        story()

    @virtual_time
    async def test_dials_that_hang_cost_two_and_a_half_seconds_first_and_ten_at_most(self):
        async with Booth(open_session=False, idle_timeout=5000.0) as booth:
            booth.provider.hang_in_connect(9)
            booth.lines.open_session(booth.line)
            await booth.active(seconds=300.0)
            gaps = [after - before for before, after in pairwise(booth.provider.dialled_at)]
            assert 2.5 <= gaps[0] <= 2.8
            assert 2.5 <= gaps[1] <= 3.2
            assert all(gap <= 22.1 for gap in gaps)
            assert gaps[-1] >= 18.0

    @virtual_time
    async def test_a_connection_that_dies_after_each_dial_is_dialled_ever_more_seldom(self):
        async with Booth(idle_timeout=5000.0) as booth:
            booth.provider.lives = 0.5
            booth.provider.drop()
            await booth.wait(300.0)
            assert 30 <= booth.provider.dials <= 45
            booth.provider.lives = None
            await booth.active()
            await booth.answered(seconds=15.0)

    @virtual_time
    async def test_a_flapping_provider_gives_way_while_somebody_waits(self):
        far, near, _ = three()
        far.lives = 0.1
        async with Booth(providers=[far, near]) as booth:
            await booth.speak(0.8)
            await booth.until(lambda: near.answers != [])
            await booth.idle()
            assert far.dials <= 8

    @virtual_time
    async def test_who_begins_to_talk_after_a_long_outage_waits_for_no_delay(self):
        async with Booth(idle_timeout=5000.0) as booth:
            booth.provider.go_down()
            await booth.wait(600.0)
            booth.provider.come_up()
            begun = booth.provider.dials
            if booth.session.state != "active":
                await booth.speak(0.3)
                assert booth.session.state == "active"
            assert booth.provider.dials == begun + 1

    @virtual_time
    async def test_an_outage_is_told_after_five_seconds_to_who_waits_and_the_answer_comes_after_it(self):
        async with Booth() as booth:
            await booth.speak(0.6)
            booth.provider.go_down(ProviderUnavailable("the name does not resolve"))
            await booth.state("thinking")
            await booth.wait(20.0)
            assert booth.voice.spoken == [OUTAGE]
            [error] = booth.of(Failed)
            assert (error.code, error.message) == ("provider_unavailable", "the name does not resolve")
            assert error.hint != ""
            booth.provider.come_up()
            await booth.until(lambda: booth.provider.answers != [])
            await booth.idle()
            assert len(booth.provider.answers) == 1

    @virtual_time
    async def test_an_outage_that_nobody_waits_through_is_told_in_events_alone_and_keeps_the_rung(self):
        far, near, _ = three()
        async with Booth(providers=[far, near], idle_timeout=5000.0) as booth:
            far.go_down()
            await booth.wait(600.0)
            assert booth.voice.spoken == []
            assert [event.code for event in booth.of(Failed)] == ["provider_unavailable"]
            assert near.dials == 0
            await booth.speak(0.8)
            await booth.until(lambda: near.answers != [], seconds=1.5)
            await booth.idle()
            assert booth.voice.spoken == [DOWN]

    @virtual_time
    async def test_a_connection_that_comes_too_late_is_closed_and_not_used(self):
        async with Booth(open_session=False) as booth:
            booth.provider.connect_seconds = 3.0
            booth.lines.open_session(booth.line)
            await booth.active()
            live = [connection for connection in booth.provider.connections if not connection.closed]
            assert len(live) == 1

    @virtual_time
    async def test_a_dial_that_cancels_itself_is_a_dial_that_failed(self):
        class Leaky(FakeProvider):
            async def connect(self, setup):
                if self.dials < 2:
                    self.dials += 1
                    raise asyncio.CancelledError
                return await super().connect(setup)

        leaky = Leaky("leaky")
        async with Booth(providers=[leaky], open_session=False) as booth:
            booth.lines.open_session(booth.line)
            assert await booth.active() < 1.0


class TestReplay:
    @virtual_time
    async def test_what_is_said_during_a_replay_follows_it_without_a_gap(self):
        async with Booth() as booth:
            booth.microphone.voiced = True
            await booth.wait(6.0)
            booth.provider.go_down()
            await booth.wait(2.0)
            booth.provider.come_up()
            await booth.active()
            await booth.wait(1.0)
            backlog = booth.session.counters()["uplink_queued"]
            assert backlog >= 100
            await booth.wait(3.0)
            assert booth.session.counters()["uplink_queued"] == 0
            await all_is_answered(booth)
            await booth.idle()

    @virtual_time
    async def test_a_replay_comes_at_four_times_real_time_at_most(self):
        async with Booth() as booth:
            booth.microphone.voiced = True
            await booth.wait(8.0)
            booth.provider.drop()
            await booth.redialled()
            await booth.wait(1.0)
            assert 4000 <= booth.provider.turns[1].ms <= 4700
            booth.microphone.voiced = False
            await booth.idle()

    @virtual_time
    async def test_a_drop_during_a_replay_replays_from_the_start(self):
        async with Booth() as booth:
            booth.microphone.voiced = True
            await booth.wait(6.0)
            for _ in range(3):
                booth.provider.drop()
                await booth.wait(0.9)
            await all_is_answered(booth)
            assert len(booth.provider.connections) == 4
            assert len(booth.provider.answers) == 1
            await booth.idle()


class TestSetup:
    @pytest.mark.parametrize("kind", list(LineKind))
    def test_the_provider_is_told_what_line_it_is(self, kind: LineKind):
        @virtual_time
        async def story():
            async with Booth(kind=kind) as booth:
                [setup] = booth.provider.setups
                assert (setup.line_kind, setup.by_key, setup.handle) == (kind, False, "")

        story()

    @virtual_time
    async def test_and_whether_a_key_ends_the_turns(self):
        async with Booth(kind=LineKind.ROOM, room=Room(mode="push-to-talk")) as booth:
            assert booth.provider.setups[0].by_key
