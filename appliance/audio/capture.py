"""From the driver's blocks to 20 ms frames at 16 kHz with echo taken out and speech found: the path, and its thread."""

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from appliance.audio.double_talk import DoubleTalk
from appliance.audio.echo_guard import EchoGuard
from appliance.audio.far_end import FarEnd
from appliance.audio.level import SILENCE_DBFS, level_dbfs
from appliance.audio.resample import Resampler, lag_samples
from appliance.audio.ring import Ring
from appliance.audio.vad import Decision, Edge, SpeechGate
from appliance.config.schema import Vad
from appliance.frames import BYTES_PER_SAMPLE, FRAME_MS, WORKING_RATE, Frame, milliseconds_of, samples_in
from appliance.interfaces import EchoCanceller, VoiceDetector

logger = logging.getLogger(__name__)

FRAME_BYTES: Final = samples_in(FRAME_MS, WORKING_RATE) * BYTES_PER_SAMPLE
CANCELLER_BYTES: Final = WORKING_RATE // 100 * BYTES_PER_SAMPLE
FAR_PENDING_BYTES: Final = 10 * CANCELLER_BYTES
BACKLOG_TARGET_MS: Final = 40.0
RING_MS: Final = 5_000.0
IN_FLIGHT: Final = 500
CLEAR_DB: Final = 12.0
"""Whoever exceeds the echo's utmost by so much is heard well beside it."""
IDLE_WAIT: Final = 0.5
MOST_AT_ONCE_MS: Final = 100
"""Frames may come so late where nobody waits for them."""


Tap = Callable[[bytes, bytes], None]
"""Worker's thread: (microphone's block at the path's rate, as long a piece of what was played, at its far rate)."""


@dataclass(frozen=True, slots=True)
class Captured:
    """20 ms at 16 kHz after echo cancellation.

    `speech` is the detector's smoothed state and `edge` its change with this frame; `voiced_ms` is the speech so far in
    this run, hangover not counted.
    """

    frame: Frame
    speech: bool
    edge: Edge | None
    voiced_ms: float
    level_dbfs: float
    over: bool = False
    """Somebody seems to talk over what is played: weaker evidence than `speech`, and sooner. Where there
    is little echo in it, such a frame is as the microphone took it."""
    foreign_ms: float = math.inf
    """Of the last 300 ms, how much cannot be the echo of what is played; inf where nothing is, or nobody looked."""


