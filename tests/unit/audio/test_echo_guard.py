"""The echo guard: our own sound is explained, a person is not. In simulated rooms, without canceller and detectors."""

import math

import numpy as np
import pytest

from appliance.audio.echo_guard import EchoGuard
from tests.rig.acoustics import RATE, Echo, Setting, Signal
from tests.unit.audio.sounds import at_level, pcm_of, speech

FRAME = 320
SECONDS = 8.0
PERSON_AT = 6.0
COUNTING = "one two three four five six seven eight nine ten"
WAIT = "wait a moment please"
ROOMS = [
    Setting(coupling_db=-30, delay_ms=20),
    Setting(coupling_db=-12, delay_ms=100, drift_ppm=200),
    Setting(coupling_db=-6, delay_ms=300, drift_ppm=-200),
    Setting(coupling_db=0, delay_ms=300, drive=2),
]


def foreign(
    setting: Setting, person: Signal | None = None, *, speech_found: bool = False, seconds: float = SECONDS
) -> list[float]:
    """`foreign_ms` of each frame."""
    guard, echo, told = EchoGuard(), Echo(setting), []
    far = at_level(np.resize(speech(COUNTING), round(seconds * RATE)), -20)
    for start in range(0, len(far) - FRAME + 1, FRAME):
        played = far[start : start + FRAME]
        echo.play(played)
        heard = echo.take(FRAME)
        at = start - round(PERSON_AT * RATE)
        if person is not None and at >= 0:
            voice = person[at : at + FRAME]
            heard[: len(voice)] += voice
        told.append(guard.process(pcm_of(heard), pcm_of(played), speech=speech_found))
    return told


@pytest.mark.slow
@pytest.mark.parametrize("setting", ROOMS, ids=str)
def test_our_own_sound_is_explained_once_it_was_heard_for_two_seconds(setting: Setting):
    later = foreign(setting)[100:]
    assert np.mean([ms >= 80 for ms in later]) <= 0.02


@pytest.mark.slow
@pytest.mark.parametrize("setting", ROOMS[:3], ids=str)
def test_a_person_is_not_and_that_is_seen_within_200_ms(setting: Setting):
    told = foreign(setting, at_level(speech(WAIT), -22))
    first = round(PERSON_AT * RATE / FRAME)
    assert max(told[first : first + 10]) >= 80


@pytest.mark.slow
def test_our_own_sound_is_learnt_though_the_detector_took_it_for_speech_from_the_start():
    told = foreign(ROOMS[1], speech_found=True, seconds=20.0)
    late = [np.mean([ms >= 80 for ms in part]) for part in (told[20:120], told[-50:])]
    assert late[0] > 0.9
    assert late[1] < 0.7


def test_while_nothing_is_played_it_has_no_opinion():
    guard = EchoGuard()
    voice = at_level(speech(WAIT), -20)
    told = {
        guard.process(pcm_of(voice[start : start + FRAME]), bytes(2 * FRAME), speech=True)
        for start in range(0, len(voice) - FRAME, FRAME)
    }
    assert told == {math.inf}


@pytest.mark.slow
@pytest.mark.parametrize("noise_dbfs", [-140, -65])
def test_where_there_is_no_echo_at_all_people_never_come_to_be_taken_for_one(noise_dbfs: float):
    guard = EchoGuard()
    noise = np.random.default_rng(1)
    far = at_level(np.resize(speech(COUNTING), 4 * RATE), -20)
    voice = at_level(speech(WAIT), -30)[: RATE * 3 // 4]
    for _ in range(24):
        told = []
        for start in range(0, len(far) - FRAME + 1, FRAME):
            heard = noise.standard_normal(FRAME) * 10 ** (noise_dbfs / 20)
            at = start - 2 * RATE
            if at >= 0:
                heard[: len(voice[at : at + FRAME])] += voice[at : at + FRAME]
            talks = 4_800 <= at < len(voice)
            told.append(guard.process(pcm_of(heard), pcm_of(far[start : start + FRAME]), speech=talks))
        assert max(told[100:112]) >= 80


@pytest.mark.slow
def test_people_who_talk_over_it_again_and_again_teach_it_neither_their_level_nor_that_an_echo_strays():
    guard, echo, noise = EchoGuard(), Echo(Setting(coupling_db=-20, delay_ms=40)), np.random.default_rng(1)
    voice, excess = at_level(speech(WAIT), -24)[: RATE * 3 // 4], []
    far = at_level(np.resize(speech(COUNTING), 3 * RATE), -20)
    for _ in range(16):
        over = []
        for start in range(0, len(far) - FRAME + 1, FRAME):
            played = far[start : start + FRAME]
            echo.play(played)
            heard = echo.take(FRAME) + noise.standard_normal(FRAME) * 1e-4
            at = start - 3 * RATE // 2
            if 0 <= at < len(voice):
                heard[: len(voice[at : at + FRAME])] += voice[at : at + FRAME]
            # The detector finds them after 300 ms.
            guard.process(pcm_of(heard), pcm_of(played), speech=4_800 <= at < len(voice))
            if 0 <= at < len(voice):
                over.append(guard.excess_db)
        excess.append(np.median(over))
    assert np.median(excess[-4:]) >= 10
    assert np.median(excess[-4:]) >= np.median(excess[1:5]) - 3
