"""Voice detection by WebRTC's classic detector: cheap and quick, but it also calls hum, fans and music speech."""

from typing import Final

import webrtcvad

from appliance.frames import FRAME_MS, WORKING_RATE, samples_in


class WebRtcDetector:
    """Implements interfaces.VoiceDetector. `aggressiveness` 0 (lets much through) to 3 (strict)."""

    rate: Final = WORKING_RATE
    frame_samples: Final = samples_in(FRAME_MS, WORKING_RATE)

    def __init__(self, aggressiveness: int = 2) -> None:
        self._aggressiveness = aggressiveness
        self._engine = webrtcvad.Vad(aggressiveness)

    def likelihood(self, pcm: bytes) -> float:
        return float(self._engine.is_speech(pcm, self.rate))

    def reset(self) -> None:
        self._engine = webrtcvad.Vad(self._aggressiveness)
