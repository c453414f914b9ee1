"""What a bad network does to packets is decided by its seed, and as bad as it was asked to be."""

import random

import pytest

from tests.rig.bad_network import HELD_BACK_SECONDS, Conditions, fate

COUNT = 20_000


def fates(conditions: Conditions, seed: int = 1, count: int = COUNT) -> list[tuple[float, ...]]:
    chance = random.Random(seed)
    return [fate(conditions, chance) for _ in range(count)]


def test_a_good_one_brings_everything_at_once() -> None:
    assert set(fates(Conditions())) == {(0.0,)}


def test_the_shares_are_those_that_were_asked_for() -> None:
    seen = fates(Conditions(loss=0.1, delay_ms=100, jitter_ms=40, held_back=0.05, doubled=0.02))
    came = [times for times in seen if times]
    assert len(seen) - len(came) == pytest.approx(0.1 * COUNT, rel=0.1)
    assert sum(len(times) == 2 for times in came) == pytest.approx(0.02 * len(came), rel=0.2)
    assert sum(times[0] >= 0.15 for times in came) == pytest.approx(0.05 * len(came), rel=0.15)
    assert min(times[0] for times in came) >= 0.1
    assert max(times[0] for times in came) <= 0.19


def test_none_overtakes_another_but_behind_one_that_was_held_back() -> None:
    conditions = Conditions(delay_ms=20, jitter_ms=100, held_back=0.5)
    chance = random.Random(3)
    times = [fate(conditions, chance, 0.12)[0] for _ in range(COUNT)]
    assert {round(time, 3) for time in times} == {0.12, round(0.12 + HELD_BACK_SECONDS, 3)}


def test_one_seed_is_one_course_and_another_condition_leaves_the_rest_of_it() -> None:
    lossy, worse = Conditions(loss=0.1), Conditions(loss=0.1, jitter_ms=80, doubled=0.5)
    course = fates(lossy, count=2_000)
    assert course == fates(lossy, count=2_000)
    assert course != fates(lossy, seed=2, count=2_000)
    assert [not times for times in course] == [not times for times in fates(worse, count=2_000)]
