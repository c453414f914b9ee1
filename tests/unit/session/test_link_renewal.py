"""A session whose connection is renewed before its end, or resumed: nobody hears of it."""

import asyncio
from dataclasses import replace
from itertools import pairwise

import pytest

from appliance.errors import SetupRejected
from appliance.events import Failed
from appliance.interfaces import HistoryItem, ResponseAudio, ResponseStarted
from tests.fakes.provider import FAST, FakeProvider
from tests.fakes.provider_connection import FakeConnection
from tests.rig.booth import Booth
from tests.rig.virtual_time import virtual_time
from tests.unit.session.outage import LONG, SETTLED, all_is_answered, answered_by, states, three, told, whole

pytestmark = pytest.mark.slow


class TestRenewal:
    @virtual_time
    async def test_in_a_pause_it_is_renewed_with_the_newest_handle_and_nobody_hears_of_it(self):
        async with Booth() as booth:
            await booth.wait(SETTLED)
            booth.provider.give_handle("old")
            booth.provider.give_handle("new")
            booth.provider.announce_end(50.0)
            assert await booth.redialled() < 0.5
            await booth.wait(5.0)
            assert booth.provider.setups[-1].handle == "new"
            assert booth.provider.connections[0].closed
            assert states(booth)[2:] == [("reconnecting", "renewal"), ("active", "")]
            assert told(booth)[1:] == [("fake", "renewing", ""), ("fake", "up", "")]
            assert booth.voice.spoken == []
            counters = booth.session.counters()
            assert (counters["renewals"], counters["link_drops"]) == (1, 0)

    @virtual_time
    async def test_it_waits_for_the_end_of_speech_of_the_answer_and_of_its_sound(self):
        async with Booth() as booth:
            await booth.wait(SETTLED)
            booth.provider.will_say(LONG, 5.0)
            booth.microphone.voiced = True
            await booth.wait(0.5)
            booth.provider.announce_end(50.0)
            await booth.wait(1.0)
            booth.microphone.voiced = False
            await booth.state("speaking")
            await booth.idle()
            assert len(booth.provider.connections) == 1
            assert await booth.redialled() < 0.7
            assert booth.heard(booth.provider.answers[0].level) == 5000
            assert booth.provider.setups[-1].history == (
                HistoryItem("user", "turn 1"),
                HistoryItem("assistant", LONG),
            )

    @virtual_time
    async def test_it_waits_for_a_tool(self):
        async with Booth() as booth:
            await booth.wait(SETTLED)
            booth.clock.seconds = 6.0
            booth.provider.will_call("time_now", {})
            await booth.speak(0.6)
            await booth.until(lambda: booth.clock.begun == 1)
            booth.provider.announce_end(50.0)
            await booth.until(lambda: booth.clock.ended == 1)
            assert len(booth.provider.connections) == 1
            await booth.idle()
            assert len(booth.provider.tool_results) == 1
            await booth.redialled()

    @virtual_time
    async def test_shortly_before_the_end_a_tool_is_not_waited_for_and_its_result_follows(self):
        provider = FakeProvider("restoring", replace(FAST, restores_calls=True))
        async with Booth(providers=[provider]) as booth:
            await booth.wait(SETTLED)
            booth.clock.seconds = 6.0
            provider.will_call("time_now", {})
            await booth.speak(0.6)
            await booth.until(lambda: booth.clock.begun == 1)
            provider.announce_end(3.0)
            assert await booth.until(lambda: len(provider.connections) == 2) < 1.0
            await booth.idle()
            assert (booth.clock.begun, len(provider.tool_results)) == (1, 1)
            assert [answer.connection for answer in provider.answers] == [1]
            assert provider.violations == booth.voice.spoken == []

    @virtual_time
    async def test_shortly_before_the_end_it_is_renewed_in_mid_speech_and_no_word_is_lost(self):
        async with Booth() as booth:
            await booth.wait(SETTLED)
            booth.microphone.voiced = True
            await booth.wait(0.5)
            booth.provider.announce_end(10.0)
            took = await booth.redialled()
            assert 7.4 <= took <= 7.8
            await booth.wait(1.0)
            await all_is_answered(booth)
            assert (len(booth.provider.answers), booth.voice.spoken) == (1, [])
            await booth.idle()

    @virtual_time
    async def test_shortly_before_the_end_in_mid_answer_what_has_come_plays_on(self):
        async with Booth() as booth:
            await booth.wait(SETTLED)
            booth.provider.will_say(LONG, 20.0, speed=100.0)
            await booth.speak(0.6)
            await booth.state("speaking")
            booth.provider.announce_end(5.0)
            await booth.redialled()
            assert booth.session.turn_state == "speaking"
            await booth.idle()
            assert booth.heard(booth.provider.answers[0].level) == 20_000
            assert booth.voice.spoken == []

    @virtual_time
    async def test_a_provider_that_announces_the_end_at_once_each_time_is_not_dialled_in_a_circle(self):
        async with Booth(idle_timeout=5000.0) as booth:
            for seconds in (30.0, 20.0, 1.0, 1.0, 1.0):
                booth.provider.announce_end(seconds)
                before = len(booth.provider.connections)
                await booth.until(lambda: len(booth.provider.connections) > before)  # noqa: B023
            gaps = [after - before for before, after in pairwise(booth.provider.dialled_at)]
            assert gaps[0] >= 9.0
            assert gaps[1] >= 9.0
            assert booth.session.state == "active"
            await booth.answered(0.6)

    @virtual_time
    async def test_an_end_announced_while_reconnecting_and_again_after_it_breaks_nothing(self):
        async with Booth() as booth:
            await booth.wait(SETTLED)
            booth.microphone.voiced = True
            await booth.wait(0.5)
            booth.provider.announce_end(1.0)
            booth.provider.announce_end(0.5)
            await booth.wait(0.02)
            booth.provider.announce_end(0.2)
            await booth.redialled()
            booth.provider.announce_end(0.0)
            await booth.redialled(2)
            booth.provider.go_down()
            await booth.wait(2.0)
            booth.provider.come_up()
            await booth.wait(1.0)
            booth.microphone.voiced = False
            await booth.state("speaking")
            assert whole(booth, booth.provider, 1)
            assert len(booth.provider.answers) == 1
            await booth.idle()

    @virtual_time
    async def test_an_end_that_finds_the_provider_gone_is_an_outage_like_any_other(self):
        far, near, _ = three()
        async with Booth(providers=[far, near]) as booth:
            await booth.wait(SETTLED)
            far.announce_end(30.0)
            far.refuse(1000)
            await booth.wait(2.0)
            assert booth.session.state == "reconnecting"
            await booth.speak(0.8)
            await answered_by(near, booth)


