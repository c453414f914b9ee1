"""Contracts of what hears and sounds: lines, sound cards, detectors, echo cancellers, the device's own voice.

"Driver's thread" functions copy bytes and count: they do not log, wait for a lock, call asyncio, or raise.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

CaptureSink = Callable[[bytes, float], None]
"""Driver's thread: (pcm s16le mono at the driver's rate, monotonic second of its last sample)."""

PlayoutSource = Callable[[int], bytes]
"""Driver's thread: (samples wanted) -> exactly so many samples, s16le mono; silence where nothing is due."""


class LineKind(StrEnum):
    ROOM = "room"
    PHONE = "phone"
    CLIENT = "client"


@dataclass(frozen=True, slots=True)
class DeviceReport:
    """A sound card tells what became of a device. `kind` input or output; `state` present, lost or recovered."""

    kind: str
    state: str
    name: str


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """A device as `handset audio list` shows it; `name` is stable over re-plugging and what the configuration takes."""

    name: str
    kind: str
    channels: int
    rate: int
    default: bool = False


class SoundCard(Protocol):
    """A microphone and a speaker. Entry-point group `appliance.sound_cards`.

    Built as `factory(input_name, output_name, period_ms=20)`. `start` returns at once, also without any device: the
    card keeps looking, opens what comes, re-opens what was lost within 3 s of its return, and reports each change
    through `report` (any thread). A class also has a static `devices() -> list[DeviceInfo]`.
    """

    capture_rate: int
    """Rate at which the capture sink is called; known from construction on."""
    playout_rate: int
    """Rate at which the playout source is asked; known from construction on."""

    def start(
        self,
        capture: CaptureSink,
        playout: PlayoutSource,
        report: Callable[[DeviceReport], None],
    ) -> None: ...

    def stop(self) -> None:
        """Close the devices and join the threads; at most 2 s."""
        ...

    @property
    def output_delay_ms(self) -> float:
        """Time from a `playout` call's return to its first sample sounding, as far as the driver knows."""
        ...

    @property
    def silent_for(self) -> float:
        """Seconds since the driver's own thread gave a sign of life; 0 while it does not run."""
        ...

    def counters(self) -> Mapping[str, int]: ...


class VoiceDetector(Protocol):
    """Says whether a frame is speech. Group `appliance.voice_detectors`. Built with `aggressiveness`, or without."""

    rate: int
    frame_samples: int

    def likelihood(self, pcm: bytes) -> float:
        """How likely it is that somebody speaks, 0 to 1; a detector that only knows yes and no says 1.0 or 0.0.

        `pcm` is exactly `frame_samples` of s16le mono at `rate`.
        """
        ...

    def reset(self) -> None: ...


class WakeDetector(Protocol):
    """Finds a word in whatever is said. Group `appliance.wake_detectors`; built as `factory(words, sensitivity)`.

    A class also has a static `words() -> list[str]`: those that it brings with it.
    """

    def heard(self, pcm: bytes) -> str | None:
        """The word that ended within the last 200 ms, once; `pcm` is 20 ms of s16le mono at 16 kHz."""
        ...

    def close(self) -> None: ...


class PhraseSpotter(Protocol):
    """Says whether a short utterance is one of some phrases and nothing else.

    Group `appliance.phrase_spotters`; built as `factory(phrases, sensitivity)`, which loads nothing yet. A phrase is a
    few words in lower case; sensitivity is 0 to 1. Methods block, and may be called from any thread.
    """

    def prepare(self) -> None:
        """Load what the first utterance would wait for. Raise DriverMissing without the library."""
        ...

    def said(self, pcm: bytes) -> str | None:
        """The phrase that `pcm` is, s16le mono at 16 kHz, at most 2 s."""
        ...


class EchoCanceller(Protocol):
    """Takes the played sound out of the microphone's. Group `appliance.echo_cancellers`. 16 kHz, 10 ms a call."""

    def far_end(self, pcm: bytes) -> None:
        """Feed 10 ms of what was played, before the microphone's 10 ms."""
        ...

    def near_end(self, pcm: bytes) -> bytes:
        """Return the microphone's 10 ms with the echo taken out."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Spoken:
    """A piece of speech: the text that it says (on the first piece of each sentence, else empty) and its samples."""

    text: str
    pcm: bytes
    rate: int


class Voice(Protocol):
    """Text to speech on the device, for `say`, notifications and the appliance's own lines: `appliance.voices`."""

    def speak(self, text: str) -> AsyncIterator[Spoken]:
        """Yield speech sentence by sentence; closing the iterator stops the engine at once."""
        ...
