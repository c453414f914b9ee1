"""From detector frames to the edges of speech: pure, 20 ms frames at 16 kHz.

A cheap detector that latches on hum and noise is held back by an adaptive level criterion, and, where there is one,
by a second detector that must agree.
"""

import inspect
from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, cast

import numpy as np

from appliance.audio.floor import NoiseFloor, Steadiness, band_levels
from appliance.config.schema import Vad
from appliance.errors import DriverMissing, UnknownName
from appliance.frames import BYTES_PER_SAMPLE, FRAME_MS, WORKING_RATE, samples_in
from appliance.interfaces import VoiceDetector
from appliance.plugins import load

GROUP: Final = "appliance.voice_detectors"
AUTOMATIC_CONFIRM: Final = "silero"
FRAME_BYTES: Final = samples_in(FRAME_MS, WORKING_RATE) * BYTES_PER_SAMPLE

LIKELY: Final = 0.35
"""From here on a frame of the first detector is speech."""
EVIDENCE: Final = 1.0
"""The confirming detector agrees when the likelihoods of a candidate's frames add up to more: one frame never does."""
FAINT: Final = 0.2
"""Likelihoods up to this are no evidence."""
DOUBT_MS: Final = 640
"""When the confirming detector was asked for so long without agreeing, it is no speech."""
TRUST_MS: Final = 3_000
"""How long speech stays confirmed before the confirming detector is asked again."""
LOUD_RMS: Final = 2_500.0
HIGHEST_GAIN: Final = 12.0
STANDS_OUT_DB: Final = 6.0
PRIMING_FRAMES: Final = 12
"""Frames before a candidate that the confirming detector hears first. A network that has heard nothing yet is unsure
for its first 150 ms, and would find a short word too late, or not at all."""
_NOTHING: Final = [bytes(FRAME_BYTES)] * PRIMING_FRAMES
"""What was before a line's first frame."""


class Edge(StrEnum):
    STARTED = "started"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Decision:
    """State after a frame: `voiced_ms` counts the frames of this run that were speech, hangover left out."""

    speech: bool
    edge: Edge | None
    voiced_ms: float


class Rechunked:
    """Feeds a detector whatever its frame size is. `likelihoods` are those that a frame brought, oldest first."""

    def __init__(self, detector: VoiceDetector) -> None:
        if detector.rate != WORKING_RATE:
            raise ValueError(f"a detector at {detector.rate} Hz: {WORKING_RATE} is needed")
        self._detector = detector
        self._size = detector.frame_samples * BYTES_PER_SAMPLE
        self._pending = b""

    def likelihoods(self, pcm: bytes) -> list[float]:
        self._pending += pcm
        likelihoods: list[float] = []
        while len(self._pending) >= self._size:
            likelihoods.append(self._detector.likelihood(self._pending[: self._size]))
            self._pending = self._pending[self._size :]
        return likelihoods

    def reset(self) -> None:
        self._pending = b""
        self._detector.reset()


class Confirmation:
    """A second, costly detector. It listens to candidates until it agrees, and asks again after TRUST_MS of speech."""

    def __init__(self, detector: VoiceDetector) -> None:
        self._detector = Rechunked(detector)
        self._before = deque(_NOTHING, maxlen=PRIMING_FRAMES)
        self._agreed = False
        self._trusted_ms = 0
        self._listening = False
        self._evidence = 0.0
        self._asked_ms = 0
        self._loudest = 0.0

    def idle(self, pcm: bytes) -> None:
        """A frame that is neither a candidate nor within speech."""
        if self._listening or self._agreed:
            self._agreed = False
            self._trusted_ms = 0
            self._rest()
        self._before.append(pcm)

    def agrees(self, pcm: bytes) -> bool:
        """A frame of a candidate or of speech: True once there is EVIDENCE, until it fails to come."""
        if self._trusted_ms > 0:
            self._trusted_ms -= FRAME_MS
            self._before.append(pcm)
            return True
        frames = [pcm] if self._listening else [*self._before, pcm]
        self._before.append(pcm)
        self._listening = True
        for frame in frames:
            self._evidence += sum(
                sure for sure in self._detector.likelihoods(self._loud(frame)) if sure > FAINT
            )
        self._asked_ms += FRAME_MS
        if self._evidence > EVIDENCE:
            self._agreed, self._trusted_ms = True, TRUST_MS
            self._rest()
        elif self._asked_ms >= DOUBT_MS:
            self._agreed = False
            self._evidence, self._asked_ms = 0.0, 0
        return self._agreed

    def reset(self) -> None:
        self._agreed = False
        self._trusted_ms = 0
        self._before.extend(_NOTHING)
        self._rest()

    def _loud(self, pcm: bytes) -> bytes:
        """Raised towards LOUD_RMS, by the loudest frame of this candidate: the network is slow to find quiet speech."""
        samples = np.frombuffer(pcm, dtype="<i2").astype(np.float32)
        self._loudest = max(self._loudest, float(np.sqrt(np.mean(np.square(samples)))))
        gain = min(HIGHEST_GAIN, LOUD_RMS / max(1.0, self._loudest))
        if gain <= 1.0:
            return pcm
        raised: bytes = np.clip(samples * gain, -32_768, 32_767).astype("<i2").tobytes()
        return raised

    def _rest(self) -> None:
        self._loudest = 0.0
        self._listening = False
        self._evidence = 0.0
        self._asked_ms = 0
        self._detector.reset()


