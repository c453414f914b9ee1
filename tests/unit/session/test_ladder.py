"""Which provider is dialled next, when, and for how long; what is known of each; when one is renewed."""

import math
import random

import pytest

from appliance.errors import (
    ApplianceError,
    CredentialsRejected,
    DriverMissing,
    GivenUp,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    RequestInvalid,
    SetupRejected,
)
from appliance.session.ladder import Ladder
from appliance.session.renewal import Renewal
from appliance.session.standing import Standings, rest_after

AWAY = ProviderUnavailable("not there")
KEY = CredentialsRejected("wrong key")


def ladder(*names: str, fallback_after: float = 3.0, standings: Standings | None = None) -> Ladder:
    return Ladder(names or ("a",), fallback_after, standings or Standings(), random.Random(0))


def delays_of(made: Ladder, now: float, times: int, *, waited_for: bool = False) -> list[float]:
    """The delays after so many dials that each fail at once."""
    delays = []
    for _ in range(times):
        delays.append(made.failed(AWAY, now, waited_for=waited_for))
        now += delays[-1]
    return delays


@pytest.mark.parametrize(
    ("fault", "times", "seconds"),
    [
        (AWAY, 0, 0),
        (RateLimited("slow down", retry_after=30.0), 1, 30),
        (RateLimited("slow down", retry_after=0.0), 1, 0),
        (RateLimited("slow down", retry_after=1e12), 1, 3600),
        (RateLimited("slow down", retry_after=-4.0), 1, 5),
        (RateLimited("slow down", retry_after=math.nan), 1, 5),
        (RateLimited("slow down"), 1, 5),
        (RateLimited("slow down"), 2, 10),
        (RateLimited("slow down"), 3, 20),
        (RateLimited("slow down"), 99, 120),
        (QuotaExhausted("empty"), 0, 900),
        (KEY, 1, 60),
        (KEY, 2, 300),
        (KEY, 3, 900),
        (KEY, 99, 900),
        (SetupRejected("no such model"), 1, 60),
        (RequestInvalid("odd"), 1, 60),
        (DriverMissing("no library"), 1, math.inf),
    ],
)
def test_each_fault_has_its_rest(fault: ApplianceError, times: int, seconds: float):
    assert rest_after(fault, times) == seconds


class TestStandings:
    def test_rate_limits_in_a_row_double_and_a_late_one_begins_anew(self):
        standings = Standings()
        standings.failed("a", RateLimited("slow down"), 100.0)
        assert not standings.free("a", 104.9)
        standings.failed("a", RateLimited("slow down"), 106.0)
        assert not standings.free("a", 115.9)
        assert standings.free("a", 116.0)
        standings.rose("a")
        standings.failed("a", RateLimited("slow down"), 300.0)
        assert standings.free("a", 305.0)

    def test_a_dial_that_ran_out_of_time_says_nothing_against_a_refusal(self):
        standings = Standings()
        standings.failed("a", KEY, 100.0)
        standings.failed("a", AWAY, 101.0)
        assert (standings.of("a").code, standings.free("a", 159.9)) == ("credentials_rejected", False)

    def test_one_that_refuses_is_asked_again_ever_more_seldom(self):
        standings, now, waits = Standings(), 100.0, []
        for _ in range(4):
            standings.failed("a", KEY, now)
            began = now
            while not standings.free("a", now):
                now += 1.0
            waits.append(now - began)
        assert waits == [60, 300, 900, 900]

    def test_dials_side_by_side_that_are_refused_are_one_refusal(self):
        standings = Standings()
        standings.failed("a", KEY, 100.0)
        standings.failed("a", KEY, 100.2)
        standings.failed("a", KEY, 161.0)
        assert not standings.free("a", 460.0)
        assert standings.free("a", 461.0)

    def test_a_connection_or_a_new_configuration_forgets_a_refusal(self):
        standings = Standings()
        for forget in (lambda: standings.rose("a"), standings.clear):
            standings.failed("a", KEY, 100.0)
            forget()
            assert standings.free("a", 100.0)
            assert not standings.shunned("a", 100.0)
            assert standings.of("a").code == ""


