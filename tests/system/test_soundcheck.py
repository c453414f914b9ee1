"""`handset audio list | test | level` as a person runs them, on a real sound server."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.calibration import CalibrationFile
from tests.rig.sound_server import MICROPHONE, SPEAKER, SoundServer, sound_server
from tests.rig.sounds import tone, write_wav

pytestmark = pytest.mark.system

__all__ = ["sound_server"]


def handset(server: SoundServer, *words: str, expect: int = 0) -> str:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("handset")), "audio", *words],
        env={**os.environ, **server.env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == expect, done.stderr
    return done.stdout + done.stderr


def test_devices_are_listed_by_stable_name_with_the_default_marked(sound_server):
    sound_server.plug_microphone("second")
    assert "* second" in handset(sound_server, "list")
    listed = json.loads(handset(sound_server, "list", "--json"))
    assert {(device["kind"], device["name"], device["default"]) for device in listed} == {
        ("input", MICROPHONE, False),
        ("input", "second", True),
        ("output", SPEAKER, True),
    }


def test_a_beep_that_the_microphone_hears_passes(sound_server):
    sound_server.play_echo()
    result = json.loads(handset(sound_server, "test", "--json"))
    assert result["heard"]
    assert result["beeps_heard"] == 3
    assert 0 < result["delay_ms"] < 300


def test_a_microphone_that_hears_no_beep_fails_with_a_remedy(sound_server, tmp_path):
    assert "muted" in handset(sound_server, "test", expect=1)
    hum = write_wav(tmp_path / "hum.wav", tone(1000, 8, 48_000), 48_000)
    sound_server.play(hum, wait=False)
    assert "turn the speaker up" in handset(sound_server, "test", expect=1)


def test_the_level_follows_what_is_said(sound_server, tmp_path):
    sound_server.play(
        write_wav(tmp_path / "tone.wav", tone(440, 8, 48_000, amplitude=16_384), 48_000), wait=False
    )
    lines = handset(sound_server, "level", "--seconds", "1", "--json").splitlines()
    last = json.loads(lines[-1])
    assert last["peak_dbfs"] == pytest.approx(-6.0, abs=0.5)
    assert last["rms_dbfs"] == pytest.approx(-9.0, abs=0.5)


def test_without_a_microphone_the_reason_is_told(sound_server):
    sound_server.unplug(MICROPHONE)
    assert "no microphone" in handset(sound_server, "level", "--seconds", "1", expect=1)


def test_what_is_measured_of_the_echo_is_told_and_kept(sound_server, tmp_path):
    sound_server.play_echo(latency_ms=150, level_db=-20)
    os.environ["HANDSET_STORAGE__DIRECTORY"] = str(tmp_path)
    try:
        told = handset(sound_server, "calibrate", "--no-speech", "--json")
    finally:
        del os.environ["HANDSET_STORAGE__DIRECTORY"]
    measured = json.loads(told.splitlines()[0])
    assert 150 < measured["delay_ms"] < 350
    assert measured["coupling_db"] == pytest.approx(-20, abs=1)
    assert measured["duplex"] == "full"
    kept = CalibrationFile(tmp_path).of(MICROPHONE, SPEAKER)
    assert kept is not None
    assert kept.delay_ms == measured["delay_ms"]
