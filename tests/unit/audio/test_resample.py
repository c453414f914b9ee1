import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.audio.resample import Resampler, to_pcm

RATES = (8_000, 16_000, 24_000, 48_000)
PAIRS = list(itertools.permutations(RATES, 2))


def stream(pcm: bytes, from_rate: int, to_rate: int, sizes: list[int]) -> bytes:
    resampler = Resampler(from_rate, to_rate)
    out, at = b"", 0
    for size in itertools.cycle(sizes):
        if at >= len(pcm):
            return out + resampler.flush()
        out += resampler.process(pcm[at : at + 2 * size])
        at += 2 * size
    return out


def sine(hertz: float, rate: int, seconds: float = 0.5, level: float = 0.5) -> bytes:
    return to_pcm(
        (level * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)).astype(np.float32)
    )


def strength_db(pcm: bytes, hertz: float, rate: int) -> float:
    """Level of one tone in the middle of `pcm`, relative to full scale."""
    signal = np.frombuffer(pcm, dtype="<i2")[rate // 10 : -rate // 10] / 32_768
    window = np.blackman(len(signal))
    turn = np.exp(-2j * np.pi * hertz * np.arange(len(signal)) / rate)
    return float(20 * np.log10(2 * abs(np.sum(signal * window * turn)) / np.sum(window) + 1e-9))


@given(
    samples=st.integers(0, 3_000),
    sizes=st.lists(st.integers(1, 700), min_size=1, max_size=6),
    from_rate=st.sampled_from((*RATES, 22_050, 44_100, 11_025)),
    to_rate=st.sampled_from(RATES),
    seed=st.integers(0, 1_000),
)
@settings(max_examples=60, deadline=None)
def test_length_is_exact_and_content_independent_of_the_chunking(samples, sizes, from_rate, to_rate, seed):
    pcm = np.random.default_rng(seed).integers(-20_000, 20_000, samples, dtype="<i2").tobytes()
    whole = stream(pcm, from_rate, to_rate, [samples or 1])
    assert len(whole) // 2 == (2 * samples * to_rate + from_rate) // (2 * from_rate)
    assert stream(pcm, from_rate, to_rate, sizes) == whole


@pytest.mark.parametrize(("from_rate", "to_rate"), PAIRS)
def test_aliases_and_images_stay_below_eighty_decibels(from_rate, to_rate):
    for share in (0.62, 0.75, 0.9) if from_rate > to_rate else (0.2, 0.35, 0.42):
        hertz = share * min(from_rate, to_rate)
        if hertz >= from_rate / 2:
            continue
        out = stream(sine(hertz, from_rate), from_rate, to_rate, [from_rate // 50])
        lower = min(from_rate, to_rate)
        ghost = abs(lower - hertz) if from_rate > to_rate else lower - hertz
        level = strength_db(out, ghost % to_rate, to_rate) - 20 * np.log10(0.5)
        assert level < -80, f"{hertz} Hz leaves {ghost} Hz at {level:.0f} dB"


@pytest.mark.parametrize(("from_rate", "to_rate"), PAIRS)
def test_a_tone_of_the_voice_passes_unchanged(from_rate, to_rate):
    out = stream(sine(1_000, from_rate), from_rate, to_rate, [from_rate // 50])
    assert strength_db(out, 1_000, to_rate) == pytest.approx(20 * np.log10(0.5), abs=0.05)


@pytest.mark.parametrize(("from_rate", "to_rate"), PAIRS)
def test_the_lag_is_constant_and_at_most_three_milliseconds(from_rate, to_rate):
    resampler = Resampler(from_rate, to_rate)
    block = bytes(from_rate // 50 * 2)
    made = [len(resampler.process(block)) // 2 for _ in range(10)]
    assert made[1:] == [to_rate // 50] * 9
    assert (to_rate // 50 - made[0]) * 1000 / to_rate == pytest.approx(resampler.lag_ms)
    assert resampler.lag_ms <= 3


@pytest.mark.parametrize(("from_rate", "to_rate"), [*PAIRS, (22_050, 16_000), (44_100, 16_000)])
def test_sound_after_a_long_silence_is_as_it_would_be_in_one_piece(from_rate, to_rate):
    pcm = sine(440, from_rate, 0.1) + bytes(2 * from_rate) + sine(440, from_rate, 0.1)
    assert stream(pcm, from_rate, to_rate, [from_rate // 50]) == stream(pcm, from_rate, to_rate, [len(pcm)])


def test_equal_rates_pass_the_bytes_through():
    resampler = Resampler(16_000, 16_000)
    assert resampler.process(b"\x01\x02\x03\x04") + resampler.flush() == b"\x01\x02\x03\x04"


def test_what_exceeds_full_scale_is_clipped_not_wrapped():
    square = np.tile(np.repeat(np.array([32_767, -32_768], dtype="<i2"), 40), 40).tobytes()
    out = np.frombuffer(stream(square, 16_000, 48_000, [320]), dtype="<i2")[2_000:-2_000]
    assert out.max() == 32_767
    assert out.min() == -32_768
    assert np.abs(np.diff(out.astype(int))).max() < 32_768


def test_a_flushed_stream_begins_anew():
    resampler = Resampler(24_000, 16_000)
    pcm = sine(440, 24_000, 0.1)
    first = resampler.process(pcm) + resampler.flush()
    assert resampler.process(pcm) + resampler.flush() == first


def test_half_a_sample_is_refused():
    with pytest.raises(ValueError, match="half a sample"):
        Resampler(8_000, 16_000).process(b"abc")


def test_a_rate_of_zero_is_refused():
    with pytest.raises(ValueError, match="rates"):
        Resampler(0, 16_000)