class TestBackoff:
    def test_the_first_dial_comes_at_once_and_then_four_a_second_for_five_seconds(self):
        made = ladder()
        made.rose(0.0)
        assert made.fell(AWAY, 100.0, waited_for=True) == 0
        delays = delays_of(made, 100.0, 20)
        assert all(0.2 <= delay <= 0.25 for delay in delays)
        assert 4 <= sum(delays) <= 5

    def test_then_delays_double_to_ten_seconds_with_jitter_without_end(self):
        made = ladder()
        made.start(0.0)
        delays = delays_of(made, 5.0, 200)
        for delay, nominal in zip(delays, [0.5, 1, 2, 4, 8, *[10] * 195], strict=True):
            assert 0.8 * nominal <= delay <= 1.2 * nominal

    def test_a_flapping_connection_is_dialled_ever_more_seldom(self):
        made = ladder()
        now, delays = 0.0, []
        for _ in range(10):
            made.rose(now)
            delays.append(made.fell(AWAY, now + 1.0, waited_for=True))
            now += 1.0 + delays[-1]
        for delay, nominal in zip(delays, [0, 0.25, 0.5, 1, 2, 4, 8, 10, 10, 10], strict=True):
            assert 0.8 * nominal <= delay <= 1.2 * nominal
        made.rose(now)
        assert made.fell(AWAY, now + 6.0, waited_for=True) == 0

    def test_a_dial_is_given_more_time_the_more_have_failed(self):
        made = ladder()
        made.start(0.0)
        given = []
        for _ in range(6):
            given.append(made.patience(0.0, waited_for=True))
            made.failed(AWAY, 0.0, waited_for=True)
        assert given == [2.5, 2.5, 4.0, 6.0, 10.0, 10.0]