class TestHandles:
    @virtual_time
    async def test_an_empty_handle_takes_back_the_one_before(self):
        async with Booth() as booth:
            booth.provider.give_handle("h")
            booth.provider.give_handle("")
            await booth.wait(1.0)
            booth.provider.drop()
            await booth.wait(1.0)
            assert booth.provider.setups[-1].handle == ""

    @virtual_time
    async def test_a_handle_belongs_to_its_provider_and_is_stale_once_another_took_part(self):
        far, near, _ = three()
        async with Booth(providers=[far, near]) as booth:
            far.give_handle("far's")
            await booth.wait(0.1)
            far.go_down()
            await booth.speak(0.8)
            await booth.until(lambda: near.answers != [])
            far.come_up()
            await booth.on("a", seconds=60.0)
            assert {setup.handle for setup in near.setups} == {""}
            assert far.setups[1].handle == "far's"
            assert far.setups[-1].handle == ""

    @virtual_time
    async def test_a_handle_that_is_not_taken_is_forgotten_and_the_rung_is_not_refused(self):
        async with Booth() as booth:
            booth.provider.give_handle("worn out")
            await booth.wait(0.1)
            booth.provider.refuse_with(SetupRejected("no such handle"))
            booth.provider.drop()
            await booth.redialled()
            assert [setup.handle for setup in booth.provider.setups] == ["", "worn out", ""]
            assert booth.of(Failed) == []

    @virtual_time
    async def test_a_handle_with_which_every_connection_breaks_is_forgotten(self):
        async with Booth() as booth:
            booth.provider.give_handle("poisoned")
            await booth.wait(SETTLED)
            booth.provider.lives = 0.2
            booth.provider.drop()
            await booth.wait(4.0)
            assert [setup.handle for setup in booth.provider.setups[1:4]] == ["poisoned", "poisoned", ""]


class Stubborn(FakeConnection):
    """Goes on talking after it was told to stop."""

    async def __aiter__(self):
        while True:
            try:
                event = await self._events.get()
            except asyncio.CancelledError:
                continue
            if event is None:
                return
            yield event

    async def close(self) -> None:
        return


class StubbornProvider(FakeProvider):
    async def connect(self, setup):
        connection = Stubborn(self, setup)
        self.connections.append(connection)
        return connection


@virtual_time
async def test_no_sample_of_an_old_connection_is_ever_played():
    provider = StubbornProvider("stubborn")
    async with Booth(providers=[provider]) as booth:
        await booth.speak(0.8)
        await booth.state("thinking")
        provider.announce_end(0.0)
        await booth.until(lambda: len(provider.connections) == 2)
        old = provider.connections[0]
        old.tell(ResponseStarted("late", 1))
        old.tell(ResponseAudio("late", b"\x09\x09" * 16_000, 16_000))
        await booth.idle()
        assert booth.heard(0x0909) == 0
        assert len([answer for answer in provider.answers if answer.connection == 1]) == 1
        for connection in provider.connections:
            connection.cut()
