"""Ringing and music: what is heard, and that it can be repeated."""

import numpy as np
import pytest

from appliance.audio import tones
from tests.rig.tones import dominant_hertz

RATE = 16_000


def test_a_ring_is_425_hertz_for_a_second_and_silence_for_four() -> None:
    samples = np.frombuffer(tones.ringing(RATE), dtype="<i2")
    assert len(samples) == 5 * RATE
    assert dominant_hertz(samples[:RATE], RATE) == pytest.approx(425, abs=2)
    assert not samples[RATE:].any()


@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
def test_music_is_never_silent_nor_loud_and_has_no_seam(rate: int) -> None:
    samples = np.frombuffer(tones.music(rate), dtype="<i2").astype(np.int32)
    blocks = np.abs(samples[: len(samples) // 10 * 10]).reshape(10, -1).max(axis=1)
    assert blocks.min() > 300
    assert blocks.max() < 16_000
    steps = np.abs(np.diff(samples)).max()
    assert abs(int(samples[0]) - int(samples[-1])) <= steps
