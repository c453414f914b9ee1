"""One direction of the card, microphone or speaker: its stream, the device that must be behind it, and its health."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from drivers.audio_pyaudio.library import DEFAULT, SERVER_DEVICE, Enumeration, Listed, Stream
from drivers.audio_pyaudio.taps import Counts, MicrophoneTap, Tap
from drivers.pulse_watch import Kind, PulseWatch, ServerEvent

FIRST_BLOCK_SECONDS: Final = 3.0
STALL_PERIODS: Final = 5
STALLED: Final = "no more audio comes"
LOOKS_APART_SECONDS: Final = 0.2
ASK_SECONDS: Final = 5.0
"""How often the server is asked where the stream is without having told of a change: it may have been missed."""
SETTLE_SECONDS: Final = 1.0
SETTLE_STEP_SECONDS: Final = 0.02
_STREAM_FACILITY: Final = {"input": "source-output", "output": "sink-input"}
_DEVICE_FACILITY: Final = {"input": "source", "output": "sink"}


@dataclass(frozen=True, slots=True)
class Target:
    """Where a stream shall go: PortAudio's device, and behind it the server's, if there is a server."""

    device: str
    name: str
    endpoints: frozenset[int] | None = None
    """The server's devices that will do; None where no server stands between."""
    direct: bool = False
    """It is a card of the kernel's, which never moves a stream."""

    def through(self, device: Listed) -> "Target":
        """The same by way of the device that PortAudio really has for it."""
        return Target(device.name, self.name, None if device.hardware else self.endpoints, device.hardware)


def serve(enumeration: Enumeration, kind: Kind, target: Target) -> Listed | None:
    """PortAudio's device for the target. Where ALSA has no "pulse", if anything leads to the server, "default" does."""
    found = enumeration.find(kind, target.device)
    return enumeration.find(kind, DEFAULT) if found is None and target.device == SERVER_DEVICE else found


class Side:
    """Belongs to the card's thread, except `hear`."""

    def __init__(self, kind: Kind, wanted: str, period: float) -> None:
        self.kind: Kind = kind
        self.wanted = wanted
        self.counts = Counts()
        self.losses = 0
        self.known = ""
        """Name of the device as last reported; empty before the first one was found."""
        self.reported_lost = False
        self.due = 0.0
        self.failures = 0
        self.tap: Tap | None = None
        self.verified = False
        """The stream was looked up at the sound server, or there is none to ask."""
        self._period = period
        self._stream: Stream | None = None
        self._opened = 0.0
        self._asked = 0.0
        self._still = 0.0
        self._seen_blocks = -1
        self._server_stream: int | None = None
        self._server_device: int | None = None
        self._doubts = 0
        self._settled_doubts = 0

    @property
    def open(self) -> bool:
        return self._stream is not None

    def take(self, opener: Callable[[], Stream], tap: Tap, target: Target, watch: PulseWatch) -> bool:
        """Open and start a stream, and see where the server put it.

        False, and nothing is open, when that is the wrong place. Raises what `opener` raises, and OSError.
        """
        before = set(watch.streams(self.kind) or ()) if target.endpoints is not None else set()
        self._stream, self.tap = opener(), tap
        self._opened = self._asked = time.monotonic()
        self._seen_blocks, self._still = -1, 0.0
        self.verified = target.direct or target.endpoints is not None
        self._stream.start_stream()
        doubts = self._doubts
        strict = target.device == SERVER_DEVICE
        if target.endpoints is not None and not self._settle(before, target.endpoints, watch, strict=strict):
            self.close()
            return False
        self._trust(doubts)
        return True

    def close(self) -> None:
        """Nothing of the stream reaches the appliance from here on, even if PortAudio hangs in closing it."""
        stream, self._stream = self._stream, None
        self._server_stream = self._server_device = None
        if self.tap is not None:
            self.tap.closed = True
            self.tap = None
        if stream is not None:
            stream.close()

    def hear(self, event: ServerEvent) -> bool:
        """Any thread: shut the gate at once if the event may mean that our stream goes elsewhere; True if so."""
        stream = event.facility == _STREAM_FACILITY[self.kind] and event.index == self._server_stream
        device = (
            event.facility == _DEVICE_FACILITY[self.kind]
            and event.index == self._server_device
            and event.change == "remove"
        )
        if stream or device:
            self._doubts += 1
            tap = self.tap
            if isinstance(tap, MicrophoneTap):
                tap.gate = False
        return stream or device

    def fault(self, watch: PulseWatch) -> str:
        """Why the stream cannot be relied on any more, or nothing. Asked at 4 Hz, and when the server tells."""
        if self._stream is None or self.tap is None:
            return ""
        doubts = self._doubts
        if doubts != self._settled_doubts or time.monotonic() - self._asked > ASK_SECONDS:
            self._asked = time.monotonic()
            if self._server_stream is None:
                self._trust(doubts)
            else:
                streams = watch.streams(self.kind)
                # A server too busy to say: a speaker goes on, a microphone could be another one by now.
                if streams is not None or self.kind == "input":
                    if (streams or {}).get(self._server_stream) != self._server_device:
                        return "the sound server moved it to another device"
                    self._trust(doubts)
        if not self._stream.is_active():
            return "the stream ended"
        return self._stalled(self.tap)

    def late(self) -> bool:
        """Whether the last block is older than it should ever be on a machine that is not busy."""
        tap = self.tap
        return (
            tap is not None and tap.blocks > 0 and time.monotonic() - tap.last > STALL_PERIODS * self._period
        )

    def _stalled(self, tap: Tap) -> str:
        """Looks that saw nothing new, some time apart: a single one after a pause proves only that all of us paused."""
        now = time.monotonic()
        if tap.blocks == 0:
            return "no audio came" if now - self._opened > FIRST_BLOCK_SECONDS else ""
        if tap.blocks != self._seen_blocks:
            self._seen_blocks, self._still = tap.blocks, 0.0
            return ""
        self._still = self._still or now
        return STALLED if now - self._still > LOOKS_APART_SECONDS and self.late() else ""

    def _settle(
        self, before: set[int], endpoints: frozenset[int], watch: PulseWatch, *, strict: bool
    ) -> bool:
        """Wait for the server to list the stream. Only the server's own ALSA device must lead there."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < deadline:
            listed = watch.streams(self.kind) or {}
            ours = {stream: device for stream, device in listed.items() if stream not in before}
            if ours:
                self._server_stream, self._server_device = max(ours.items())
                return self._server_device in endpoints
            time.sleep(SETTLE_STEP_SECONDS)
        return not strict

    def _trust(self, doubts: int) -> None:
        """What was looked up answers the doubts up to then; one that arose meanwhile keeps the gate shut."""
        self._settled_doubts = doubts
        if isinstance(self.tap, MicrophoneTap):
            self.tap.gate = True
            if self._doubts != doubts:
                self.tap.gate = False
