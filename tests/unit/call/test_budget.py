"""What agents may dial in a day."""

import math

from appliance.call.budget import Ceiling, DialBudget

MONDAY, TUESDAY = "2026-03-02", "2026-03-03"


def test_without_a_ceiling_nothing_is_refused() -> None:
    budget = DialBudget(Ceiling())
    for _ in range(1000):
        assert budget.refusal("201", MONDAY) is None
        budget.dialled("201", MONDAY)
    assert budget.seconds_left(MONDAY) == math.inf


def test_the_calls_of_a_day_are_counted_and_the_next_day_begins_anew() -> None:
    budget = DialBudget(Ceiling(calls=2))
    for number in ("201", "202"):
        assert budget.refusal(number, MONDAY) is None
        budget.dialled(number, MONDAY)
    refused = budget.refusal("203", MONDAY)
    assert refused is not None
    assert "dials_per_day" in refused.hint
    assert budget.refusal("203", TUESDAY) is None


def test_one_number_is_not_called_for_ever() -> None:
    budget = DialBudget(Ceiling(calls_to_one=1))
    budget.dialled("201", MONDAY)
    assert budget.refusal("201", MONDAY) is not None
    assert budget.refusal("202", MONDAY) is None


def test_minutes_run_down() -> None:
    budget = DialBudget(Ceiling(minutes=1))
    budget.talked(40, MONDAY)
    assert budget.seconds_left(MONDAY) == 20
    assert budget.refusal("201", MONDAY) is None
    budget.talked(30, MONDAY)
    assert budget.seconds_left(MONDAY) == 0
    assert budget.refusal("201", MONDAY) is not None


def test_what_was_dialled_before_a_restart_counts() -> None:
    budget = DialBudget(Ceiling(calls=2, minutes=2))
    budget.load(MONDAY, [("201", 30.0), ("202", 50.0)])
    assert budget.refusal("203", MONDAY) is not None
    assert budget.seconds_left(MONDAY) == 40
