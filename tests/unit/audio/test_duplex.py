"""Which duplex mode follows from what was measured."""

import itertools

import pytest

from appliance.audio.duplex import FULL_UP_TO_DB, LEAST_DUCK_DB, MOST_DUCK_DB, Duplex, Trial, choose
from appliance.audio.sweep import Acoustics

CLEAN = Trial(30.0, 0)
STRICTNESS = [Duplex.FULL, Duplex.DUCKED, Duplex.HALF, Duplex.PUSH_TO_TALK]


def room(coupling_db: float, noise_dbfs: float = -65.0) -> Acoustics:
    return Acoustics(noise_dbfs, 6, 60.0, 0.0, coupling_db)


@pytest.mark.parametrize(
    ("found", "trial", "mode"),
    [
        (room(-30), CLEAN, Duplex.FULL),
        (room(FULL_UP_TO_DB), CLEAN, Duplex.FULL),
        (room(FULL_UP_TO_DB + 2), CLEAN, Duplex.DUCKED),
        (room(FULL_UP_TO_DB + MOST_DUCK_DB + 1), CLEAN, Duplex.HALF),
        (room(-30), Trial(30.0, 2), Duplex.DUCKED),
        (room(-30), Trial(4.0, 0), Duplex.HALF),
        (room(-30), Trial(None, 0), Duplex.FULL),
        (room(-30), None, Duplex.FULL),
        (room(-30, noise_dbfs=-25), CLEAN, Duplex.PUSH_TO_TALK),
    ],
)
def test_the_mode_follows_from_echo_trial_and_noise(found: Acoustics, trial: Trial | None, mode: Duplex):
    assert choose(found, trial).mode is mode


def test_without_a_canceller_nobody_is_listened_to_while_it_speaks():
    assert choose(room(-40), None, canceller=False).mode is Duplex.HALF


def test_a_louder_echo_never_gives_more_freedom():
    for trial, noise in itertools.product((None, CLEAN, Trial(30.0, 1), Trial(5.0, 0)), (-70.0, -30.0)):
        modes = [choose(room(coupling, noise), trial).mode for coupling in range(-60, 25)]
        assert modes == sorted(modes, key=STRICTNESS.index)


def test_it_is_ducked_by_what_the_echo_is_too_loud():
    for coupling in range(-60, 25):
        choice = choose(room(coupling), CLEAN)
        if choice.mode is Duplex.DUCKED:
            assert LEAST_DUCK_DB <= choice.duck_db <= MOST_DUCK_DB
            assert coupling - choice.duck_db <= FULL_UP_TO_DB
        else:
            assert choice.duck_db == 0


def test_of_a_probe_that_was_not_heard_nothing_follows():
    with pytest.raises(ValueError, match="not heard"):
        choose(Acoustics(-60.0))
