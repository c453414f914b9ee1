"""One direction of the card, microphone or speaker: its stream, the device that must be behind it, and its health."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from drivers.audio_pyaudio.library import DEFAULT, SERVER_DEVICE, Enumeration, Listed, Stream, sound_cards
from drivers.audio_pyaudio.place import Place, place_of
from drivers.audio_pyaudio.taps import Counts, MicrophoneTap, Tap
from drivers.pulse_watch import Kind, PulseWatch, ServerEvent

FIRST_BLOCK_SECONDS: Final = 3.0
STALLED: Final = "no more audio comes"
MOVED: Final = "the sound server moved it to another device"
GONE: Final = "the device is gone"
ENDED: Final = "the sound server ended its stream"
UNTOLD: Final = "the sound server does not tell where its stream is"
SILENT_SECONDS: Final = 3.0
"""A starved machine, or its sound server, pauses for this long and goes on by itself."""
ORPHAN_SECONDS: Final = 0.2
"""The same where a sound card was pulled or the server ended: nothing goes on then."""
LATE_SECONDS: Final = 1.0
MISSING_SECONDS: Final = 1.0
"""A stream that the server began anew is listed again within milliseconds."""
UNTOLD_SECONDS: Final = 6.0
"""For this long a microphone stays shut and open, waiting for a server too busy to answer."""
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

    def __init__(self, kind: Kind, wanted: str) -> None:
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
        self._stream: Stream | None = None
        self._opened = 0.0
        self._asked = 0.0
        self._still = 0.0
        self._seen_blocks = -1
        self._cards = ""
        self._served = False
        self._before: set[int] = set()
        self._server_stream: int | None = None
        self._server_device: int | None = None
        self._device_removed = False
        self._taking = False
        self._unplaced = 0.0
        self._doubts = 0
        self._settled_doubts = 0

    @property
    def open(self) -> bool:
        return self._stream is not None

    def take(self, opener: Callable[[], Stream], tap: Tap, target: Target, watch: PulseWatch) -> bool:
        """Open and start a stream, and see where the server put it.

        False, and nothing is open, when that is the wrong place. Raises what `opener` raises, and OSError.
        """
        self._served = target.endpoints is not None
        if target.endpoints is not None:
            listed = watch.streams(self.kind)
            if listed is None:
                # The stream that is just being closed could not be told from the new one.
                return False
            self._before = set(listed)
        self._taking = True
        try:
            return self._begin(opener, tap, target, watch)
        finally:
            self._taking = False

    def _begin(self, opener: Callable[[], Stream], tap: Tap, target: Target, watch: PulseWatch) -> bool:
        doubts = self._doubts
        self._cards = sound_cards()
        self._stream, self.tap = opener(), tap
        self._opened = self._asked = time.monotonic()
        self._seen_blocks, self._still, self._unplaced = -1, 0.0, 0.0
        self.verified = target.direct or self._served
        self._stream.start_stream()
        if target.endpoints is None:
            self._trust(doubts)
            return True
        if self._settle(target.endpoints, watch, strict=target.device == SERVER_DEVICE):
            return True
        self.close()
        return False

    def close(self) -> None:
        """Nothing of the stream reaches the appliance from here on, even if PortAudio hangs in closing it."""
        stream, self._stream = self._stream, None
        self._server_stream = self._server_device = None
        self._device_removed = False
        if self.tap is not None:
            self.tap.closed = True
            self.tap = None
        if stream is not None:
            stream.close()

    def hear(self, event: ServerEvent) -> bool:
        """Any thread: shut the gate at once if the event may mean that our stream goes elsewhere; True if so.

        While a stream begins, or is in doubt, its index is not known: then any stream's event may be about it.
        """
        unknown = self._taking or self._doubts != self._settled_doubts
        stream = event.facility == _STREAM_FACILITY[self.kind] and (
            event.index == self._server_stream or (unknown and self.open)
        )
        device = (
            event.facility == _DEVICE_FACILITY[self.kind]
            and event.index == self._server_device
            and event.change == "remove"
        )
        if device:
            self._device_removed = True
        if stream or device:
            self._doubts += 1
            self._shut()
        # Whoever takes a stream looks by himself; woken for it, he would try again at once for ever.
        return (stream or device) and not self._taking

    def fault(self, watch: PulseWatch) -> str:
        """Why the stream cannot be relied on any more, or nothing. Asked at 4 Hz, and when the server tells."""
        if self._stream is None or self.tap is None:
            return ""
        doubts = self._doubts
        if doubts != self._settled_doubts or time.monotonic() - self._asked > ASK_SECONDS:
            reason = self._misplaced(watch, doubts)
            if reason:
                return reason
        if not self._stream.is_active():
            return "the stream ended"
        return self._stalled(self.tap, watch)

    def late(self) -> bool:
        """Whether the last block is older than a pause of a busy machine would explain, or nearly so."""
        tap = self.tap
        return tap is not None and tap.blocks > 0 and time.monotonic() - tap.last > LATE_SECONDS

    def _misplaced(self, watch: PulseWatch, doubts: int) -> str:
        """Why the stream is not where it should be. A microphone that may be elsewhere is shut while that is open."""
        now = self._asked = time.monotonic()
        if self._server_stream is None or self._server_device is None:
            self._trust(doubts)
            return ""
        place = self._look_up(watch, frozenset({self._server_device}))
        if place.verdict == "right":
            self._adopt(place)
            self._trust(doubts)
            return ""
        if place.verdict == "moved":
            return MOVED
        if self._device_removed:
            return GONE
        if place.verdict == "untold" and self.kind == "output":
            # A server too busy to say: nobody is overheard through a speaker.
            return ""
        self._shut()
        self._settled_doubts = -1
        self._unplaced = self._unplaced or now
        waited = time.monotonic() - self._unplaced
        if place.verdict == "missing":
            return ENDED if waited > MISSING_SECONDS else ""
        return UNTOLD if waited > UNTOLD_SECONDS else ""

    def _stalled(self, tap: Tap, watch: PulseWatch) -> str:
        """Looks that saw nothing new, some time apart: a single one after a pause proves only that all of us paused."""
        now = time.monotonic()
        if tap.blocks == 0:
            return "no audio came" if now - self._opened > FIRST_BLOCK_SECONDS else ""
        if tap.blocks != self._seen_blocks:
            self._seen_blocks, self._still = tap.blocks, 0.0
            return ""
        self._still = self._still or now
        orphan = (self._served and not watch.up) or sound_cards() != self._cards
        return STALLED if now - self._still > (ORPHAN_SECONDS if orphan else SILENT_SECONDS) else ""

    def _settle(self, endpoints: frozenset[int], watch: PulseWatch, *, strict: bool) -> bool:
        """Wait for the server to list the stream. Only the server's own ALSA device must lead there."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while True:
            doubts = self._doubts
            place = self._look_up(watch, endpoints)
            late = time.monotonic() > deadline
            if place.verdict == "moved":
                return False
            if place.verdict == "right":
                self._adopt(place)
                if late or doubts == self._doubts:
                    self._trust(doubts)
                    return True
            elif late:
                if strict or place.verdict == "untold":
                    return False
                self._trust(doubts)
                return True
            time.sleep(SETTLE_STEP_SECONDS)

    def _look_up(self, watch: PulseWatch, devices: frozenset[int]) -> Place:
        listed = watch.streams(self.kind)
        if listed is not None:
            self._before &= listed.keys()  # an index that is free again may be given to us
        return place_of(listed, self._before, devices)

    def _adopt(self, place: Place) -> None:
        self._server_stream, self._server_device = place.stream, place.device
        self._unplaced = 0.0

    def _shut(self) -> None:
        tap = self.tap
        if isinstance(tap, MicrophoneTap):
            tap.gate = False

    def _trust(self, doubts: int) -> None:
        """What was looked up answers the doubts up to then; one that arose meanwhile keeps the gate shut."""
        self._settled_doubts = doubts
        if isinstance(self.tap, MicrophoneTap):
            self.tap.gate = True
            if self._doubts != doubts:
                self.tap.gate = False
