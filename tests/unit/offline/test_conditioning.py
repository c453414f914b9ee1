"""Sound is made ready for the recogniser."""

import numpy as np
import pytest

from appliance.providers.offline.conditioning import Band, PauseWatch, conditioned

RATE = 16_000


def tone(seconds: float, level: float, hertz: float = 300.0) -> bytes:
    wave = np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)
    return (wave * level * 32_767).astype("<i2").tobytes()


def hiss(seconds: float, level: float) -> bytes:
    noise = np.random.default_rng(3).normal(0, level * 32_767, round(seconds * RATE))
    return np.clip(noise, -32_768, 32_767).astype("<i2").tobytes()


@pytest.mark.parametrize("pcm", [b"", b"\0" * 64_000, tone(1.0, 0.0005), b"\x01"])
def test_silence_is_not_worth_recognising(pcm: bytes) -> None:
    assert conditioned(pcm) is None


def test_silence_around_the_voice_is_cut() -> None:
    ready = conditioned(b"\0" * RATE * 2 + tone(0.5, 0.3) + b"\0" * RATE * 4)
    assert ready is not None
    assert 0.5 < len(ready.pcm) / 2 / RATE < 1.1


@pytest.mark.parametrize("seconds", [0.05, 0.3, 2.0])
def test_noise_is_no_voice(seconds: float) -> None:
    assert conditioned(b"\0" * RATE + hiss(seconds, 0.2) + b"\0" * RATE) is None


@pytest.mark.parametrize("level", [0.01, 0.1, 0.9])
def test_quiet_and_loud_speech_come_out_alike(level: float) -> None:
    ready = conditioned(tone(1.0, level))
    assert ready is not None
    assert 2_000 < np.sqrt(np.mean(np.square(np.frombuffer(ready.pcm, "<i2").astype(float)))) < 6_000


def test_the_band_is_heard() -> None:
    telephone, wide = conditioned(tone(1.0, 0.3)), conditioned(tone(0.8, 0.3) + hiss(0.2, 0.1))
    assert telephone is not None
    assert wide is not None
    assert (telephone.band, wide.band) == (Band.TELEPHONE, Band.WIDE)


def test_what_interpolation_leaves_above_a_telephones_band_is_no_wide_voice() -> None:
    image = tone(1.0, 0.001, 4_700.0)
    called = np.frombuffer(tone(1.0, 0.3), "<i2") + np.frombuffer(image, "<i2")
    ready = conditioned(called.astype("<i2").tobytes())
    assert ready is not None
    assert ready.band is Band.TELEPHONE


def test_a_pause_is_one_only_after_something_new() -> None:
    watch = PauseWatch()
    watch.hear(b"\0" * RATE)
    assert not watch.pausing(240)
    watch.hear(tone(0.4, 0.3))
    assert not watch.pausing(240)
    watch.hear(b"\0" * 9_600)
    assert watch.pausing(240)
    watch.settle()
    assert not watch.pausing(240)
