"""What a line in a simulated room hears and plays through: the playout, and the path with all that guards it."""

from dataclasses import dataclass
from typing import Self

from appliance.audio.capture import CapturePath
from appliance.audio.double_talk import DoubleTalk
from appliance.audio.far_end import FarEnd
from appliance.audio.playout import Playout
from appliance.audio.ring import Ring
from appliance.audio.vad import load_confirm, load_detector
from appliance.config.schema import Vad
from appliance.plugins import load
from tests.rig.acoustics import RATE


@dataclass(frozen=True)
class FullDuplex:
    """Echo canceller, detectors and far end are those that a room line is built with."""

    playout: Playout
    path: CapturePath
    far_end: FarEnd

    @classmethod
    def built(cls, vad: Vad, duck_db: float) -> Self:
        playout = Playout(RATE)
        playout.trim = 10 ** (-duck_db / 20)
        playout.reference = Ring(2 * RATE)
        path = CapturePath(
            RATE,
            vad,
            load_detector("webrtc", vad.aggressiveness),
            load_confirm("auto"),
            load("appliance.echo_cancellers", "webrtc")(),
            double_talk=DoubleTalk(vad, load_detector("webrtc", vad.aggressiveness), load_confirm("auto")),
        )
        return cls(playout, path, FarEnd(playout.reference, RATE, RATE))
