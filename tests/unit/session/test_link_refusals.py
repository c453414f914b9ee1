"""A session whose providers refuse it, or break over what it tells them: what the person notices, and what is told."""

from itertools import pairwise

import pytest

from appliance.errors import ApplianceError, CredentialsRejected, QuotaExhausted, RateLimited, SetupRejected
from appliance.events import Failed, Warned
from appliance.session.phrases import Phrase, phrase, phrase_for
from tests.fakes.answers import Say
from tests.fakes.provider import RESTORING
from tests.rig.booth import Booth
from tests.rig.virtual_time import virtual_time
from tests.unit.session.outage import (
    DOWN,
    NO_ANSWER,
    NO_CREDIT,
    NO_KEY,
    NO_SERVICE,
    NO_SETUP,
    SETTLED,
    TOO_BUSY,
    answered_by,
    fallen,
    said,
    three,
    told,
    whole,
)

pytestmark = pytest.mark.slow


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


def test_every_refusal_has_a_line_in_each_language():
    faults: list[type[ApplianceError]] = [CredentialsRejected, SetupRejected, QuotaExhausted, RateLimited]
    lines = [phrase_for(fault.code) for fault in faults]
    assert all(isinstance(line, Phrase) for line in lines)
    for line in Phrase:
        assert phrase(line, "de-AT") != phrase(line, "en")