class TestFalling:
    def test_the_next_rung_is_taken_after_fallback_after(self):
        made = ladder("a", "b")
        made.start(0.0)
        assert made.failed(AWAY, 2.9, waited_for=True) > 0
        assert made.rung == 0
        assert made.failed(AWAY, 3.0, waited_for=True) == 0
        assert made.rung == 1

    def test_but_only_while_somebody_waits(self):
        made = ladder("a", "b")
        made.start(0.0)
        delays_of(made, 0.0, 40, waited_for=False)
        assert made.rung == 0
        assert made.hurry(1000.0) == 0
        assert made.rung == 1

    def test_a_dial_may_take_no_longer_than_until_the_next_rung_is_due(self):
        made = ladder("a", "b")
        made.start(10.0)
        assert made.patience(10.0, waited_for=True) == 2.5
        assert made.patience(12.0, waited_for=True) == 1.0
        assert made.patience(12.0, waited_for=False) == 2.5
        assert made.patience(20.0, waited_for=True) == 0.1

    def test_who_begins_to_wait_is_served_at_once_where_there_is_one_rung_too(self):
        made = ladder()
        made.start(0.0)
        delays_of(made, 0.0, 40)
        assert made.hurry(1000.0) == 0

    def test_a_flapping_connection_is_not_hurried(self):
        made = ladder()
        for now in (0.0, 1.0):
            made.rose(now)
            made.fell(AWAY, now, waited_for=True)
        assert made.hurry(1.1) is None

    def test_a_rung_that_flaps_gives_way(self):
        made = ladder("a", "b")
        for now in (0.0, 1.0, 2.0):
            made.rose(now)
            made.fell(AWAY, now + 0.5, waited_for=True)
        assert made.rung == 1

    def test_three_rungs_out_of_reach_are_tried_round_and_round_ever_slower(self):
        made = ladder("a", "b", "c")
        now, rungs, delay = made.start(0.0), [], 0.0
        for _ in range(200):
            rungs.append(made.rung)
            delay = made.failed(AWAY, now, waited_for=True)
            now += delay
        assert sorted(set(rungs)) == [0, 1, 2]
        changes = [rung for rung, before in zip(rungs[1:], rungs, strict=False) if rung != before]
        assert changes[:6] == [1, 2, 0, 1, 2, 0]
        assert now > 1000

    def test_a_rung_that_refuses_gives_way_at_once_and_is_left_out(self):
        made = ladder("a", "b", "c")
        made.start(0.0)
        assert made.failed(KEY, 0.1, waited_for=False) == 0
        assert made.rung == 1
        for now in range(1, 60):
            made.failed(AWAY, float(now), waited_for=True)
            assert made.rung != 0

    def test_when_all_refuse_they_rest_until_the_configuration_is_read_again_or_a_minute_passed(self):
        standings = Standings()
        made = ladder("a", "b", "c", standings=standings)
        made.start(0.0)
        delays = [made.failed(KEY, 1.0, waited_for=True) for _ in range(3)]
        assert delays == [0, 0, 60]
        assert made.hurry(50.0) is None
        standings.clear()
        assert made.start(50.0) == 0
        assert made.rung == 0

    def test_without_its_library_a_rung_is_not_dialled_until_the_configuration_is_read_again(self):
        made = ladder()
        made.start(0.0)
        assert made.failed(DriverMissing("no library"), 1.0, waited_for=True) == math.inf

    def test_when_all_refuse_the_one_that_may_be_tried_first_is_waited_for(self):
        made = ladder("a", "b", "c")
        made.start(0.0)
        made.failed(KEY, 1.0, waited_for=True)
        made.failed(RateLimited("slow down", retry_after=40.0), 1.0, waited_for=True)
        assert made.failed(QuotaExhausted("empty"), 1.0, waited_for=True) == 40.0
        assert made.rung == 1

    def test_a_connection_that_ends_in_a_refusal_gives_way_too(self):
        made = ladder("a", "b")
        made.rose(0.0)
        assert made.fell(QuotaExhausted("empty"), 100.0, waited_for=False) == 0
        assert made.rung == 1

    def test_one_that_has_tried_all_that_it_has_gives_way_at_once(self):
        tried = ladder("a", "b")
        tried.start(100.0)
        tried.rose(100.0)
        assert tried.fell(GivenUp("no model answers"), 103.0, waited_for=True) == 0.0
        assert tried.rung == 1
        fresh = ladder("a", "b")
        fresh.start(100.0)
        assert fresh.failed(GivenUp("no model answers"), 100.1, waited_for=True) == 0.0
        assert fresh.rung == 1


class TestTogether:
    def test_what_one_session_was_refused_another_does_not_try(self):
        standings = Standings()
        first, second = (ladder("a", "b", standings=standings) for _ in range(2))
        first.start(0.0)
        first.failed(KEY, 0.1, waited_for=True)
        second.start(5.0)
        assert second.rung == 1

    def test_a_rung_that_refused_is_nothing_to_begin_with_but_one_to_look_for(self):
        standings = Standings()
        first, second = (ladder("a", "b", standings=standings) for _ in range(2))
        first.start(0.0)
        first.failed(KEY, 0.0, waited_for=True)
        second.start(100.0)
        second.rose(100.0)
        assert (second.rung, second.higher(110.0)) == (1, (0,))
        first.rung = 0
        first.rose(120.0)
        third = ladder("a", "b", standings=standings)
        third.start(121.0)
        assert third.rung == 0

    def test_what_one_session_found_out_of_reach_another_does_not_begin_with_for_a_while(self):
        standings = Standings()
        first = ladder("a", "b", standings=standings)
        first.start(0.0)
        first.failed(AWAY, 3.0, waited_for=True)
        for now, rung in ((4.0, 1), (17.9, 1), (18.1, 0)):
            later = ladder("a", "b", standings=standings)
            assert later.start(now) == 0
            assert later.rung == rung

    def test_but_where_all_are_out_of_reach_it_begins_with_the_best(self):
        standings = Standings()
        first = ladder("a", "b", standings=standings)
        first.start(0.0)
        first.failed(AWAY, 3.0, waited_for=True)
        first.failed(AWAY, 6.0, waited_for=True)
        later = ladder("a", "b", standings=standings)
        later.start(7.0)
        assert later.rung == 0


