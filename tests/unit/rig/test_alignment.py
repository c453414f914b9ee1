"""The measure of lost and repeated speech must find what is lost and repeated."""

import numpy as np
import pytest

from tests.rig.alignment import align
from tests.rig.spoken import silence, speech

RATE = 16_000
SPOKEN = speech("every good boy deserves fruit and a long walk in the park", RATE)


def cut(begin: float, end: float) -> slice:
    return slice(round(begin * RATE), round(end * RATE))


def test_what_arrived_as_it_was_is_whole():
    received = np.concatenate((silence(0.3, RATE), SPOKEN, silence(0.5, RATE)))
    aligned = align(SPOKEN, received, RATE)
    assert aligned.whole
    assert aligned.shift_ms == pytest.approx(300, abs=1)


def test_what_is_cut_out_is_lost():
    received = np.concatenate((SPOKEN[cut(0, 1.0)], SPOKEN[cut(1.3, 9)]))
    assert align(SPOKEN, received, RATE).lost_ms >= 200


def test_what_comes_twice_is_repeated():
    received = np.concatenate((SPOKEN[cut(0, 1.5)], SPOKEN[cut(1.0, 9)]))
    assert align(SPOKEN, received, RATE).repeated_ms >= 400


def test_what_never_came_is_lost():
    assert align(SPOKEN, SPOKEN[cut(0, 1.0)], RATE).lost_ms >= 1_000
    assert align(SPOKEN, silence(2.0, RATE), RATE).lost_ms >= 2_000
