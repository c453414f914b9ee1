"""A session's connection over outages, refusals, renewals and rungs: what the person notices, and what is told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from appliance.config.schema import Room
from appliance.errors import (
    ApplianceError,
    CredentialsRejected,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    SetupRejected,
)
from appliance.events import Failed, ProviderChanged, SessionStateChanged, Warned
from appliance.interfaces import Capabilities, HistoryItem, LineKind, ResponseAudio, ResponseStarted
from appliance.session.phrases import Phrase, phrase, phrase_for
from tests.fakes.provider import FAST, RESTORING, FakeConnection, FakeProvider, Say
from tests.rig.booth import Booth
from tests.rig.virtual_time import virtual_time

pytestmark = pytest.mark.slow

NO_KEY = "A speech service does not accept my key. Please have it checked."
NO_SETUP = "A speech service does not accept my settings. Please have them checked."
NO_CREDIT = "The credit of a speech service is used up."
TOO_BUSY = "A speech service is too busy just now."
DOWN = "I have lost the connection and go on another way."
OUTAGE = "I have no connection just now. I keep trying."
NO_ANSWER = "Sorry, I did not get an answer. Please try again."
NO_SERVICE = "Sorry, I cannot answer at the moment."
SETTLED = 12.0
LONG = "one two three four five six seven eight nine ten"


def three() -> list[FakeProvider]:
    return [FakeProvider(name, first_level=1000 * rung + 500) for rung, name in enumerate("abc")]


def numbers(frames: list[bytes]) -> list[int]:
    return [int.from_bytes(frame[:2], "little") for frame in frames]


def whole(booth: Booth, provider: FakeProvider, turn: int) -> bool:
    """The newest connection has got all that the person said last, in order, nothing twice."""
    got = numbers(provider.turns[turn].frames)
    said = booth.microphone.voiced_frames
    return set(said[-10:]) <= set(got) and got == list(range(got[0], got[0] + len(got)))


async def all_is_answered(booth: Booth) -> None:
    """The person, who has said but one thing, stops: all of it came, in order, nothing twice, and is answered."""
    booth.microphone.voiced = False
    await booth.state("speaking")
    assert set(booth.microphone.voiced_frames) <= set(numbers(booth.provider.turns[1].frames))
    assert whole(booth, booth.provider, 1)


async def answered_by(provider: FakeProvider, booth: Booth, seconds: float = 30.0) -> None:
    """It is another that answers the first turn, and it was given all of it."""
    await booth.until(lambda: provider.answers != [], seconds)
    await booth.idle()
    assert whole(booth, provider, 1)


@asynccontextmanager
async def fallen(far: FakeProvider, near: FakeProvider, **conversation: Any) -> AsyncIterator[Booth]:
    """A session that found `far` out of reach, and went on with `near`."""
    far.go_down()
    async with Booth(providers=[far, near], open_session=False, **conversation) as booth:
        booth.lines.open_session(booth.line)
        await booth.on("b")
        yield booth


def said(provider: FakeProvider) -> list[str]:
    """The history that its newest connection began with."""
    history = provider.connection.setup.history
    return [item.text for item in history if isinstance(item, HistoryItem)]


def states(booth: Booth) -> list[tuple[str, str]]:
    return [(event.to, event.reason) for event in booth.of(SessionStateChanged)]


def told(booth: Booth) -> list[tuple[str, str, str]]:
    return [(event.provider, event.state, event.code) for event in booth.of(ProviderChanged)]


class TestFaults:
    @pytest.mark.parametrize(
        ("fault", "line"),
        [
            (CredentialsRejected("wrong key"), NO_KEY),
            (SetupRejected("no such model"), NO_SETUP),
            (QuotaExhausted("empty"), NO_CREDIT),
            (RateLimited("slow down"), TOO_BUSY),
        ],
    )
    def test_each_refusal_goes_on_with_the_next_rung_at_once_and_is_told_once(self, fault, line):
        @virtual_time
        async def story():
            far, near, _ = three()
            far.refuse_with(fault)
            async with Booth(providers=[far, near], open_session=False) as booth:
                booth.lines.open_session(booth.line)
                assert await booth.active() < 0.3
                assert (booth.session.provider, booth.session.rung) == ("b", 1)
                await booth.idle()
                await booth.wait(4.0)
                assert booth.voice.spoken == [line]
                assert told(booth) == [("a", "down", fault.code), ("b", "up", "")]
                [error] = booth.of(Failed)
                assert (error.code, error.message) == (fault.code, fault.message)
                assert error.hint == fault.hint

        story()

    @virtual_time
    async def test_when_all_refuse_they_are_dialled_seldom_and_each_question_gets_a_word(self):
        providers = three()
        for provider in providers:
            provider.refuse_with(*[CredentialsRejected(f"{provider.name}: wrong key")] * 9)
        async with Booth(providers=providers, open_session=False, idle_timeout=9000.0) as booth:
            booth.lines.open_session(booth.line)
            await booth.wait(3600)
            # After 1 minute, 5 more, and then every 15.
            assert [provider.dials for provider in providers] == [6, 6, 6]
            assert [event.code for event in booth.of(Failed)] == ["credentials_rejected"] * 3
            await booth.speak(0.8)
            assert await booth.state("speaking") < 2.5
            await booth.idle()
            assert booth.voice.spoken == [NO_KEY, NO_SERVICE]

    @virtual_time
    async def test_a_good_key_that_was_refused_once_is_taken_again_after_a_minute_without_a_word(self):
        far, near, _ = three()
        far.refuse_with(CredentialsRejected("wrong key"))
        async with Booth(providers=[far, near], idle_timeout=5000.0) as booth:
            assert booth.session.provider == "b"
            took = await booth.on("a", seconds=90.0)
            assert 55.0 <= took <= 65.0
            assert far.dials == 2
            assert booth.voice.spoken == [NO_KEY]

    @virtual_time
    async def test_so_is_that_of_the_only_provider(self):
        async with Booth(open_session=False, idle_timeout=5000.0) as booth:
            booth.provider.refuse_with(SetupRejected("no such model"))
            booth.lines.open_session(booth.line)
            took = await booth.active(seconds=90.0)
            assert 59.0 <= took <= 61.0
            await booth.speak(0.8)
            await booth.until(lambda: booth.provider.answers != [])
            assert booth.voice.spoken == [NO_SETUP]

    @virtual_time
    async def test_a_session_that_begins_where_all_have_refused_says_why(self):
        providers = three()[:1]
        providers[0].refuse_with(CredentialsRejected("wrong key"))
        async with Booth(providers=providers, open_session=False) as booth:
            booth.lines.open_session(booth.line)
            await booth.wait(10.0)
            booth.another_session()
            await booth.wait(10.0)
            assert providers[0].dials == 1
            assert booth.voice.spoken == [NO_KEY, NO_KEY]

    @virtual_time
    async def test_after_a_reload_what_was_refused_is_tried_again_at_once(self):
        providers = three()
        for provider in providers:
            provider.refuse_with(CredentialsRejected("wrong key"))
        async with Booth(providers=providers, open_session=False) as booth:
            booth.lines.open_session(booth.line)
            await booth.wait(100)
            booth.lines.redial()
            assert await booth.active() < 0.2
            assert booth.session.provider == "a"

    @virtual_time
    async def test_after_a_reload_a_session_on_a_lower_rung_climbs_soon(self):
        far, near, _ = three()
        far.refuse_with(CredentialsRejected("wrong key"))
        async with Booth(providers=[far, near]) as booth:
            await booth.wait(30.0)
            assert booth.session.provider == "b"
            booth.lines.redial()
            await booth.on("a", seconds=3.0)

    @virtual_time
    async def test_a_rate_limit_is_heeded_for_as_long_as_it_says(self):
        async with Booth(open_session=False) as booth:
            booth.provider.refuse_with(
                RateLimited("slow down", retry_after=7.0), RateLimited("slow down"), RateLimited("slow down")
            )
            booth.lines.open_session(booth.line)
            await booth.active(seconds=60.0)
            gaps = [after - before for before, after in pairwise(booth.provider.dialled_at)]
            assert gaps == pytest.approx([7.05, 10.05, 20.05], abs=0.02)
            assert booth.voice.spoken == [TOO_BUSY]

    @virtual_time
    async def test_a_limited_rung_is_looked_for_again_when_its_time_is_over(self):
        far, near, _ = three()
        far.refuse_with(RateLimited("slow down", retry_after=30.0))
        async with Booth(providers=[far, near]) as booth:
            assert booth.session.provider == "b"
            took = await booth.on("a", seconds=60.0)
            assert 29.0 <= took <= 32.0
            assert far.dials == 2

    @virtual_time
    async def test_a_connection_that_ends_for_want_of_credit_goes_on_with_the_next(self):
        far, near, _ = three()
        async with Booth(providers=[far, near], idle_timeout=5000.0) as booth:
            far.will_not_answer()
            await booth.speak(0.8)
            await booth.state("thinking")
            far.break_off(QuotaExhausted("empty", hint="pay"))
            await answered_by(near, booth)
            assert booth.voice.spoken == [NO_CREDIT]
            assert [(event.code, event.hint) for event in booth.of(Failed)] == [("quota_exhausted", "pay")]
            await booth.wait(800)
            assert far.dials == 1
            await booth.on("a", seconds=250.0)

    @virtual_time
    async def test_what_one_session_was_refused_another_does_not_try(self):
        far, near, _ = three()
        far.refuse_with(CredentialsRejected("wrong key"))
        async with Booth(providers=[far, near]) as booth:
            session = booth.another_session()
            await booth.until(lambda: session.state == "active")
            assert (session.provider, far.dials) == ("b", 1)

    @virtual_time
    async def test_what_one_session_found_out_of_reach_another_does_not_begin_with(self):
        far, near, _ = three()
        async with fallen(far, near) as booth:
            dials = far.dials
            session = booth.another_session()
            assert await booth.until(lambda: session.state == "active") < 0.1
            assert (session.provider, far.dials) == ("b", dials)
            far.come_up()
            await booth.until(lambda: session.provider == "a", seconds=15.0)


class TestHistoriesThatBreakConnections:
    @virtual_time
    async def test_a_history_that_ends_every_connection_is_left_out(self):
        async with Booth() as booth:
            await booth.answered()
            await booth.wait(SETTLED)
            booth.provider.break_on_history()
            booth.provider.drop()
            await booth.until(lambda: not booth.provider.setups[-1].history, seconds=30.0)
            await booth.wait(SETTLED)
            assert len(booth.provider.connections) == 8
            await booth.answered()
            assert booth.words() == ["turn 1", "Yes.", "turn 2", "Yes."]
            assert "history_left_out" in [event.code for event in booth.of(Warned)]

    @virtual_time
    async def test_it_is_tried_again_once_a_connection_has_lasted(self):
        async with Booth() as booth:
            await booth.answered()
            booth.provider.lives = 0.2
            booth.provider.drop()
            await booth.until(lambda: len(booth.provider.setups) > 8, seconds=60.0)
            booth.provider.lives = None
            await booth.wait(SETTLED)
            before = len(booth.provider.connections)
            booth.provider.drop()
            await booth.until(lambda: len(booth.provider.connections) > before)
            assert said(booth.provider) == ["turn 1", "Yes."]


class TestTurnsThatBreakConnections:
    @virtual_time
    async def test_a_turn_that_ends_every_connection_is_given_up_aloud_and_the_next_is_answered(self):
        async with Booth() as booth:
            booth.provider.break_on_turns()
            await booth.answered(seconds=15.0)
            await booth.active(seconds=15.0)
            given = [one for one in booth.provider.connections if 1 in one.turns]
            assert len(given) == 5
            assert booth.voice.spoken == [NO_ANSWER]
            assert [event.code for event in booth.of(Warned)] == ["turn_given_up", "no_answer"]
            assert booth.session.counters()["turns_given_up"] == 1
            assert booth.words() == ["turn 1", NO_ANSWER]
            booth.provider.break_on_turns(breaks=False)
            await booth.answered(seconds=15.0)
            assert booth.words() == ["turn 1", NO_ANSWER, "turn 2", "Yes."]

    @virtual_time
    async def test_the_same_holds_for_what_is_typed(self):
        async with Booth() as booth:
            booth.provider.break_on_turns()
            booth.session.send_text("Crash.")
            await booth.idle(15.0)
            assert booth.voice.spoken == [NO_ANSWER]
            assert booth.words() == ["Crash.", NO_ANSWER]

    @virtual_time
    async def test_another_rung_is_given_such_a_turn_before_it_is_given_up(self):
        far, near, _ = three()
        far.break_on_turns()
        async with Booth(providers=[far, near]) as booth:
            await booth.speak(0.8)
            await answered_by(near, booth, seconds=10.0)
            assert booth.voice.spoken == [DOWN]
            assert booth.session.counters()["turns_given_up"] == 0


class TestMuteProviders:
    @virtual_time
    async def test_a_tool_result_that_nothing_comes_of_is_given_to_the_next_connection(self):
        async with Booth(capabilities=RESTORING) as booth:
            booth.provider.will_call("time_now", {}, then=Say("Never said.", 1.0, think=60.0))
            await booth.speak(0.8)
            await booth.until(lambda: booth.provider.tool_results != [])
            [call_id] = booth.provider.tool_calls
            booth.provider.plans[call_id] = 1, Say("It is noon.", 1.0)
            assert 19.0 < await booth.state("speaking", seconds=60.0) < 23.0
            await booth.idle()
            assert booth.words() == ["turn 1", "It is noon."]
            assert [result.call_id for result in booth.provider.tool_results] == [call_id, call_id]
            assert booth.clock.begun == 1

    @virtual_time
    async def test_the_next_rung_answers_what_a_connection_does_not(self):
        far, near, _ = three()
        far.will_not_answer()
        async with Booth(providers=[far, near]) as booth:
            await booth.speak(0.8)
            assert await booth.until(lambda: near.answers != []) < 22.0
            await booth.idle()
            assert whole(booth, near, 1)
            assert booth.voice.spoken == [DOWN]
            assert far.connection.closed
            await booth.on("a", seconds=15.0)


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
        assert len([record for record in caplog.records if record.exc_info]) == 1


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


def test_every_refusal_has_a_line_in_each_language():
    faults: list[type[ApplianceError]] = [CredentialsRejected, SetupRejected, QuotaExhausted, RateLimited]
    lines = [phrase_for(fault.code) for fault in faults]
    assert all(isinstance(line, Phrase) for line in lines)
    for line in Phrase:
        assert phrase(line, "de-AT") != phrase(line, "en")