class TestClimbing:
    def on_second_rung(self, *names: str, standings: Standings | None = None) -> Ladder:
        made = ladder(*names, standings=standings)
        made.start(0.0)
        made.failed(AWAY, 3.0, waited_for=True)
        made.rose(3.0)
        return made

    def test_the_higher_rungs_are_looked_for_after_ten_seconds_and_then_ever_more_seldom(self):
        made = self.on_second_rung("a", "b")
        now, waits = 3.0, []
        for _ in range(6):
            begun = now
            while not made.higher(now):
                now += 0.5
            waits.append(now - begun)
            made.unreached(0, AWAY, now)
            made.looked_in_vain(now)
        assert waits == [10, 20, 40, 80, 120, 120]

    def test_the_best_is_looked_for_first_and_what_refuses_not_at_all(self):
        made = self.on_second_rung("a", "b", "c")
        made.failed(AWAY, 6.0, waited_for=True)
        made.rose(6.0)
        assert (made.rung, made.higher(16.0)) == (2, (0, 1))
        made.unreached(0, QuotaExhausted("empty"), 16.0)
        made.looked_in_vain(16.0)
        assert made.higher(36.0) == (1,)
        assert made.higher(16.0 + 900.0) == (0, 1)

    def test_a_moment_that_was_missed_makes_no_wait_longer(self):
        made = self.on_second_rung("a", "b")
        made.missed_moment(13.0)
        assert made.higher(14.9) == ()
        assert made.higher(15.0) == (0,)

    def test_a_rung_that_does_not_hold_after_a_climb_is_looked_for_later(self):
        made = self.on_second_rung("a", "b")
        made.climb(0)
        made.rose(13.0)
        made.fell(AWAY, 23.0, waited_for=True)
        made.failed(AWAY, 26.0, waited_for=True)
        made.rose(26.0)
        assert made.higher(36.0) == ()
        assert made.higher(46.0) == (0,)

    def test_and_one_that_held_for_a_minute_as_soon_as_ever(self):
        made = self.on_second_rung("a", "b")
        made.looked_in_vain(13.0)
        made.climb(0)
        made.rose(33.0)
        made.fell(AWAY, 100.0, waited_for=True)
        made.failed(AWAY, 103.0, waited_for=True)
        made.rose(103.0)
        assert made.higher(113.0) == (0,)


class TestRenewal:
    @pytest.mark.parametrize(
        ("announced", "quiet_for", "seconds", "renewed"),
        [
            (None, 100.0, 1000.0, False),
            (30.0, 0.6, 0.0, True),
            (30.0, 0.4, 0.0, False),
            (30.0, -1.0, 27.0, False),
            (30.0, -1.0, 27.5, True),
            (2.0, -1.0, 0.0, True),
            (-5.0, -1.0, 0.0, True),
            (math.nan, -1.0, 0.0, True),
        ],
    )
    def test_in_a_pause_or_shortly_before_the_end(self, announced, quiet_for, seconds, renewed):
        renewal = Renewal(0.0)
        if announced is not None:
            renewal.due(announced, 100.0)
        assert renewal.now(quiet_for, 100.0 + seconds) == renewed

    def test_of_several_announcements_the_soonest_counts(self):
        renewal = Renewal(0.0)
        renewal.due(10.0, 100.0)
        renewal.due(60.0, 100.0)
        assert renewal.now(-1.0, 107.5)

    def test_a_young_connection_waits_for_its_last_moment(self):
        renewal = Renewal(100.0)
        renewal.due(20.0, 100.1)
        assert not renewal.now(5.0, 105.0)
        assert renewal.now(5.0, 110.0)
