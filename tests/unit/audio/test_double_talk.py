"""Somebody talks over what is played: found by level, where the echo is known."""

import numpy as np
import pytest

from appliance.audio.double_talk import DoubleTalk
from appliance.config.schema import Vad
from tests.unit.audio.sounds import RATE, at_level, pcm_of, silence, speech, white

FRAME = 320
COUNTING = "one two three four five six seven eight nine ten"
WAIT = "wait a moment please"


class Always:
    """A detector that hears speech in everything, or in nothing."""

    rate = RATE
    frame_samples = FRAME

    def __init__(self, verdict=True):
        self.verdict = verdict

    def likelihood(self, pcm):
        return float(self.verdict)

    def reset(self):
        pass


def played(seconds: float):
    voice = at_level(speech(COUNTING), -20)
    return np.resize(voice, round(seconds * RATE))


def echo_of(far, coupling_db: float, delay: float = 0.1):
    """A late copy with a tail, and a quiet room's noise."""
    rng = np.random.default_rng(7)
    room = rng.standard_normal(RATE // 5) * np.exp(-np.arange(RATE // 5) / (RATE / 40))
    heard = np.convolve(far, room / np.sqrt(np.sum(room**2)))[: len(far)] * 10 ** (coupling_db / 20)
    late = round(delay * RATE)
    return np.concatenate((np.zeros(late), heard[: len(far) - late])) + silence(len(far) / RATE)


def added(near, voice, at: float):
    near = near.copy()
    start = round(at * RATE)
    voice = voice[: len(near) - start]
    near[start : start + len(voice)] += voice
    return near


def told(near, far, *, under_test=None, speech_found=False):
    """When it says that somebody talks over it, in seconds."""
    under_test = under_test or DoubleTalk(Vad(), Always())
    return [
        (start + FRAME) / RATE
        for start in range(0, len(near) - FRAME + 1, FRAME)
        if under_test.process(
            pcm_of(near[start : start + FRAME]), pcm_of(far[start : start + FRAME]), speech=speech_found
        )
    ]


@pytest.mark.slow
@pytest.mark.parametrize("coupling_db", [-60, -30, -10, 6])
@pytest.mark.parametrize("delay", [0.02, 0.3])
def test_the_echo_alone_is_never_somebody(coupling_db, delay):
    far = played(20)
    assert told(echo_of(far, coupling_db, delay), far) == []


@pytest.mark.slow
def test_a_distorted_echo_is_nobody_either():
    far = played(20)
    assert told(echo_of(np.tanh(far * 10) / 10, -6), far) == []


@pytest.mark.parametrize("coupling_db", [-60, -30])
def test_whoever_talks_over_it_is_found_within_100_ms(coupling_db):
    far = played(6)
    near = added(echo_of(far, coupling_db), at_level(speech(WAIT), -20), 4.0)
    assert 4.0 < told(near, far)[0] <= 4.1


def test_without_any_echo_it_knows_after_a_second():
    far = played(3)
    near = added(silence(3), at_level(speech(WAIT), -20), 1.2)
    assert 1.2 < told(near, far)[0] <= 1.3


def test_nothing_is_said_before_the_echo_is_known():
    far = played(2)
    assert told(added(silence(2), at_level(speech(WAIT), -20), 0.3)[: round(0.6 * RATE)], far) == []


def test_nothing_is_said_while_nothing_is_played():
    far = np.concatenate((played(4), np.zeros(4 * RATE)))
    near = added(echo_of(far, -30), at_level(speech(WAIT), -20), 5.0)
    assert told(near, far) == []


def test_what_the_detector_denies_is_nobody():
    far = played(6)
    near = added(echo_of(far, -30), at_level(white(1), -10), 4.0)
    assert told(near, far)
    assert told(near, far, under_test=DoubleTalk(Vad(), Always(False))) == []
    assert told(near, far, under_test=DoubleTalk(Vad(), Always(), Always(False))) == []


@pytest.mark.slow
def test_a_louder_echo_is_learnt_though_it_was_taken_for_somebody_at_first():
    far = played(20)
    near = echo_of(far, -40)
    near[8 * RATE :] *= 10
    times = told(near, far)
    assert times
    assert max(times) < 11.0


@pytest.mark.slow
def test_speech_that_was_found_is_not_taken_for_echo():
    far = played(6)
    under_test = DoubleTalk(Vad(), Always())
    told(echo_of(far, -40), far, under_test=under_test)
    voice = at_level(np.resize(speech(WAIT), 6 * RATE), -15)
    told(echo_of(far, -40) + voice, far, under_test=under_test, speech_found=True)
    assert told(added(echo_of(far, -40), at_level(speech(WAIT), -20), 1.0), far, under_test=under_test)


def test_after_a_reset_the_room_is_still_known():
    far = played(6)
    under_test = DoubleTalk(Vad(), Always())
    told(echo_of(far, -40), far, under_test=under_test)
    under_test.reset()
    assert told(added(silence(6), at_level(speech(WAIT), -20), 0.6)[:RATE], far[:RATE], under_test=under_test)


def doubtful(*, voice: bool, excess_db: float) -> bool:
    """Whether 60 ms of somebody, of which the guard explains all but so much, are told after an echo that is known."""
    under_test = DoubleTalk(Vad(), Always())
    far = played(4)
    told(echo_of(far, -12), far, under_test=under_test)
    pcm = pcm_of(at_level(speech(COUNTING), -30)[: 3 * FRAME])
    return any(
        under_test.process(
            pcm[at : at + 2 * FRAME], pcm_of(far[-FRAME:]), speech=False, voice=voice, excess_db=excess_db
        )
        for at in range(0, len(pcm), 2 * FRAME)
    )


@pytest.mark.slow
def test_what_the_guard_alone_doubts_a_little_is_somebody_where_a_voice_is_heard_behind_the_canceller_too():
    assert doubtful(voice=True, excess_db=3.0)
    assert not doubtful(voice=False, excess_db=3.0)
    assert not doubtful(voice=True, excess_db=1.0)
