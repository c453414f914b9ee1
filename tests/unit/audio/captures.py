"""What the tests of capture feed, and the detectors and cancellers that they feed it through."""

import numpy as np

from appliance.audio.capture import Captured, CapturePath
from appliance.config.schema import Vad
from tests.unit.audio.sounds import at_level, pcm_of

RATE = 16_000
BLOCK = 640


class Loudness:
    """A detector that takes what is loud for speech."""

    rate = RATE
    frame_samples = 320

    def likelihood(self, pcm):
        return float(np.abs(np.frombuffer(pcm, dtype="<i2")).max() > 3_000)

    def reset(self):
        pass


class Subtraction:
    """An echo canceller for an echo that is exactly what was played."""

    def __init__(self):
        self.order = []
        self.far = b""

    def far_end(self, pcm):
        self.order.append("far")
        self.far = pcm

    def near_end(self, pcm):
        self.order.append("near")
        near, far = np.frombuffer(pcm, dtype="<i2"), np.frombuffer(self.far, dtype="<i2")
        return (near - far).astype("<i2").tobytes()

    def close(self):
        self.order.append("closed")


class Broken(Subtraction):
    def near_end(self, pcm):
        raise RuntimeError("the library is unwell")


class BrokenDetector(Loudness):
    def likelihood(self, pcm):
        raise RuntimeError("the model is unwell")


def path(rate: int = RATE, **parts) -> CapturePath:
    return CapturePath(rate, Vad(hangover_ms=100), parts.pop("detector", Loudness()), **parts)


def talk(seconds: float, rate: int = RATE):
    """Loud noise with the ups and downs of speech."""
    rise = np.repeat(np.tile([1.0, 0.2], round(seconds * 50)), rate // 50)[: round(seconds * rate)]
    noise = np.random.default_rng(3).standard_normal(len(rise))
    return pcm_of(at_level(noise, -15) * rise)


def pcm_out(captured: list[Captured]) -> bytes:
    return b"".join(item.frame.pcm for item in captured)
