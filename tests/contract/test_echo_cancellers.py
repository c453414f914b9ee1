"""What every echo canceller that is installed must do (interfaces.EchoCanceller)."""

import numpy as np
import pytest

from appliance.plugins import load, names
from tests.unit.audio.sounds import RATE, at_level, pcm_of, speech

GROUP = "appliance.echo_cancellers"
PLAYED = (
    "Good morning. The time in Berlin is twenty past nine. I can set timers, tell you the date and do arithmetic "
    "for you, whenever you want, and I go on talking for quite a while."
)


@pytest.fixture(params=names(GROUP))
def canceller(request):
    under_test = load(GROUP, request.param)()
    yield under_test
    under_test.close()


def room(played: np.ndarray, delay_ms: int) -> np.ndarray:
    """What a microphone hears of `played` in a reverberating room."""
    decay = np.exp(-np.arange(2_000) / 640)
    response = np.random.default_rng(5).standard_normal(2_000) * decay
    echo = 0.3 * np.convolve(played, response / np.sqrt(np.sum(response**2)))
    return np.concatenate([np.zeros(RATE * delay_ms // 1000), echo])[: len(played)]


def cancelled(canceller, far: np.ndarray, near: np.ndarray) -> np.ndarray:
    played, heard, out = pcm_of(far), pcm_of(near), b""
    for at in range(0, len(played) - 319, 320):
        canceller.far_end(played[at : at + 320])
        out += canceller.near_end(heard[at : at + 320])
    return np.frombuffer(out, dtype="<i2") / 32_768


def decibels(signal: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(signal**2) + 1e-12))


@pytest.mark.parametrize("delay_ms", [20, 120])
def test_the_echo_is_at_least_twenty_decibels_weaker(canceller, delay_ms):
    far = at_level(speech(PLAYED), -20)
    echo = room(far, delay_ms)
    left = cancelled(canceller, far, echo)
    settled = slice(3 * RATE, 8 * RATE)
    assert decibels(echo[settled]) - decibels(left[settled]) >= 20


def test_a_person_who_talks_over_it_is_still_heard(canceller):
    far = at_level(speech(PLAYED), -20)
    near = np.zeros(len(far))
    words = at_level(speech("Stop please, that is enough. Tell me something else.", "en-gb"), -26)
    near[5 * RATE : 5 * RATE + len(words)] = words
    out = cancelled(canceller, far, room(far, 60) + near)
    talking = slice(5 * RATE, 5 * RATE + len(words))
    assert decibels(out[talking]) > decibels(near[talking]) - 10


def test_a_person_alone_passes_nearly_unchanged(canceller):
    words = at_level(speech(PLAYED), -26)
    out = cancelled(canceller, np.zeros(len(words)), words)
    assert decibels(out[RATE:]) == pytest.approx(decibels(words[RATE:]), abs=3)


def test_ten_milliseconds_are_taken_and_nothing_else(canceller):
    with pytest.raises(ValueError, match="160 samples"):
        canceller.near_end(bytes(640))