class SpeechGate:
    """Smooths detector frames: STARTED after `vad.start_ms` of speech, STOPPED `vad.hangover_ms` after its end.

    A frame is speech when the detector says so and its level stands out from the noise floor; a start also needs
    `confirm` to agree, where there is one, and speech that `confirm` goes on denying ends.
    """

    def __init__(self, settings: Vad, detector: VoiceDetector, confirm: VoiceDetector | None = None) -> None:
        self._start_ms = settings.start_ms
        self._hangover_ms = settings.hangover_ms
        self._detector = Rechunked(detector)
        self._confirm = Confirmation(confirm) if confirm is not None else None
        self._floor = NoiseFloor()
        self._steadiness = Steadiness()
        self._detected = False
        self._agreed_now = False
        self._speech = False
        self._run_ms = 0
        self._gap_ms = 0
        self._voiced_ms = 0

    @property
    def beginning(self) -> bool:
        """Too short to be speech yet, but both detectors hear a voice; False where there is only one."""
        return self._agreed_now and not self._speech and self._run_ms > 0

    @property
    def calm(self) -> bool:
        """Neither speech nor the beginning of any: none starts within less than `vad.start_ms` from here."""
        return not self._speech and self._run_ms == 0

    def process(self, pcm: bytes) -> Decision:
        """Take the next 20 ms (s16le mono at 16 kHz)."""
        voiced = self._stands_out(pcm)
        agreed = self._agreed(pcm, voiced)
        self._agreed_now = agreed and self._confirm is not None
        if self._speech:
            voiced &= agreed
        self._count(voiced)
        edge = None
        if not self._speech and agreed and self._run_ms >= self._start_ms:
            self._speech, edge = True, Edge.STARTED
            self._voiced_ms = self._run_ms
        elif self._speech and self._gap_ms >= self._hangover_ms:
            self._speech, edge = False, Edge.STOPPED
            self._voiced_ms = self._run_ms = 0
        return Decision(self._speech, edge, float(self._voiced_ms))

    def _stands_out(self, pcm: bytes) -> bool:
        for likelihood in self._detector.likelihoods(pcm):
            self._detected = likelihood >= LIKELY
        levels = band_levels(pcm)
        above = self._floor.stands_out_db(levels)
        self._steadiness.take(levels)
        return self._detected and above >= STANDS_OUT_DB and not self._steadiness.steady

    def _agreed(self, pcm: bytes, voiced: bool) -> bool:
        if self._confirm is None:
            return True
        if voiced or self._speech or self._run_ms:
            return self._confirm.agrees(pcm)
        self._confirm.idle(pcm)
        return False

    def _count(self, voiced: bool) -> None:
        if voiced:
            self._gap_ms = 0
            self._run_ms += FRAME_MS
            self._voiced_ms += FRAME_MS if self._speech else 0
        else:
            self._gap_ms += FRAME_MS
            # One frame that the detector missed does not make a candidate start anew.
            self._run_ms = max(0, self._run_ms - FRAME_MS)

    def reset(self) -> Edge | None:
        """Forget speech and candidates, but not the room's noise; STOPPED when speech was on."""
        edge = Edge.STOPPED if self._speech else None
        self._detector.reset()
        if self._confirm is not None:
            self._confirm.reset()
        self._speech = self._detected = self._agreed_now = False
        self._run_ms = self._gap_ms = self._voiced_ms = 0
        return edge

    def close(self) -> None:
        """Let go of the confirming detector: its network must not wait in memory for the cycle collector."""
        self._confirm = None


def load_detector(name: str, aggressiveness: int = 2) -> VoiceDetector:
    """The voice detector called `name`, built with `aggressiveness` if it takes one.

    Raise UnknownName or DriverMissing.
    """
    factory = load(GROUP, name)
    takes_it = "aggressiveness" in inspect.signature(factory).parameters
    return cast(VoiceDetector, factory(aggressiveness=aggressiveness) if takes_it else factory())


def load_confirm(name: str) -> VoiceDetector | None:
    """The confirming detector of `vad.confirm`: a name, "off", or "auto" for the neural one where it is installed."""
    if name in {"", "off", "none"}:
        return None
    if name != "auto":
        return load_detector(name)
    try:
        return load_detector(AUTOMATIC_CONFIRM)
    except (DriverMissing, UnknownName):
        return None
