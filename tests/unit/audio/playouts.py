"""What the tests of the playout say, and how they listen to it."""

import numpy as np

from appliance.audio.playout import Playout

RATE = 16_000
PERIOD = 320
FADE = 80


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def tone(samples: int, level: int = 8_000) -> np.ndarray:
    return np.full(samples, level, dtype="<i2")


def counting(samples: int, first: int = 1) -> np.ndarray:
    return np.arange(first, first + samples, dtype="<i2")


def pull(playout: Playout, samples: int = PERIOD) -> np.ndarray:
    return np.frombuffer(playout.pull(samples), dtype="<i2")


def said(playout: Playout, name: str, samples: np.ndarray) -> None:
    playout.play(name, samples.tobytes(), RATE)
    playout.finish(name)


def drained(playout: Playout, limit: int = 2_000) -> np.ndarray:
    blocks = []
    while playout.active():
        blocks.append(pull(playout))
        assert len(blocks) < limit
    return np.concatenate(blocks) if blocks else np.zeros(0, dtype="<i2")
