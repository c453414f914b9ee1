"""One table from state to light."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.panel.lights import DARK, LIGHTS, Effect, Facts, Pattern, lamp, lasts, ring, shown

PATTERNS = [row.pattern for row in LIGHTS]


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        (Facts(), "idle"),
        (Facts(turn="listening"), "listening"),
        (Facts(turn="thinking"), "thinking"),
        (Facts(turn="speaking"), "speaking"),
        (Facts(turn="speaking", muted=True), "muted"),
        (Facts(turn="listening", ready=False), "listening"),
        (Facts(ready=False), "fault"),
        (Facts(ready=False, starting=True), "starting"),
        (Facts(unreachable=True), "unreachable"),
        (Facts(device_lost=True, ready=False, unreachable=True), "device_lost"),
        (Facts(device_lost=True, muted=True), "muted"),
        (Facts(device_lost=True, power_low=True), "power_low"),
        (Facts(awake=False), "asleep"),
        (Facts(awake=True), "awake"),
        (Facts(awake=True, turn="listening"), "listening"),
        (Facts(awake=False, unreachable=True), "unreachable"),
        (Facts(in_call=True), "in_call"),
        (Facts(ringing=True, muted=True), "ringing"),
        (Facts(setup=True, ready=False), "setup"),
        (Facts(setup=True, settings="faulty"), "setup"),
        (Facts(settings="taken", starting=True), "settings_taken"),
        (Facts(settings="faulty", power_low=True), "settings_faulty"),
        (Facts(countdown=True, muted=True, turn="listening"), "countdown"),
        (Facts(resetting=True, countdown=True), "resetting"),
    ],
)
def test_what_matters_most_is_shown(facts: Facts, name: str):
    assert shown(facts).name == name


def test_no_two_conditions_look_the_same_also_to_who_sees_no_colours():
    looks = [(pattern.effect, pattern.period, pattern.colour == DARK) for pattern in PATTERNS]
    assert len(set(looks)) == len(looks)


@pytest.mark.parametrize("row", LIGHTS, ids=lambda row: row.name)
def test_a_light_stays_as_it_is_as_long_as_it_says(row):
    pattern, at = row.pattern, 0.0
    for _ in range(40):
        rest = lasts(pattern, at)
        if rest is None:
            assert lamp(pattern, at) == lamp(pattern, at + 1000)
            return
        assert 0.0 < rest <= pattern.period
        if pattern.effect in (Effect.BLINK, Effect.FLASH, Effect.WINK):
            assert lamp(pattern, at) == lamp(pattern, at + rest - 0.002)
            assert lamp(pattern, at) != lamp(pattern, at + rest)
        at += rest


@given(st.sampled_from(PATTERNS), st.floats(0.0, 1e6), st.integers(1, 64))
def test_every_colour_is_one_that_a_led_has(pattern: Pattern, at: float, leds: int):
    colours = (lamp(pattern, at), *ring(pattern, at, leds))
    assert all(0.0 <= value <= 1.0 for value in itertools.chain(*colours))
    assert len(ring(pattern, at, leds)) == leds


def test_what_spins_goes_round():
    pattern = Pattern((1.0, 1.0, 1.0), Effect.SPIN, 1.0)
    brightest = [max(range(8), key=ring(pattern, turn / 8, 8).__getitem__) for turn in range(8)]
    assert brightest == list(range(8))
