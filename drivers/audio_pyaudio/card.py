"""The sound card: a thread that finds, opens, watches and re-opens a microphone and a speaker through PortAudio."""

import atexit
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from appliance.errors import DeviceUnavailable
from appliance.frames import samples_in
from appliance.interfaces import CaptureSink, DeviceInfo, DeviceReport, PlayoutSource
from drivers.audio_pyaudio.library import DEFAULT, SERVER_DEVICE, Enumeration, Listed, Stream, sound_cards
from drivers.audio_pyaudio.side import ASK_SECONDS, STALLED, Side, Target, serve
from drivers.audio_pyaudio.taps import MicrophoneTap, SpeakerTap
from drivers.pulse_watch import Kind, PulseWatch, ServerEvent, list_endpoints

logger = logging.getLogger(__name__)

RATE: Final = 48_000
LOOK_SECONDS: Final = 0.25
ENUMERATE_SECONDS: Final = 30.0
WATCH_SECONDS: Final = 2.5
RETRY_SECONDS: Final = (0.0, 0.1, 0.25, 0.5, 1.0)
STOP_SECONDS: Final = 1.4
_SERVER_VARIABLE: Final[Mapping[Kind, str]] = {"input": "PULSE_SOURCE", "output": "PULSE_SINK"}


class PyAudioCard:
    """Implements interfaces.SoundCard over PyAudio: two half-duplex callback streams, mono.

    The rate is 48 kHz on both sides whatever the card: nearly every codec and sound server runs at it natively, and
    where one does not, the server or ALSA's `plughw` converts. A name is "default" or one that `devices` lists.
    "default" is never the monitor of a speaker. Nothing is reported before a device was found for the first time.
    One card a process: PortAudio enumerates for the whole process.
    """

    def __init__(
        self, input_name: str = DEFAULT, output_name: str = DEFAULT, *, period_ms: int = 20, rate: int = RATE
    ) -> None:
        self.capture_rate = rate
        self.playout_rate = rate
        self._period = samples_in(period_ms, rate)
        self._sides = (
            Side("input", input_name),
            Side("output", output_name),
        )
        self._enumeration: Enumeration | None = None
        self._enumerated = 0.0
        self._enumerated_world: tuple[str, bool] = ("", False)
        self._enumerations = 0
        self._abandoned = 0
        self._environment: dict[str, str | None] = {}
        self._faults = 0
        self._stopping = False
        self._looked = 0.0
        self._wake = threading.Event()
        self._watch = PulseWatch(self._server_said)
        self._thread = threading.Thread(target=self._run, name="sound-card", daemon=True)

    @staticmethod
    def devices() -> list[DeviceInfo]:
        """What there is to choose from: the sound server's devices, or else ALSA's. Takes up to 0.5 s."""
        kinds: tuple[Kind, ...] = ("input", "output")
        found = [
            DeviceInfo(endpoint.name, kind, endpoint.channels, endpoint.rate, endpoint.default)
            for kind in kinds
            for endpoint in list_endpoints(kind)
            if endpoint.usable
        ]
        return found or _alsa_devices(kinds)

    def start(
        self, capture: CaptureSink, playout: PlayoutSource, report: Callable[[DeviceReport], None]
    ) -> None:
        self._capture, self._playout, self._report = capture, playout, report
        for side in self._sides:
            # Read by the server's client library whenever a stream opens. Set once here: the C library's
            # environment must not change under running threads.
            if side.wanted != DEFAULT:
                variable = _SERVER_VARIABLE[side.kind]
                self._environment[variable] = os.environ.get(variable)
                os.environ[variable] = side.wanted
        # A stream that still runs while the interpreter ends would crash it.
        atexit.register(self.stop)
        self._watch.start()
        self._thread.start()

    def stop(self) -> None:
        atexit.unregister(self.stop)
        self._stopping = True
        for side in self._sides:
            if (tap := side.tap) is not None:
                tap.closed = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)
            if self._thread.is_alive():
                self._abandoned += 1
                logger.warning("PortAudio hangs in closing a device: its thread is left behind")
        self._watch.stop()
        while self._environment:
            variable, before = self._environment.popitem()
            os.environ.pop(variable, None)
            if before is not None:
                os.environ[variable] = before

    @property
    def output_delay_ms(self) -> float:
        tap = self._sides[1].tap
        return tap.delay * 1000 if isinstance(tap, SpeakerTap) else 0.0

    @property
    def silent_for(self) -> float:
        return time.monotonic() - self._looked if self._looked else 0.0

    def counters(self) -> Mapping[str, int]:
        """Totals since construction, and the present backlog and silence of the microphone in milliseconds."""
        microphone, speaker = self._sides
        tap = microphone.tap
        milliseconds = 1000 / self.capture_rate
        return {
            "input_blocks": microphone.counts.blocks,
            "input_xruns": microphone.counts.xruns,
            "input_losses": microphone.losses,
            "input_backlog_ms": round(tap.backlog * 1000) if isinstance(tap, MicrophoneTap) else 0,
            "input_backlog_dropped_ms": round(microphone.counts.backlog_dropped * milliseconds),
            "input_gated_ms": round(microphone.counts.gated * milliseconds),
            "input_zero_ms": round(microphone.counts.zero_blocks * self._period * milliseconds),
            "output_blocks": speaker.counts.blocks,
            "output_xruns": speaker.counts.xruns,
            "output_losses": speaker.losses,
            "callback_faults": microphone.counts.faults + speaker.counts.faults,
            "card_faults": self._faults,
            "enumerations": self._enumerations,
            "abandoned_threads": self._abandoned,
        }

    # --- the card's thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        self._watch.settled.wait(WATCH_SECONDS)
        while not self._stopping:
            self._looked = time.monotonic()
            try:
                self._look()
            except Exception:
                # A card that nobody tends is silent for good: whatever this was, the next look is the remedy.
                self._faults += 1
                logger.exception("sound card")
            self._wake.wait(LOOK_SECONDS)
            self._wake.clear()
        self._looked = 0.0
        for side in self._sides:
            side.close()
        if self._enumeration is not None:
            self._enumeration.close()

    def _look(self) -> None:
        faults = {side.kind: side.fault(self._watch) for side in self._sides}
        if STALLED in faults.values():
            # What stopped one side may have stopped both, and closing the first may then take for ever.
            faults = {
                side.kind: faults[side.kind] or (STALLED if side.late() else "") for side in self._sides
            }
        lost = [side for side in self._sides if faults[side.kind]]
        for side in lost:
            self._note_loss(side, faults[side.kind])
        for side in self._sides:
            if side in lost or (side.open and self._watch.up and not side.verified):
                side.close()  # not verified: opened before the server could be asked where the stream went
                side.failures, side.due = 0, 0.0
        for side in self._sides:
            if not side.open and time.monotonic() >= side.due and not self._stopping:
                self._seek(side)

    def _server_said(self, event: ServerEvent | None) -> None:
        """The watch's thread. Devices that come or go are looked at, at once; of streams only our own concern us."""
        doubts = [side.hear(event) for side in self._sides] if event is not None else []
        if event is None or any(doubts) or _concerns_devices(event):
            for side in self._sides:
                side.due = 0.0
            self._wake.set()

    def _note_loss(self, side: Side, reason: str) -> None:
        if side.tap is not None:
            side.tap.closed = True
        side.losses += 1
        logger.warning("%s device %s lost: %s", side.kind, side.known, reason)
        if not side.reported_lost:
            side.reported_lost = True
            self._report(DeviceReport(side.kind, "lost", side.known))

    def _seek(self, side: Side) -> None:
        """One attempt to open what the side wants; sets when the next one is due."""
        side.failures += 1
        # Set before the server is asked: when it tells of something new meanwhile, the next attempt is due at once.
        side.due = time.monotonic() + ASK_SECONDS
        target = self._target(side)
        if target is not None:
            if self._open(side, target):
                return
            pause = RETRY_SECONDS[min(side.failures, len(RETRY_SECONDS) - 1)]
            side.due = min(side.due, time.monotonic() + pause)
        if side.known and not side.reported_lost:
            side.reported_lost = True
            side.losses += 1
            self._report(DeviceReport(side.kind, "lost", side.known))

    def _target(self, side: Side) -> Target | None:
        endpoints = self._watch.endpoints(side.kind) if self._watch.up else []
        for endpoint in endpoints:
            if endpoint.name == side.wanted or (
                side.wanted == DEFAULT and endpoint.default and endpoint.usable
            ):
                return Target(SERVER_DEVICE, endpoint.name, frozenset({endpoint.index}))
        if not self._watch.up:
            return Target(side.wanted, side.wanted)
        if side.wanted == DEFAULT:
            return None
        # A name of ALSA's that may well lead to the server, too: to which device is its own affair.
        return Target(side.wanted, side.wanted, frozenset(endpoint.index for endpoint in endpoints))

    def _device(self, side: Side, target: Target) -> Listed | None:
        """PortAudio's device for the target. Enumerates anew when that may help and is worth a gap on the other."""
        world = (sound_cards(), self._watch.up)
        if self._enumeration is not None:
            device = serve(self._enumeration, side.kind, target)
            current = world == self._enumerated_world
            busy = any(other.open for other in self._sides)
            if device is not None and (current or not device.hardware) and (busy or side.failures < 3):
                return device
            if current and (busy or time.monotonic() - self._enumerated < ENUMERATE_SECONDS):
                return device
        self._enumerate(world)
        return serve(self._enumeration, side.kind, target) if self._enumeration is not None else None

    def _enumerate(self, world: tuple[str, bool]) -> None:
        """Closes both streams. The other side's is opened again in this round or the next, and nothing is reported."""
        for side in self._sides:
            if side.open:
                side.close()
                side.due = 0.0
                self._wake.set()
        if self._enumeration is not None:
            self._enumeration.close()
            self._enumeration = None
        self._enumerated, self._enumerated_world = time.monotonic(), world
        self._enumerations += 1
        try:
            self._enumeration = Enumeration({side.wanted for side in self._sides})
        except OSError as error:
            logger.warning("PortAudio cannot be initialised: %s", error)

    def _open(self, side: Side, target: Target) -> bool:
        device, enumeration = self._device(side, target), self._enumeration
        if device is None or enumeration is None:
            return False
        rate, period = self.capture_rate, self._period
        tap: MicrophoneTap | SpeakerTap
        if side.kind == "input":
            tap = MicrophoneTap(side.counts, rate, self._capture)
        else:
            tap = SpeakerTap(side.counts, rate, self._playout, 2 * period / rate)

        def opener() -> Stream:
            return enumeration.open(side.kind, device, rate, period, tap)

        try:
            opened = side.take(opener, tap, target.through(device), self._watch)
        except (OSError, DeviceUnavailable) as error:
            side.close()
            level = logging.WARNING if side.failures == 1 else logging.DEBUG
            logger.log(level, "%s device: %s", side.kind, error)
            return False
        if opened:
            self._found(side, target.name if target.endpoints is not None else device.name)
        return opened

    def _found(self, side: Side, name: str) -> None:
        side.failures = 0
        if not side.known:
            self._report(DeviceReport(side.kind, "present", name))
        elif side.reported_lost or name != side.known:
            self._report(DeviceReport(side.kind, "recovered", name))
        side.known, side.reported_lost = name, False


def _concerns_devices(event: ServerEvent) -> bool:
    if event.facility == "server":
        return True
    return event.facility in ("source", "sink") and event.change != "change"


def _alsa_devices(kinds: tuple[Kind, ...]) -> list[DeviceInfo]:
    enumeration = Enumeration()
    try:
        return [
            DeviceInfo(
                device.name, kind, device.inputs if kind == "input" else device.outputs, device.rate, default
            )
            for kind in kinds
            for device in enumeration.devices
            if device.serves(kind)
            for default in (enumeration.find(kind, DEFAULT) == device,)
        ]
    finally:
        enumeration.close()
