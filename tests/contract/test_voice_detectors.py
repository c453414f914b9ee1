"""What every voice detector that is installed must do (interfaces.VoiceDetector)."""

import numpy as np
import pytest

from appliance.audio.vad import GROUP, LIKELY, load_detector
from appliance.frames import WORKING_RATE
from appliance.plugins import names
from tests.unit.audio.sounds import at_level, pcm_of, speech


def verdicts(detector, pcm: bytes) -> list[bool]:
    size = detector.frame_samples * 2
    return [detector.likelihood(pcm[at : at + size]) >= LIKELY for at in range(0, len(pcm) - size + 1, size)]


@pytest.fixture(params=names(GROUP))
def detector(request):
    return load_detector(request.param)


def test_it_takes_frames_at_the_working_rate(detector):
    assert detector.rate == WORKING_RATE
    assert 10 <= detector.frame_samples * 1000 / detector.rate <= 40


def test_silence_is_no_speech(detector):
    assert not any(verdicts(detector, bytes(64_000)))


def test_speech_is_found(detector):
    words = pcm_of(at_level(speech("What time is it in Berlin?"), -20))
    assert np.mean(verdicts(detector, bytes(16_000) + words)[16:]) > 0.6


def test_after_a_reset_it_judges_as_if_it_were_new(detector):
    words = pcm_of(at_level(speech("Hello there, how are you?"), -25))
    first = verdicts(detector, words)
    detector.reset()
    assert verdicts(detector, words) == first


def test_a_strict_classic_detector_lets_less_noise_through():
    noise = pcm_of(at_level(np.random.default_rng(0).standard_normal(32_000), -60))
    mild, strict = (sum(verdicts(load_detector("webrtc", level), noise)) for level in (0, 3))
    assert mild > strict
