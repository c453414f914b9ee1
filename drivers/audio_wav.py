"""A sound card of two files, in real time and from the same moment on: one WAV is the microphone, one the speaker."""

import errno
import itertools
import logging
import os
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

from appliance.errors import RequestInvalid
from appliance.frames import BYTES_PER_SAMPLE
from appliance.interfaces import CaptureSink, DeviceInfo, DeviceReport, PlayoutSource

logger = logging.getLogger(__name__)

PLAYOUT_RATE: Final = 24_000
RATES: Final = range(8_000, 192_001)
CHANNELS: Final = range(1, 33)
LATE_SECONDS: Final = 0.2
JOIN_SECONDS: Final = 1.5
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_WIDTHS: Final = {(_PCM, 8), (_PCM, 16), (_PCM, 24), (_PCM, 32), (_FLOAT, 32)}


@dataclass(frozen=True, slots=True)
class WavFormat:
    """What a WAV file holds: `coding` PCM or float, `offset` and `size` of its samples in the file."""

    coding: int
    channels: int
    rate: int
    bits: int
    offset: int
    size: int

    @property
    def frame_bytes(self) -> int:
        return self.channels * self.bits // 8


class WavCard:
    """Implements interfaces.SoundCard over two WAV files, named by their paths.

    The microphone is mixed to mono 16 bit and keeps its rate; after its end there is silence, and `finished` is true.
    The speaker's file is 24 kHz, mono, 16 bit, and readable at any moment, also when this process is killed.
    A file that will not do raises RequestInvalid from the constructor. A machine that falls behind stretches time
    rather than lose or hurry sound: `late_ms` counts by how much.
    """

    def __init__(self, input_name: str, output_name: str, *, period_ms: int = 20) -> None:
        self._input, self._format = _open_microphone(Path(input_name))
        try:
            if Path(output_name).exists() and Path(output_name).samefile(input_name):
                raise OSError(errno.EEXIST, "it is the microphone's file")
            self._speaker = WavWriter(Path(output_name), PLAYOUT_RATE)
        except OSError as error:
            self._input.close()
            raise RequestInvalid(
                f"{output_name} cannot be written: {error.strerror or error}",
                hint="name another file, in a directory that you may write to",
            ) from error
        self.capture_rate = self._format.rate
        self.playout_rate = PLAYOUT_RATE
        self._period = period_ms / 1000
        self._names = (input_name, output_name)
        self._left = self._format.size
        self._late = 0.0
        self._beat = 0.0
        self._write_faults = 0
        self._finished = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="wav-card", daemon=True)

    @staticmethod
    def devices() -> list[DeviceInfo]:
        """None to choose from: any file will do."""
        return []

    def start(
        self, capture: CaptureSink, playout: PlayoutSource, report: Callable[[DeviceReport], None]
    ) -> None:
        self._capture, self._playout, self._report = capture, playout, report
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(JOIN_SECONDS)
        self._input.close()
        self._speaker.close()

    @property
    def finished(self) -> bool:
        """Whether the microphone's file is over; silence goes on."""
        return self._finished.is_set()

    @property
    def output_delay_ms(self) -> float:
        return 0.0

    @property
    def silent_for(self) -> float:
        return time.monotonic() - self._beat if self._beat else 0.0

    def counters(self) -> Mapping[str, int]:
        return {"late_ms": round(self._late * 1000), "write_faults": self._write_faults}

    def _run(self) -> None:
        self._report(DeviceReport("input", "present", self._names[0]))
        self._report(DeviceReport("output", "present", self._names[1]))
        due = time.monotonic()
        heard = spoken = 0
        for period in itertools.count(1):
            # The speaker's block starts to sound now; the microphone's block is complete one period later.
            spoken += self._write(round(period * self._period * PLAYOUT_RATE) - spoken)
            due += self._period
            self._beat = time.monotonic()
            if self._stopping.wait(max(0.0, due - time.monotonic())):
                self._beat = 0.0
                return
            late = time.monotonic() - due
            if late > LATE_SECONDS:
                self._late += late
                due += late
            samples = round(period * self._period * self.capture_rate) - heard
            heard += samples
            self._capture(self._read(samples), due)

    def _read(self, samples: int) -> bytes:
        """The microphone's next block, silence behind its end."""
        wanted = min(samples * self._format.frame_bytes, self._left)
        raw = self._input.read(wanted) if wanted else b""
        self._left = self._left - len(raw) if len(raw) == wanted else 0
        if self._left < self._format.frame_bytes:
            self._finished.set()
            self._left = 0
        return to_mono(raw, self._format).ljust(samples * BYTES_PER_SAMPLE, b"\0")

    def _write(self, samples: int) -> int:
        """The speaker's next block. A full disk loses the recording, not the conversation."""
        try:
            self._speaker.write(self._playout(samples))
        except OSError as error:
            self._write_faults += 1
            if self._write_faults == 1:
                logger.warning("%s: %s", self._names[1], error)
                self._report(DeviceReport("output", "lost", self._names[1]))
        return samples


