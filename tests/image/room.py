"""The room of an emulated box: its sound card is the kernel's loopback, at whose other end somebody speaks and listens.

The daemon knows only device 0 of the card; what is played to device 1 is what its microphone takes, and what it plays
is recorded there.
"""

import io
import wave
from typing import Final

import numpy as np

from tests.image.machine import Machine
from tests.rig.sounds import Samples, write_wav
from tests.rig.spoken import speech

CARD: Final = "Loopback: PCM"
"""As `handset audio list` names it."""
RATE: Final = 16_000
_FAR_END: Final = "-q -D plughw:Loopback,1,0"


class Room:
    """One conversation at a time: `say` returns when it was said and `seconds` more have been listened to."""

    def __init__(self, box: Machine) -> None:
        self._box = box

    def say(self, text: str, *, seconds: int) -> Samples:
        """Says it aloud; what was heard meanwhile and afterwards, at RATE. Seconds are the box's."""
        spoken = self._box.folder / "spoken.wav"
        write_wav(spoken, speech(text, RATE, lead=0.5, tail=1.0), RATE)
        self._box.console.put("/run/spoken.wav", spoken.read_bytes())
        record = f"arecord {_FAR_END} -f S16_LE -r {RATE} -c 1 -d {seconds} /run/heard.wav"
        self._box.shell(f"{record} & aplay {_FAR_END} /run/spoken.wav; wait $!", seconds=1800)
        with wave.open(io.BytesIO(self._box.console.get("/run/heard.wav"))) as file:
            return np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
