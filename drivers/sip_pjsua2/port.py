# SPDX-License-Identifier: GPL-2.0-or-later
"""Media ports: where pjmedia's clock thread hands over and takes 20 ms of a call.

A port is made once and lives as long as the library: destroying one while the bridge runs crashes the process,
whichever way it is done. A port that was in use rests before it is used again, for the bridge lets go of it later.
"""

import contextlib
import ctypes
import itertools
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import pjsua2 as pj

from drivers.foreign_thread import keep_state

RATE: Final = 16_000
FRAME_BYTES: Final = RATE // 50 * 2
SILENCE: Final = bytes(FRAME_BYTES)
MAX_QUEUED: Final = 6
REST: Final = 0.2

SendAudio = Callable[[int, int, int, bytes, int], None]
_streams = itertools.count(1)


def _read_copy(frame: Any) -> bytes:
    buffer = bytearray(frame.buf.size())
    frame.buf.copy_to_bytearray(buffer)
    return bytes(buffer)


def _read_pointer(frame: Any) -> bytes:
    # A std::vector starts with the pointer to its data (libstdc++); any other way through SWIG takes 0.4 ms a frame.
    start = ctypes.c_void_p.from_address(int(frame.buf.this)).value
    return ctypes.string_at(start, frame.size) if start else b""


def _write_assign(frame: Any, pcm: bytes) -> None:
    frame.buf.assign_from_bytes(pcm)


def _write_vector(frame: Any, pcm: bytes) -> None:
    frame.buf = pj.ByteVector(pcm)


_FAST: Final = hasattr(pj.ByteVector, "assign_from_bytes")
_read: Final = _read_copy if _FAST else _read_pointer
_write: Final = _write_assign if _FAST else _write_vector


class CallPort(pj.AudioMediaPort):  # type: ignore[misc]  # pjsua2 has no types
    """One call's audio. Its two callbacks run on the clock thread and only copy and count."""

    def __init__(self, name: str, send: SendAudio) -> None:
        # All attributes first: the clock may call as soon as the port exists.
        self._send = send
        self._known = False
        """The clock thread has called."""
        self._out: deque[bytes] = deque()
        self._seq = 0
        self._taken = 0
        self._skipped = 0
        self._fed = False
        self._stream = 0
        self.call = 0
        self.overruns = 0
        self.underruns = 0
        self.faults = 0
        super().__init__()
        format_ = pj.MediaFormatAudio()
        format_.init(pj.PJMEDIA_FORMAT_PCM, RATE, 1, 20_000, 16)
        self.createPort(name, format_)

    def open(self, call: int) -> None:
        """Main thread: carry `call` from now on; a new stream, also after hold."""
        self._out.clear()
        self._seq = self._taken = self._skipped = 0
        self._fed = False
        self._stream = next(_streams)
        self.call = call

    def close(self) -> None:
        """Main thread: carry nothing. The bridge goes on calling."""
        self.call = 0

    def reset_counters(self) -> None:
        self.overruns = self.underruns = 0

    def push(self, stream: int, pcm: bytes) -> bool:
        """Socket thread: queue 20 ms for the far end; the oldest goes when full. False: it comes too late."""
        if stream != self._stream:
            return False
        if len(self._out) >= MAX_QUEUED:
            self.overruns += 1
            self._skipped += 1
            with contextlib.suppress(IndexError):  # the clock thread may have taken it meanwhile
                self._out.popleft()
        self._out.append(pcm)
        self._fed = True
        return True

    def onFrameRequested(self, frame: Any) -> None:
        try:
            if not self._known:
                self._known = True
                keep_state()
            pcm = SILENCE
            if self.call:
                try:
                    pcm = self._out.popleft()
                    self._taken += 1
                except IndexError:
                    self.underruns += self._fed
            frame.type = pj.PJMEDIA_FRAME_TYPE_AUDIO
            _write(frame, pcm)
            frame.size = len(pcm)
        except Exception:  # noqa: BLE001  # nothing may escape into the library's clock thread
            self.faults += 1

    def onFrameReceived(self, frame: Any) -> None:
        try:
            call = self.call
            if call:
                pcm = _read(frame) if frame.size else SILENCE
                if len(pcm) != FRAME_BYTES:
                    pcm = pcm[:FRAME_BYTES].ljust(FRAME_BYTES, b"\0")
                self._seq += 1
                self._send(call, self._stream, self._seq, pcm, self._taken + self._skipped)
        except Exception:  # noqa: BLE001
            self.faults += 1


class Pool:
    """A fixed number of ports, made after the null device was set."""

    def __init__(self, size: int, send: SendAudio) -> None:
        self._all = [CallPort(f"handset-{number}", send) for number in range(size)]
        self._free = deque(self._all)
        self._resting: deque[tuple[float, CallPort]] = deque()

    def take(self) -> CallPort | None:
        """A rested port, still closed, or None when there is none."""
        self._wake()
        if not self._free:
            return None
        port = self._free.popleft()
        port.reset_counters()
        return port

    def give_back(self, port: CallPort) -> None:
        """Disconnected already: it rests now."""
        port.close()
        self._resting.append((time.monotonic() + REST, port))

    def find(self, call: int) -> CallPort | None:
        """Any thread: the port in use by `call`."""
        return next((port for port in self._all if port.call == call), None)

    def faults(self) -> int:
        return sum(port.faults for port in self._all)

    def _wake(self) -> None:
        while self._resting and self._resting[0][0] <= time.monotonic():
            self._free.append(self._resting.popleft()[1])

    def clear(self) -> None:
        """Shut-down: the bridge has been told to let go, and had the time to."""
        self._free.clear()
        self._resting.clear()
        self._all.clear()
