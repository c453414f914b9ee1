"""Echo cancellation, noise suppression and high-pass by WebRTC's audio processing module, from the livekit wheel.

The wheel brings a whole conferencing client; only its signal processing is used, and no server.
"""

from typing import Final

from livekit.rtc import AudioFrame
from livekit.rtc.apm import AudioProcessingModule

from appliance.frames import BYTES_PER_SAMPLE, WORKING_RATE

SAMPLES: Final = WORKING_RATE // 100


class WebRtcEchoCanceller:
    """Implements interfaces.EchoCanceller. It finds the echo's delay, up to 200 ms, by itself; it adds 8-14 ms."""

    def __init__(self, *, noise_suppression: bool = True) -> None:
        self._module = AudioProcessingModule(
            echo_cancellation=True, noise_suppression=noise_suppression, high_pass_filter=True
        )
        self._module.set_stream_delay_ms(0)

    def far_end(self, pcm: bytes) -> None:
        self._module.process_reverse_stream(frame_of(pcm))

    def near_end(self, pcm: bytes) -> bytes:
        frame = frame_of(pcm)
        self._module.process_stream(frame)
        return bytes(frame.data.cast("B"))

    def close(self) -> None:
        """Nothing to hand back: the module goes with this object."""


def frame_of(pcm: bytes) -> AudioFrame:
    """10 ms as the library takes them. Raise ValueError for another length."""
    if len(pcm) != SAMPLES * BYTES_PER_SAMPLE:
        raise ValueError(f"the echo canceller takes {SAMPLES} samples, not {len(pcm) // BYTES_PER_SAMPLE}")
    return AudioFrame(bytearray(pcm), WORKING_RATE, 1, SAMPLES)
