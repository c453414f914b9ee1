"""Keys heard as sound: all of them, through what a telephone line does to them; and never in what people say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.audio.dtmf import FREQUENCIES, DtmfDetector, frames, tone, tones
from tests.rig.sounds import Samples, babble
from tests.rig.spoken import speech

RATE = 16_000
KEYS = "0123456789*#ABCD"
VOICES = ("flite:rms", "flite:slt", "flite:awb", "espeak-ng:en-us", "espeak-ng:de", "espeak-ng:fr")
SENTENCES = (
    "The quick brown fox jumps over the lazy dog, and seven hundred and thirty three sheep look on.",
    "Please call the office at half past eleven, or leave a message for Mister Higgins after the tone.",
    "Who knew that the new blue moon would loom over the zoo so soon in June.",
    "She sees these cheap sheets, he needs three green leaves, we eat sweet peas each week.",
    "Papa and mama are calm, far from the alarm, and all the walls are tall.",
)


def heard(sound: bytes | Samples, *, rate: int = RATE, block: int = 320) -> str:
    """The digits, in order; the sound comes in blocks, as a line's does, and silence follows."""
    pcm = sound if isinstance(sound, bytes) else sound.astype("<i2").tobytes()
    detector = DtmfDetector(rate)
    whole = pcm + bytes(2 * rate // 5)
    return "".join(found.digit for part in frames(whole, block) for found in detector.hear(part))


def pressed(
    key: str,
    *,
    seconds: float = 0.1,
    low: float = 0.2,
    high: float = 0.2,
    detune: float = 0.0,
    lead: float = 0.05,
) -> Samples:
    at = np.arange(round(seconds * RATE)) / RATE
    first, second = (hertz * (1 + detune) for hertz in FREQUENCIES[key])
    sound = low * np.sin(2 * np.pi * first * at) + high * np.sin(2 * np.pi * second * at + 1)
    edge = np.zeros(round(lead * RATE))
    return np.asarray(np.concatenate((edge, sound, edge)) * 32_767, dtype=np.int16)


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 48_000])
def test_what_is_sent_is_heard_at_every_rate_of_a_line(rate: int) -> None:
    assert heard(tones(KEYS, rate), rate=rate, block=rate // 50) == KEYS


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(st.text(alphabet=KEYS, min_size=1, max_size=8), st.integers(1, 700))
def test_digits_are_heard_once_each_however_the_audio_is_cut(digits: str, block: int) -> None:
    assert heard(tones(digits, RATE, tone_ms=60, gap_ms=50), block=block) == digits


@pytest.mark.slow
@settings(deadline=None, max_examples=80)
@given(
    key=st.sampled_from(KEYS),
    level=st.floats(-32, -9),
    twist=st.floats(-7, 4),
    detune=st.floats(-0.015, 0.015),
    lead=st.floats(0.03, 0.07),
)
def test_a_key_is_heard_at_any_level_twist_and_pitch_that_lines_give_it(
    key: str, level: float, twist: float, detune: float, lead: float
) -> None:
    low = 10 ** (level / 20)
    high = low * 10 ** (twist / 20)
    assert heard(pressed(key, seconds=0.06, low=low, high=high, detune=detune, lead=lead)) == key


@pytest.mark.parametrize("key", KEYS)
def test_forty_milliseconds_are_enough_and_twenty_are_none(key: str) -> None:
    for lead in np.arange(0.03, 0.04, 0.0013):
        assert heard(pressed(key, seconds=0.04, lead=float(lead))) == key
        assert heard(pressed(key, seconds=0.02, lead=float(lead))) == ""


@pytest.mark.parametrize("seed", range(6))
def test_noise_of_a_bad_line_hides_no_key(seed: int) -> None:
    clean = tones(KEYS, RATE)
    samples = np.frombuffer(clean, dtype="<i2").astype(float)
    noise = np.random.default_rng(seed).standard_normal(len(samples))
    loud = np.sqrt(np.mean(samples[samples != 0] ** 2))
    noisy = samples + noise * loud * 10 ** (-14 / 20)
    assert heard(noisy.clip(-32_768, 32_767).astype(np.int16)) == KEYS


def test_a_key_that_is_held_is_one_digit_as_long_as_it_was_held() -> None:
    detector = DtmfDetector(RATE)
    sound = tone("5", RATE, 1_500) + bytes(RATE)
    found = [digit for part in frames(sound, 320) for digit in detector.hear(part)]
    assert [digit.digit for digit in found] == ["5"]
    assert found[0].duration_ms == pytest.approx(1_500, abs=30)


def test_a_lost_packet_within_a_key_does_not_make_two_of_it() -> None:
    samples = np.frombuffer(tone("5", RATE, 200), dtype="<i2").copy()
    samples[1_600:1_760] = 0
    assert heard(samples) == "5"


def test_the_same_key_twice_is_two_digits() -> None:
    assert heard(tones("55", RATE, tone_ms=50, gap_ms=45)) == "55"


def test_while_a_key_sounds_the_detector_says_so() -> None:
    detector = DtmfDetector(RATE)
    assert not detector.sounding
    detector.hear(tone("1", RATE, 60))
    first = detector.sounding
    detector.hear(bytes(RATE // 5))
    assert (first, detector.sounding) == (True, False)


@pytest.mark.slow
@pytest.mark.parametrize("voice", VOICES)
def test_no_key_is_heard_in_speech(voice: str) -> None:
    for sentence in SENTENCES:
        said = speech(sentence, RATE, voice=voice)
        for pitch in (0.8, 0.9, 1.0, 1.1, 1.25):
            at = np.arange(0, len(said) - 1, pitch)
            spoken = np.interp(at, np.arange(len(said)), said).astype(np.int16)
            assert heard(spoken) == "", (sentence, pitch)


@pytest.mark.slow
@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from((0.5, 2.0)))
def test_no_key_is_heard_in_noise_and_babble(seed: int, seconds: float) -> None:
    assert heard(babble(seconds, RATE, seed=seed)) == ""
    noise = np.random.default_rng(seed).standard_normal(round(seconds * RATE)) * 5_000
    assert heard(noise.clip(-32_768, 32_767).astype(np.int16)) == ""


@pytest.mark.parametrize(
    "hertz",
    [(350, 440), (425, 425), (440, 480), (480, 620), (950, 1400), (697, 770), (1209, 1477), (697, 697)],
)
def test_dial_ringing_busy_and_other_tones_are_no_keys(hertz: tuple[int, int]) -> None:
    at = np.arange(RATE) / RATE
    sound = sum(0.2 * np.sin(2 * np.pi * one * at) for one in hertz)
    assert heard(np.asarray(sound * 32_767, dtype=np.int16)) == ""


@pytest.mark.slow
@given(st.binary(max_size=2_000).map(lambda raw: raw[: len(raw) // 2 * 2]))
def test_any_samples_are_taken(pcm: bytes) -> None:
    DtmfDetector(RATE).hear(pcm)
