"""Records a line as a stereo WAV file: the caller left, the agent right. A power cut leaves all but the last second."""

import errno
import logging
import os
import queue
import struct
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

from appliance import private
from appliance.audio.resample import Resampler
from appliance.frames import BYTES_PER_SAMPLE, WORKING_RATE, samples_in

logger = logging.getLogger(__name__)

QUEUE_BLOCKS: Final = 500
SKEW_MS: Final = 500.0
"""How far one side may be behind the other before silence stands in for it."""
HEADER_EVERY: Final = 1.0
CHANNELS: Final = 2
LARGEST_DATA: Final = 0xFFFF_FFFF - 36
DISK_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def wav_header(rate: int, data_bytes: int) -> bytes:
    """Header of a stereo 16-bit WAV file that has `data_bytes` of samples so far."""
    frame = CHANNELS * BYTES_PER_SAMPLE
    data_bytes = min(data_bytes, LARGEST_DATA)
    form = struct.pack(
        "<4sIHHIIHH", b"fmt ", 16, 1, CHANNELS, rate, rate * frame, frame, 8 * BYTES_PER_SAMPLE
    )
    return (
        struct.pack("<4sI4s", b"RIFF", 36 + data_bytes, b"WAVE")
        + form
        + struct.pack("<4sI", b"data", data_bytes)
    )


def mend(path: Path) -> bool:
    """Have the header tell of all samples that a file of ours holds; True where it did not. Raise OSError."""
    empty = wav_header(WORKING_RATE, 0)
    with path.open("r+b") as file:
        header = file.read(len(empty))
        frame = CHANNELS * BYTES_PER_SAMPLE
        data = min(path.stat().st_size - len(header), LARGEST_DATA) // frame * frame
        ours = len(header) == len(empty) and header[:4] == empty[:4] and header[36:40] == empty[36:40]
        if not ours or int.from_bytes(header[40:], "little") == data:
            return False
        file.seek(0)
        file.write(wav_header(int.from_bytes(header[24:28], "little"), data))
        file.flush()
        os.fsync(file.fileno())
    return True


class Interleaver:
    """Pure: joins two sides into stereo. What both have is given out; a side that is SKEW_MS behind gets silence."""

    def __init__(self, rate: int) -> None:
        self._sides = (bytearray(), bytearray())
        self._skew_bytes = samples_in(SKEW_MS, rate) * BYTES_PER_SAMPLE

    def add(self, side: int, pcm: bytes) -> bytes:
        """Add s16le mono to `side` (0 left, 1 right); return the stereo samples that are complete."""
        self._sides[side].extend(pcm)
        ahead, behind = sorted(self._sides, key=len, reverse=True)
        surplus = len(ahead) - len(behind) - self._skew_bytes
        if surplus > 0:
            behind.extend(bytes(surplus))
        return self._take(len(behind))

    def rest(self) -> bytes:
        """All that is left, the shorter side filled up with silence."""
        longest = max(len(side) for side in self._sides)
        for side in self._sides:
            side.extend(bytes(longest - len(side)))
        return self._take(longest)

    def _take(self, size: int) -> bytes:
        left, right = (np.frombuffer(bytes(side[:size]), dtype="<i2") for side in self._sides)
        for side in self._sides:
            del side[:size]
        return np.column_stack((left, right)).tobytes()


class Recorder:
    """Records to `path` (which must not exist) at `rate`. Feed it from the worker's side, never from a driver's thread.

    `hear` and `say` only queue; a thread of its own writes, and keeps the header right every second. On a full or
    broken disk it stops for good and calls `failed(code)` from that thread: disk_full or recording_failed.
    """

    def __init__(self, path: Path, failed: Callable[[str], None], *, rate: int = WORKING_RATE) -> None:
        self.path = path
        self.rate = rate
        self._failed = failed
        self._queue: queue.Queue[tuple[int, bytes, int] | None] = queue.Queue(QUEUE_BLOCKS)
        self._interleaver = Interleaver(rate)
        self._resamplers: dict[int, Resampler] = {}
        self._dropped = 0
        self._written = 0
        self._broken = False
        self.paused = False
        """While it is, both sides are recorded as silence."""
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def hear(self, pcm: bytes, rate: int) -> None:
        """The caller's side: s16le mono."""
        self._offer(0, pcm, rate)

    def say(self, pcm: bytes, rate: int) -> None:
        """The agent's side: s16le mono, as it was played."""
        self._offer(1, pcm, rate)

    def stop(self) -> None:
        """Write what is queued and close the file; at most 2 s. Idempotent."""
        if self._thread.is_alive():
            try:
                self._queue.put(None, timeout=1.0)
            except queue.Full:
                logger.warning("recording_slow: the disk does not keep up")
            self._thread.join(1.0)

    def counters(self) -> Mapping[str, int]:
        return {
            "dropped_blocks": self._dropped,
            "written_ms": round(self._written / (CHANNELS * BYTES_PER_SAMPLE) * 1000 / self.rate),
        }

    def _offer(self, side: int, pcm: bytes, rate: int) -> None:
        if self._broken or not pcm:
            return
        if self.paused:
            pcm = bytes(len(pcm))
        try:
            self._queue.put_nowait((side, pcm, rate))
        except queue.Full:
            self._dropped += 1

    def _run(self) -> None:
        try:
            private.make_directory(self.path.parent)
            with open(self.path, "xb", opener=private.opener) as file:
                self._write_all(file)
        except OSError as error:
            self._broken = True
            code = "disk_full" if error.errno in DISK_FULL else "recording_failed"
            logger.warning("%s: recording stopped: %s", code, error.strerror)
            self._failed(code)

    def _write_all(self, file: BinaryIO) -> None:
        file.write(wav_header(self.rate, 0))
        due = time.monotonic()
        while True:
            try:
                block = self._queue.get(timeout=HEADER_EVERY)
            except queue.Empty:
                block = (0, b"", self.rate)
            self._append(file, self._interleaver.rest() if block is None else self._stereo(*block))
            if block is None or time.monotonic() >= due:
                self._settle(file)
                due = time.monotonic() + HEADER_EVERY
            if block is None:
                return

    def _stereo(self, side: int, pcm: bytes, rate: int) -> bytes:
        resampler = self._resamplers.get(side)
        if resampler is None or resampler.from_rate != rate:
            resampler = self._resamplers[side] = Resampler(rate, self.rate)
        return self._interleaver.add(side, resampler.process(pcm))

    def _append(self, file: BinaryIO, stereo: bytes) -> None:
        file.write(stereo)
        self._written += len(stereo)

    def _settle(self, file: BinaryIO) -> None:
        file.flush()
        file.seek(0)
        file.write(wav_header(self.rate, self._written))
        file.seek(0, os.SEEK_END)
        file.flush()
        os.fdatasync(file.fileno())