class CapturePath:
    """Pure: no thread, no clock. `far` (of as long a time as `pcm`) is what was played, s16le mono at `far_rate`.

    The resampler's look-ahead is bought with a few milliseconds of silence at the start, so that each 20 ms fed bring
    one frame. A canceller or detector that raises is passed over: `faults` counts that, `last_fault` names it.
    """

    def __init__(
        self,
        rate: int,
        settings: Vad,
        detector: VoiceDetector,
        confirm: VoiceDetector | None = None,
        canceller: EchoCanceller | None = None,
        *,
        far_rate: int | None = None,
        double_talk: DoubleTalk | None = None,
    ) -> None:
        self.rate = rate
        self.far_rate = far_rate or rate
        self.faults = 0
        self.last_fault = ""
        self.unhurried_ms = max(FRAME_MS, min(settings.start_ms, MOST_AT_ONCE_MS) // FRAME_MS * FRAME_MS)
        """While `calm`, so much may be processed at once, and no speech is found later: an onset takes as long."""
        self._gate = SpeechGate(settings, detector, confirm)
        self._canceller = canceller
        self._double_talk = double_talk if canceller is not None else None
        self._guard = EchoGuard() if self._double_talk is not None else None
        self._pending = bytearray()
        self._raw = bytearray()
        self._played = bytearray()
        self._reset_streams()

    def _reset_streams(self) -> None:
        self._near_resampler = Resampler(self.rate, WORKING_RATE)
        self._far_resampler = Resampler(self.far_rate, WORKING_RATE)
        self._near = bytearray(lag_samples(self.rate, WORKING_RATE) * BYTES_PER_SAMPLE)
        self._far = bytearray(lag_samples(self.far_rate, WORKING_RATE) * BYTES_PER_SAMPLE)
        self._pending.clear()
        self._raw.clear()
        self._played.clear()

    @property
    def calm(self) -> bool:
        """Nobody speaks, or has begun to."""
        return self._gate.calm

    def process(self, pcm: bytes, at: float, far: bytes = b"") -> list[Captured]:
        """Take a block of any length, its last sample taken at `at`; return the frames that it completes."""
        self._near += self._near_resampler.process(pcm)
        if self._canceller is None:
            self._pending += self._near
            self._near.clear()
        else:
            self._far += self._far_resampler.process(far)
            self._cancel(self._canceller)
        frames: list[Captured] = []
        behind = self._near_resampler.lag_ms + milliseconds_of(self._near, WORKING_RATE)
        while len(self._pending) >= FRAME_BYTES:
            frame = bytes(self._pending[:FRAME_BYTES])
            del self._pending[:FRAME_BYTES]
            age_ms = behind + milliseconds_of(self._pending, WORKING_RATE)
            captured = self._judge(Frame(frame, WORKING_RATE, at - age_ms / 1000))
            frames.append(self._weigh(captured))
        return frames

    def reset(self, at: float) -> list[Captured]:
        """Forget what is under way; when speech was on, a silent frame says that it stopped."""
        self._reset_streams()
        edge = self._gate.reset()
        if self._double_talk is not None:
            self._double_talk.reset()
        silence = Frame(bytes(FRAME_BYTES), WORKING_RATE, at)
        return [Captured(silence, False, edge, 0.0, SILENCE_DBFS)] if edge else []

    def close(self) -> None:
        """Release the canceller and the detectors, for good."""
        if self._canceller is not None:
            self._canceller.close()
            self._canceller = None
        if self._double_talk is not None:
            self._double_talk.close()
        self._gate.close()

    def _cancel(self, canceller: EchoCanceller) -> None:
        while len(self._near) >= CANCELLER_BYTES:
            near = bytes(self._near[:CANCELLER_BYTES])
            far = bytes(self._far[:CANCELLER_BYTES])
            del self._near[:CANCELLER_BYTES]
            del self._far[:CANCELLER_BYTES]
            far = far.ljust(CANCELLER_BYTES, b"\0")
            self._raw += near
            self._played += far
            try:
                canceller.far_end(far)
                near = canceller.near_end(near)
            except Exception as error:  # noqa: BLE001  whatever a plug-in raises, the person must still be heard
                self._fault("echo canceller", error)
            self._pending += near
        if len(self._far) > FAR_PENDING_BYTES:
            del self._far[:-FAR_PENDING_BYTES]

    def _judge(self, frame: Frame) -> Captured:
        try:
            decision = self._gate.process(frame.pcm)
        except Exception as error:  # noqa: BLE001  as above
            self._fault("voice detector", error)
            decision = Decision(False, self._gate.reset(), 0.0)
        level = level_dbfs(np.frombuffer(frame.pcm, dtype="<i2"))
        return Captured(frame, decision.speech, decision.edge, decision.voiced_ms, level)

    def _weigh(self, captured: Captured) -> Captured:
        """Who talks over what is played is handed on as the microphone took it: the canceller may hold it back."""
        if self._double_talk is None:
            return captured
        raw, played = bytes(self._raw[:FRAME_BYTES]), bytes(self._played[:FRAME_BYTES])
        del self._raw[:FRAME_BYTES]
        del self._played[:FRAME_BYTES]
        try:
            excess_db = -math.inf
            if self._guard is not None:
                foreign_ms = self._guard.process(raw, played, speech=captured.speech)
                if foreign_ms != captured.foreign_ms:
                    captured = replace(captured, foreign_ms=foreign_ms)
                excess_db = self._guard.excess_db
            voice = self._gate.beginning
            over = self._double_talk.process(
                raw, played, speech=captured.speech, voice=voice, excess_db=excess_db
            )
        except Exception as error:  # noqa: BLE001  as above
            self._fault("voice detector", error)
            return captured
        if not over:
            return captured
        # Where the echo is nearly as loud as the person, what the canceller left is better.
        clear = self._double_talk.louder or excess_db >= CLEAR_DB
        pcm = raw if clear else captured.frame.pcm
        return replace(captured, frame=replace(captured.frame, pcm=pcm), over=True)

    def _fault(self, part: str, error: Exception) -> None:
        self.faults += 1
        self.last_fault = f"{part}: {type(error).__name__}"


class CaptureWorker:
    """The thread around a path. `feed` is the driver's capture sink; `sink` is called on the loop's thread.

    More than `backlog_ms` of unprocessed audio is cut to BACKLOG_TARGET_MS, oldest first, and counted; one block is
    always taken, however long. When the loop takes nothing for IN_FLIGHT frames, the newest are dropped and counted.
    `tap`, when set, gets both sides in step, for a recording; it must only queue.

    While nobody speaks and the line is `at_ease`, which is asked on the worker's thread, frames come a few at a time:
    waking for each costs more than what is done with it.
    """

    def __init__(
        self,
        name: str,
        path: CapturePath,
        sink: Callable[[Captured], None],
        *,
        reference: Ring | None = None,
        backlog_ms: float = 200.0,
    ) -> None:
        self._path = path
        self._sink = sink
        self._ring = Ring(samples_in(max(RING_MS, 2 * backlog_ms), path.rate) * BYTES_PER_SAMPLE)
        self._far_end = FarEnd(reference, path.far_rate, path.rate) if reference is not None else None
        self._backlog_ms = backlog_ms
        self._unhurried = samples_in(path.unhurried_ms, path.rate) * BYTES_PER_SAMPLE
        self.at_ease: Callable[[], bool] = lambda: False
        self.tap: Tap | None = None
        self._muted = False
        self._shut: frozenset[str] = frozenset()
        self._shutting = threading.Lock()
        self._reset_due = False
        self._stopping = False
        self._turned = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name=f"capture-{name}", daemon=True)
        self._name = name
        self._last_at = 0.0
        self._posted = 0
        self._delivered = 0
        self._undelivered = 0
        self._backlog_dropped_ms = 0.0

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the thread; frames are posted to `loop`."""
        self._loop = loop
        self._thread.start()

    def feed(self, pcm: bytes, at: float) -> None:
        """Driver's thread: s16le mono at the path's rate, its last sample taken at the monotonic second `at`."""
        self._ring.write(bytes(len(pcm)) if self._muted or self._shut else pcm, at)

    @property
    def muted(self) -> bool:
        """While true nothing passes: `feed` takes silence instead, and what was under way is forgotten."""
        return self._muted

    @muted.setter
    def muted(self, on: bool) -> None:
        if on != self._muted:
            self._muted = on
            self._reset_due = True
            self._ring.wake()

    @property
    def shut_by(self) -> frozenset[str]:
        """Who shut it; while there is anybody, it is as muted."""
        return self._shut

    def shut(self, by: str, on: bool) -> None:
        """Shut it in that name, or take that back. In force at once, whichever thread calls; one thread a name."""
        with self._shutting:
            before = self._shut
            self._shut = before | {by} if on else before - {by}
            changed = bool(before) != bool(self._shut)
        if changed:
            self._reset_due = True
            self._ring.wake()

    @property
    def silent_for(self) -> float:
        """Seconds since the thread gave a sign of life; 0 while it does not run."""
        return time.monotonic() - self._turned if self._turned else 0.0

    def stop(self) -> None:
        """End the thread and wait for it, at most 2 s. Idempotent."""
        self._stopping = True
        self._ring.wake()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(2.0)

    def counters(self) -> Mapping[str, int]:
        """Counts since construction; `backlog_ms` is the present one."""
        return {
            "overruns": self._ring.overruns,
            "backlog_ms": round(self._backlog()),
            "backlog_dropped_ms": round(self._backlog_dropped_ms),
            "undelivered": self._undelivered,
            "faults": self._path.faults,
            **(self._far_end.counters() if self._far_end is not None else {}),
        }

    def _backlog(self) -> float:
        return self._ring.available / BYTES_PER_SAMPLE * 1000 / self._path.rate

    def _run(self) -> None:
        while not self._stopping:
            self._turned = time.monotonic()
            self._wait()
            if self._reset_due:
                self._reset()
            self._shed()
            if self._listening() and (block := self._ring.next_blocks(self._worth_waking_for())) is not None:
                self._process(block.pcm, block.at)
        self._turned = 0.0
        self._path.close()

    def _listening(self) -> bool:
        return not (self._reset_due or self._stopping)

    def _wait(self) -> None:
        size = self._worth_waking_for()
        # Where the device stops, what it gave last is not kept waiting.
        self._ring.wait(size, IDLE_WAIT if size == 1 else 2 * self._path.unhurried_ms / 1000)

    def _worth_waking_for(self) -> int:
        """Bytes."""
        return self._unhurried if self._path.calm and self.at_ease() else 1

    def _process(self, pcm: bytes, at: float) -> None:
        pcm = pcm[: len(pcm) // BYTES_PER_SAMPLE * BYTES_PER_SAMPLE]
        far = self._far_end.take(len(pcm) // BYTES_PER_SAMPLE) if self._far_end is not None else b""
        if self._muted or self._shut:
            self._offer_tap(bytes(len(pcm)), far)
            return
        self._offer_tap(pcm, far)
        faults = self._path.faults
        self._last_at = at
        self._post(self._path.process(pcm, at, far))
        if self._path.faults and not faults:
            logger.error("capture_fault on %s: %s; going on without it", self._name, self._path.last_fault)

    def _offer_tap(self, near: bytes, far: bytes) -> None:
        tap = self.tap
        if tap is not None:
            tap(near, far)

    def _reset(self) -> None:
        self._reset_due = False
        while self._ring.next_block() is not None:
            pass
        self._post(self._path.reset(self._last_at))

    def _shed(self) -> None:
        if self._backlog() <= self._backlog_ms:
            return
        while (block := self._ring.next_block()) is not None:
            samples = len(block.pcm) // BYTES_PER_SAMPLE
            if self._backlog() < BACKLOG_TARGET_MS:
                self._process(block.pcm, block.at)
                return
            self._backlog_dropped_ms += samples * 1000 / self._path.rate
            if self._far_end is not None:
                self._far_end.take(samples)

    def _post(self, frames: list[Captured]) -> None:
        posted = frames[: max(0, IN_FLIGHT - (self._posted - self._delivered))]
        self._undelivered += len(frames) - len(posted)
        self._posted += len(posted)
        if not posted or self._loop is None:
            return
        try:
            self._loop.call_soon_threadsafe(self._deliver, posted)
        except RuntimeError:
            # The loop is closed: there is nobody left to hear.
            self._stopping = True

    def _deliver(self, frames: list[Captured]) -> None:
        self._delivered += len(frames)
        for captured in frames:
            self._sink(captured)
