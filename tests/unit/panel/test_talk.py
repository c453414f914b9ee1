"""What the talk button does to the talk key."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.panel.press import Gesture
from appliance.panel.talk import Act, Key, Mode, talk

TAP = ("pressed", "released", "single")
HOLD = ("pressed", "hold", "released", "long")


def acts(mode: Mode, *gestures: str) -> list[str]:
    key, done = Key.UP, list[str]()
    for gesture in gestures:
        key, act = talk(mode, key, Gesture(gesture))
        done += [act.value] if act is not None else []
    return done


@pytest.mark.parametrize(
    ("mode", "gestures", "done"),
    [
        ("hold", TAP, ["press", "release"]),
        ("hold", HOLD, ["press", "release"]),
        ("hold", ("pressed", "hold", "countdown", "very_long", "stuck", "freed"), ["press", "release"]),
        ("hold", ("pressed", "void"), ["press", "release"]),
        ("toggle", TAP, ["press"]),
        ("toggle", TAP + TAP, ["press", "release"]),
        ("toggle", HOLD, ["press", "release"]),
        ("toggle", TAP + HOLD, ["press", "release"]),
        ("toggle", TAP + TAP + TAP, ["press", "release", "press"]),
        ("toggle", ("pressed", "void"), ["press", "release"]),
    ],
)
def test_the_key_follows_the_button(mode: Mode, gestures: tuple[str, ...], done: list[str]):
    assert acts(mode, *gestures) == done


@given(st.sampled_from(get_args(Mode)), st.lists(st.sampled_from(list(Gesture)), max_size=30))
def test_the_key_never_goes_down_twice_or_up_twice(mode: Mode, gestures: list[Gesture]):
    done = acts(mode, *(gesture.value for gesture in gestures))
    assert done == [(Act.RELEASE if number % 2 else Act.PRESS).value for number in range(len(done))]
