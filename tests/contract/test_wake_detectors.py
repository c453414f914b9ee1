"""What every wake word detector that is installed must do (interfaces.WakeDetector)."""

import json

import numpy as np
import pytest

from appliance.errors import ApplianceError, DeviceUnavailable
from appliance.plugins import load, names
from tests.rig.spoken import speech

GROUP = "appliance.wake_detectors"
FRAME = 320


@pytest.fixture(params=names(GROUP))
def factory(request):
    return load(GROUP, request.param)


def heard(detector, text: str, voice: str = "flite:slt") -> list[str]:
    samples = speech(text, lead=0.5, tail=0.7, voice=voice)
    whole = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    return [word for frame in whole if (word := detector.heard(frame.astype("<i2").tobytes())) is not None]


@pytest.mark.slow
def test_a_word_is_heard_once_and_others_are_not(factory):
    detector = factory(("hey_mycroft", "okay_nabu"), 0.5)
    assert heard(detector, "hey mycroft") == ["hey_mycroft"]
    assert heard(detector, "what time is it in berlin, and will it rain tomorrow") == []
    detector.close()


def test_silence_is_no_word(factory):
    detector = factory(("okay_nabu",), 0.5)
    assert not any(detector.heard(bytes(2 * FRAME)) for _ in range(100))
    detector.close()


def test_a_word_that_there_is_not_is_named_with_those_that_there_are(factory):
    with pytest.raises(ApplianceError) as told:
        factory(("open_sesame",), 0.5)
    assert "open_sesame" in told.value.message
    assert all(word in told.value.hint for word in factory.words())


def test_a_model_file_that_is_missing_is_told(factory, tmp_path):
    with pytest.raises(ApplianceError):
        factory((str(tmp_path / "mine.json"),), 0.5)


def test_a_model_whose_network_is_missing_is_told(factory, tmp_path):
    settings = {
        "model": "mine.tflite",
        "wake_word": "Mine",
        "micro": {"probability_cutoff": 0.9, "sliding_window_size": 5},
    }
    (tmp_path / "mine.json").write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(DeviceUnavailable):
        factory((str(tmp_path / "mine.json"),), 0.5)


def test_noise_is_no_word(factory):
    detector = factory(tuple(factory.words()), 0.5)
    noise = np.random.default_rng(3).standard_normal((250, FRAME)) * 3000
    assert not any(detector.heard(frame.astype("<i2").tobytes()) for frame in noise)
    detector.close()
