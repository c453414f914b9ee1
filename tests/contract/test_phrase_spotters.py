"""What every phrase spotter that is installed must do (interfaces.PhraseSpotter)."""

import numpy as np
import pytest

from appliance.plugins import load, names
from tests.rig.spoken import cough, silence, speech

GROUP = "appliance.phrase_spotters"


@pytest.fixture(scope="module", params=names(GROUP))
def factory(request):
    return load(GROUP, request.param)


@pytest.fixture(scope="module")
def spotter(factory):
    made = factory(("stop", "be quiet"), 0.5)
    made.prepare()
    return made


def said(spotter, text: str, voice: str = "flite:slt") -> str | None:
    heard: str | None = spotter.said(speech(text, lead=0.2, tail=0.2, voice=voice).tobytes())
    return heard


@pytest.mark.slow
@pytest.mark.parametrize("voice", ["flite:slt", "flite:rms", "espeak-ng:en-us"])
def test_a_phrase_is_found_in_several_voices(spotter, voice):
    assert said(spotter, "stop", voice) == "stop"


@pytest.mark.slow
def test_a_phrase_said_twice_and_another_phrase_are_found(spotter):
    assert said(spotter, "stop stop") == "stop"
    assert said(spotter, "be quiet") == "be quiet"


@pytest.mark.slow
@pytest.mark.parametrize("text", ["yes", "thank you", "what time is it", "wait"])
def test_other_words_are_no_phrase(spotter, text):
    assert said(spotter, text) is None


def test_silence_noise_and_a_cough_are_no_phrase(spotter):
    noise = (np.random.default_rng(3).standard_normal(12_000) * 3_000).astype("<i2")
    assert [spotter.said(sound.tobytes()) for sound in (silence(0.6), noise, cough(0.3))] == [None] * 3


@pytest.mark.slow
def test_a_lower_sensitivity_takes_less_for_the_phrase(factory):
    deaf = factory(("stop",), 0.0)
    keen = factory(("stop",), 1.0)
    texts = ("stop", "stock", "stuck", "spot")
    taken = [[said(one, text) is not None for text in texts] for one in (deaf, keen)]
    assert sum(taken[0]) < sum(taken[1])
