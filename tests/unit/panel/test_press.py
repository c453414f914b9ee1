"""What a press means: the table, told by its edges, and what holds for whatever a hand or a bad contact does."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.panel.press import PRESSES, Gesture, Phase, Press, Step, Timing, Told

TIMING = Timing(double=0.35, long=1.0, very_long=15.0, stuck=60.0)
OUTCOMES = {Gesture.SINGLE: 1, Gesture.DOUBLE: 2, Gesture.LONG: 1, Gesture.VERY_LONG: 1, Gesture.VOID: 1}


def gestures(*edges: float, until: float = 1000.0, timing: Timing = TIMING) -> list[str]:
    """Down at the first time, up at the second, and so on; then nothing until `until`."""
    press, told = Press(timing), list[Told]()
    for number, at in enumerate(edges):
        told += press.up(at) if number % 2 else press.down(at)
    told += press.look(until)
    return [one.gesture.value for one in told]


@pytest.mark.parametrize(
    ("edges", "told"),
    [
        ((1.0, 1.1), ["pressed", "released", "single"]),
        ((1.0, 1.1, 1.3, 1.4), ["pressed", "released", "pressed", "released", "double"]),
        ((1.0, 1.1, 1.5, 1.6), ["pressed", "released", "single", "pressed", "released", "single"]),
        ((1.0, 3.0), ["pressed", "hold", "released", "long"]),
        ((1.0, 1.1, 1.2, 3.0), ["pressed", "released", "pressed", "single", "hold", "released", "long"]),
        ((1.0, 14.0), ["pressed", "hold", "countdown", "released", "long"]),
        ((1.0, 17.0), ["pressed", "hold", "countdown", "very_long", "released"]),
        ((1.0, 90.0), ["pressed", "hold", "countdown", "very_long", "stuck", "freed"]),
        ((1.0,), ["pressed", "hold", "countdown", "very_long", "stuck"]),
    ],
)
def test_a_press_means_what_it_lasts(edges: tuple[float, ...], told: list[str]):
    assert gestures(*edges) == told


def test_whatever_the_times_are_five_seconds_are_counted():
    press = Press(Timing(long=10.0, very_long=5.0))
    told = {one.gesture.value: one.at for one in (*press.down(0.0), *press.look(50.0))}
    assert told["very_long"] - told["countdown"] == 5.0


def test_three_taps_are_a_double_and_a_single():
    taps = (1.0, 1.1, 1.2, 1.3, 1.4, 1.5)
    assert [g for g in gestures(*taps) if g in ("single", "double")] == ["double", "single"]


def test_each_gesture_tells_how_long_the_button_was_down():
    press = Press(TIMING)
    told = [*press.down(1.0), *press.look(20.0), *press.up(21.0)]
    assert [(one.gesture.value, one.held) for one in told] == [
        ("pressed", 0.0),
        ("hold", 1.0),
        ("countdown", 10.0),
        ("very_long", 15.0),
        ("released", 20.0),
    ]


def test_a_button_that_hangs_after_it_was_pressed_with_another_is_stuck_like_any_other():
    press = Press(TIMING)
    told = [*press.down(1.0), *press.spoil(1.2), *press.look(60.9), *press.look(61.0), *press.up(99.0)]
    assert [one.gesture.value for one in told] == ["pressed", "void", "stuck", "freed"]


def test_two_buttons_at_once_mean_nothing():
    press = Press(TIMING)
    told = [*press.down(1.0), *press.spoil(1.2), *press.look(30.0), *press.up(31.0), *press.look(99.0)]
    assert [one.gesture.value for one in told] == ["pressed", "void"]
    assert press.phase is Phase.UP


def test_a_button_that_was_down_before_anybody_looked_is_stuck_until_it_comes_up():
    press = Press(TIMING)
    press.found_down(1.0)
    told = [*press.look(500.0), *press.up(501.0), *press.down(502.0)]
    assert [one.gesture.value for one in told] == ["freed", "pressed"]


def test_every_phase_has_a_way_out():
    for phase, steps in PRESSES.items():
        assert (Step.DOWN in steps) != (Step.UP in steps), phase


VOID_AND_STUCK = (Gesture.VOID, Gesture.STUCK)
_pauses = st.lists(st.floats(0.001, 100.0), max_size=40)
_timing = st.builds(Timing, st.floats(0.0, 2.0), st.floats(0.3, 10.0), st.floats(10.0, 50.0), st.just(60.0))


@given(_pauses, _timing)
def test_every_press_is_one_thing_and_its_ends_are_told_in_pairs(pauses: list[float], timing: Timing):
    at, edges = 0.0, list[float]()
    for pause in pauses:
        at += pause
        edges.append(at)
    if len(edges) % 2:
        edges.append(at + 1.0)
    told = Counter(gestures(*edges, until=at + 1000.0, timing=timing))
    assert told["pressed"] == len(edges) // 2
    assert sum(times * told[gesture.value] for gesture, times in OUTCOMES.items()) == told["pressed"]
    assert told["released"] + told["freed"] == told["pressed"]
    assert told["stuck"] == told["freed"]


@pytest.mark.slow
@given(_pauses, st.lists(st.floats(0.0, 2000.0), max_size=30))
def test_a_look_that_comes_early_late_or_often_changes_nothing_of_what_is_told(
    pauses: list[float], looks: list[float]
):
    at, edges = 0.0, list[float]()
    for pause in pauses:
        at += pause
        edges.append(at)
    press, told = Press(TIMING), list[str]()
    moments = sorted(
        [(look, None) for look in looks if look < at] + [(t, n) for n, t in enumerate(edges)],
        key=lambda m: m[0],
    )
    for moment, number in moments:
        heard = (
            press.look(moment) if number is None else press.up(moment) if number % 2 else press.down(moment)
        )
        told += [one.gesture.value for one in heard]
    told += [one.gesture.value for one in press.look(at + 1000.0)]
    assert told == gestures(*edges, until=at + 1000.0)


@pytest.mark.slow
@given(st.lists(st.tuples(st.sampled_from(list(Step)), st.floats(0.0, 20.0)), max_size=40))
def test_whatever_comes_in_whatever_order_a_press_and_its_end_alternate(steps: list[tuple[Step, float]]):
    press, at, told = Press(TIMING), 0.0, list[Gesture]()
    does = {Step.DOWN: press.down, Step.UP: press.up, Step.SPOIL: press.spoil, Step.TIMEOUT: press.look}
    for step, pause in steps:
        at += pause
        told += [one.gesture for one in does[step](at)]
    ends = [one for one in told if one in (Gesture.PRESSED, Gesture.RELEASED, Gesture.STUCK, Gesture.VOID)]
    # A void press is over; that its button hangs besides is news of the button.
    ends = [one for one, before in zip(ends, [None, *ends], strict=False) if (before, one) != VOID_AND_STUCK]
    assert ends[::2] == [Gesture.PRESSED] * len(ends[::2])
    assert Gesture.PRESSED not in ends[1::2]