class WavWriter:
    """A WAV file, mono 16 bit, whose header tells the truth after each `write`: what was written can always be read."""

    def __init__(self, path: Path, rate: int) -> None:
        header = struct.pack(
            "<4sI4s4sIHHIIHH4sI", b"RIFF", 36, b"WAVE", b"fmt ", 16, 1, 1, rate, rate * 2, 2, 16, b"data", 0
        )
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        self._header_bytes = len(header)
        self._size = 0
        try:
            os.pwrite(self._handle, header, 0)
        except OSError:
            self.close()
            raise

    def write(self, pcm: bytes) -> None:
        """Append samples; raises OSError and keeps what is there."""
        if self._handle < 0:
            return
        written = os.pwrite(self._handle, pcm, self._header_bytes + self._size)
        self._size += written // BYTES_PER_SAMPLE * BYTES_PER_SAMPLE
        os.pwrite(self._handle, struct.pack("<I", self._size), self._header_bytes - 4)
        os.pwrite(self._handle, struct.pack("<I", self._header_bytes - 8 + self._size), 4)

    def close(self) -> None:
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)


def read_format(file: BinaryIO) -> WavFormat:
    """Find format and samples of a WAV file; raise ValueError with the reason when it is none, or cannot be read.

    A file that was written to a pipe has a length of its own invention: what is really there counts.
    """
    if (riff := file.read(12))[:4] != b"RIFF" or riff[8:] != b"WAVE":
        raise ValueError("it is no WAV file")
    end = file.seek(0, os.SEEK_END)
    position = 12
    layout: tuple[int, int, int, int] | None = None
    while position + 8 <= end:
        file.seek(position)
        name, size = struct.unpack("<4sI", file.read(8))
        position += 8
        if name == b"fmt ":
            layout = _layout(file.read(min(size, 40)))
        elif name == b"data":
            if layout is None:
                raise ValueError("its samples come before their format")
            return WavFormat(
                *layout, offset=position, size=min(size, end - position) if size else end - position
            )
        position += size + size % 2
    raise ValueError("it has no samples")


def to_mono(raw: bytes, layout: WavFormat) -> bytes:
    """Samples of a file as mono 16 bit."""
    raw = raw[: len(raw) // layout.frame_bytes * layout.frame_bytes]
    if (layout.coding, layout.bits, layout.channels) == (_PCM, 16, 1):
        return raw
    mono = _unit(raw, layout).reshape(-1, layout.channels).mean(axis=1)
    samples = np.clip(np.rint(mono * 32768), -32768, 32767).astype("<i2")
    return bytes(samples.data)


def _unit(raw: bytes, layout: WavFormat) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Samples as numbers from -1 to 1."""
    if layout.coding == _FLOAT:
        return np.nan_to_num(np.frombuffer(raw, "<f4").astype(np.float64))
    if layout.bits == 8:
        return (np.frombuffer(raw, "u1").astype(np.float64) - 128) / 128
    if layout.bits == 24:
        wide = np.zeros((len(raw) // 3, 4), "u1")
        wide[:, 1:] = np.frombuffer(raw, "u1").reshape(-1, 3)
        return wide.view("<i4").ravel() / 2.0**31
    return np.frombuffer(raw, f"<i{layout.bits // 8}") / 2.0 ** (layout.bits - 1)


def _layout(chunk: bytes) -> tuple[int, int, int, int]:
    if len(chunk) < 16:
        raise ValueError("its format is cut off")
    coding, channels, rate, _, _, bits = struct.unpack("<HHIIHH", chunk[:16])
    if coding == _EXTENSIBLE and len(chunk) >= 26:
        coding = struct.unpack("<H", chunk[24:26])[0]
    if (coding, bits) not in _WIDTHS:
        raise ValueError(f"its samples are coded in a way that is not read (format {coding}, {bits} bit)")
    if channels not in CHANNELS or rate not in RATES:
        raise ValueError(f"it has {channels} channels at {rate} Hz")
    return coding, channels, rate, bits


def _open_microphone(path: Path) -> tuple[BinaryIO, WavFormat]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise RequestInvalid(
            f"{path} cannot be read: {error.strerror or error}",
            hint="name a WAV file that exists and may be read",
        ) from error
    try:
        layout = read_format(file)
        file.seek(layout.offset)
    except (OSError, ValueError, struct.error) as error:
        file.close()
        hint = f"convert it: sox {path} -b 16 -c 1 -r 16000 converted.wav"
        raise RequestInvalid(f"{path} will not do as a microphone: {error}", hint=hint) from error
    return file, layout
