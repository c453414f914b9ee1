"""PortAudio as a library: enumeration, device names that survive re-plugging, opening a stream, and silence on stderr.

PortAudio enumerates only when its first user initialises it. Whoever wants to see a new device has to close every
stream of the process first: that is why one `Enumeration` serves both directions, and why it can be out of date.
"""

import ctypes
import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from appliance.errors import DeviceUnavailable, DriverMissing
from drivers.audio_pyaudio.spares import leave_out
from drivers.pulse_watch import Kind

# `plughw` converts where a card knows neither our rate nor mono; a JACK server is never to be started.
os.environ.setdefault("PA_ALSA_PLUGHW", "1")
os.environ.setdefault("JACK_NO_START_SERVER", "1")

try:
    import pyaudio
except ImportError as error:
    raise DriverMissing(
        f"PyAudio cannot be loaded: {error}",
        hint="apt-get install libportaudio2 portaudio19-dev gcc, then: pip install PyAudio",
    ) from error

CONTINUE: Final = int(pyaudio.paContinue)
DEFAULT: Final = "default"
SERVER_DEVICE: Final = "pulse"
"""The ALSA device that leads to a PulseAudio server."""

_CARD_NUMBER: Final = re.compile(r"\s*\((?:plug)?hw:\d+,\d+\)$")
_CARDS: Final = Path("/proc/asound/cards")

StreamCallback = Callable[[bytes | None, int, Mapping[str, float], int], tuple[bytes | None, int]]


class Stream(Protocol):
    """What this driver uses of a PyAudio stream."""

    def is_active(self) -> bool: ...
    def start_stream(self) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Listed:
    """A device of PortAudio's enumeration. `name` is stable; `index` is good within its enumeration only."""

    index: int
    name: str
    inputs: int
    outputs: int
    rate: int
    hardware: bool

    def serves(self, kind: Kind) -> bool:
        return (self.inputs if kind == "input" else self.outputs) > 0


class Enumeration:
    """One initialisation of PortAudio: what it saw, and the streams opened on it. Takes 0.1 to 0.5 s to make.

    ALSA's spare plug-ins are looked at only where they are `asked` for by name, or all with None.
    """

    def __init__(self, asked: Collection[str] | None = None) -> None:
        _hush()
        if asked is not None:
            leave_out(asked)
        self._library = pyaudio.PyAudio()
        self.devices = stable_names(
            [self._library.get_device_info_by_index(i) for i in range(self._library.get_device_count())]
        )

    def find(self, kind: Kind, name: str) -> Listed | None:
        """The device of that stable name that can do `kind`.

        Where ALSA's "default" cannot (the first card of a Raspberry Pi has no microphone), a card that can stands in.
        """
        able = [device for device in self.devices if device.serves(kind)]
        named = next((device for device in able if device.name == name), None)
        if named is None and name == DEFAULT:
            return next((device for device in able if device.hardware), None)
        return named

    def open(self, kind: Kind, device: Listed, rate: int, period: int, callback: StreamCallback) -> Stream:
        """Opens a stream of mono 16 bit and does not start it; raises DeviceUnavailable."""
        side = {f"{kind}": True, f"{kind}_device_index": device.index}
        try:
            stream: Stream = self._library.open(
                rate=rate,
                channels=1,
                format=pyaudio.paInt16,
                frames_per_buffer=period,
                stream_callback=callback,
                start=False,
                **side,
            )
        except (OSError, ValueError) as error:
            raise DeviceUnavailable(f"{device.name} cannot be opened for {kind}: {error}") from error
        return stream

    def close(self) -> None:
        self._library.terminate()


def stable_names(devices: list[Mapping[str, Any]]) -> list[Listed]:
    """Names without the card's number, which depends on the order of plugging. A second one of a name gets " #2"."""
    seen: dict[str, int] = {}
    listed = []
    for device in devices:
        whole = str(device["name"])
        name = _CARD_NUMBER.sub("", whole)
        seen[name] = seen.get(name, 0) + 1
        listed.append(
            Listed(
                index=int(device["index"]),
                name=name if seen[name] == 1 else f"{name} #{seen[name]}",
                inputs=int(device["maxInputChannels"]),
                outputs=int(device["maxOutputChannels"]),
                rate=int(device["defaultSampleRate"]),
                hardware=name != whole,
            )
        )
    return listed


def sound_cards() -> str:
    """What the kernel says of its sound cards: differs when one was plugged, pulled or took another number. Cheap."""
    try:
        return _CARDS.read_text()
    except OSError:
        return ""


def _hush() -> None:
    """Keeps what PortAudio, ALSA and JACK print about every device that does not exist out of the log, for good.

    They print through C's `stderr` variable, also from their own threads when a device goes. Pointing that one
    elsewhere leaves file descriptor 2 alone: Python's log, tracebacks, faulthandler and the C library's last words
    before an abort write there directly and still come through.
    """
    _C_STDERR.value = _NOWHERE


def _hushable() -> tuple[ctypes.c_void_p, int | None]:
    program = ctypes.CDLL(None)
    program.fopen.restype = ctypes.c_void_p
    stream = ctypes.c_void_p.in_dll(program, "stderr")
    return stream, program.fopen(b"/dev/null", b"we") or stream.value


_C_STDERR, _NOWHERE = _hushable()
