"""What a probe says about a room: the estimators against rooms of which all is known."""

import numpy as np
import pytest

from appliance.audio.sweep import Acoustics, make_probe, measure
from tests.rig.acoustics import RATE, Echo, Setting

BEFORE = 0.3
"""Seconds that are recorded before the card asks for the probe."""


def recorded(setting: Setting, dbfs: float = -20.0, *, seed: int = 1, sweeps: int = 6):
    """A probe through a room: (what the microphone took, the probe, where each sweep was asked for)."""
    probe = make_probe(RATE, dbfs, sweeps)
    echo = Echo(setting, seed)
    before = round(BEFORE * RATE)
    played = np.concatenate((np.zeros(before), probe.samples, np.zeros(RATE)))
    for start in range(0, len(played), 4_000):
        echo.play(played[start : start + 4_000])
    heard = np.concatenate([echo.take(2_000) for _ in range((len(played) - RATE // 2) // 2_000)])
    pace = 1 + setting.drift_ppm * 1e-6
    return heard, probe, [(before + start) / pace for start in probe.starts]


@pytest.mark.slow
@pytest.mark.parametrize("delay_ms", [20, 61, 137, 300])
@pytest.mark.parametrize("drift_ppm", [-200, 0, 35, 200])
def test_delay_and_drift_are_found(delay_ms: float, drift_ppm: float):
    found = measure(*recorded(Setting(delay_ms=delay_ms, drift_ppm=drift_ppm)))
    assert found.delay_ms == pytest.approx(delay_ms, abs=1.5)
    assert found.drift_ppm == pytest.approx(drift_ppm, abs=3)


@pytest.mark.parametrize("coupling_db", [-45, -25, -6, 6])
def test_the_coupling_is_found(coupling_db: float):
    found = measure(*recorded(Setting(coupling_db=coupling_db)))
    assert found.coupling_db == pytest.approx(coupling_db, abs=3)


def test_of_a_plain_wire_it_is_exact():
    probe = make_probe(RATE, -20.0)
    heard = np.concatenate((np.zeros(800), probe.samples * 0.1, np.zeros(RATE)))
    found = measure(heard, probe, [float(start) for start in probe.starts])
    assert found.delay_ms == pytest.approx(50, abs=0.1)
    assert found.drift_ppm == pytest.approx(0, abs=0.5)
    assert found.coupling_db == pytest.approx(-20, abs=0.3)


@pytest.mark.slow
@pytest.mark.parametrize("noise_dbfs", [-70, -50, -40])
def test_the_noise_is_found_and_is_no_obstacle(noise_dbfs: float):
    found = measure(*recorded(Setting(noise_dbfs=noise_dbfs, drift_ppm=100), dbfs=-30))
    assert found.noise_dbfs == pytest.approx(noise_dbfs, abs=1)
    assert found.delay_ms == pytest.approx(60, abs=1.5)
    assert found.coupling_db == pytest.approx(-12, abs=3)


def test_a_probe_that_nobody_would_hear_suffices_in_a_quiet_room():
    found = measure(*recorded(Setting(noise_dbfs=-60, delay_ms=120), dbfs=-46))
    assert found.delay_ms == pytest.approx(120, abs=1.5)
    assert found.coupling_db == pytest.approx(-12, abs=3)


@pytest.mark.parametrize("drive", [2, 4])
def test_a_distorting_loudspeaker_moves_nothing(drive: float):
    found = measure(*recorded(Setting(drive=drive, delay_ms=80, drift_ppm=-50), dbfs=-12))
    assert found.delay_ms == pytest.approx(80, abs=1.5)
    assert found.drift_ppm == pytest.approx(-50, abs=3)


@pytest.mark.parametrize("seed", range(4))
def test_noise_without_any_echo_is_no_echo(seed: int):
    found = measure(*recorded(Setting(coupling_db=-140, noise_dbfs=-45), seed=seed))
    assert not found.heard
    assert found.delay_ms is None
    assert found.noise_dbfs == pytest.approx(-45, abs=1)


def test_a_block_that_was_lost_in_the_middle_bends_nothing():
    heard, probe, asked = recorded(Setting(drift_ppm=40))
    lost = round(asked[4])
    heard = np.concatenate((heard[:lost], heard[lost + 160 :]))
    assert measure(heard, probe, asked).drift_ppm == pytest.approx(40, abs=10)


def test_of_a_recording_that_broke_off_the_rest_is_judged():
    heard, probe, asked = recorded(Setting())
    found = measure(heard[: round(asked[3])], probe, asked)
    assert found.sweeps_heard == 2
    assert found.delay_ms == pytest.approx(60, abs=1.5)


def test_of_nothing_only_silence_is_known():
    probe = make_probe(RATE, -20.0)
    assert measure(np.zeros(0), probe, []) == Acoustics(-96.0)
