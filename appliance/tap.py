"""What a call's audio passes between the telephone and its line: its recorder, keys that sound, keys that are heard."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from appliance.audio.dtmf import Digit, DtmfDetector
from appliance.audio.recording import Recorder
from appliance.call.call import Call
from appliance.session.line import Line


@dataclass(slots=True)
class Tap:
    """`capture` and `playout` are called on the SIP client's thread, each once in 20 ms: 16 bit mono at `rate`."""

    line: Line
    rate: int
    call: Call
    pressed: Callable[[Digit], None]
    """Called on the SIP client's thread."""
    recorder: Recorder | None = None
    tones: deque[bytes] = field(default_factory=deque)
    """Digits that are sounding, 20 ms each."""
    detector: DtmfDetector | None = None

    def capture(self, pcm: bytes, at: float) -> None:
        """What the far end said, at that monotonic time in seconds."""
        if (recorder := self.recorder) is not None:
            recorder.hear(pcm, self.rate)
        if self.call.digits_by == "inband":
            pcm = self._listen(pcm)
        self.line.capture.feed(pcm, at)

    def playout(self, samples: int) -> bytes:
        """What the far end hears next."""
        pcm = self.line.pull(samples)
        if self.tones:
            pcm = self.tones.popleft()
        if (recorder := self.recorder) is not None:
            recorder.say(pcm, self.rate)
        return pcm

    def _listen(self, pcm: bytes) -> bytes:
        """What the line hears of these 20 ms: of a key's sound nothing, it is no speech."""
        if self.detector is None:
            self.detector = DtmfDetector(self.rate)
        for digit in self.detector.hear(pcm):
            self.pressed(digit)
        return bytes(len(pcm)) if self.detector.sounding else pcm
