"""A transcription that is asked for once a turn has ended, with all of its audio."""

import asyncio
import contextlib
import io
import wave
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from appliance.errors import ApplianceError, ProviderUnavailable
from appliance.feed import Feed
from appliance.stages import Spent, Transcript, TranscriptEvent

RATE: Final = 16_000
TURN_SECONDS: Final = 60.0
"""Of a longer turn the end is kept."""
SHORTEST_SECONDS: Final = 0.1
SILENT_RMS: Final = 60.0
"""No 20 ms of a turn are louder than this (of 32768): nobody said anything. The hiss of a poor microphone is louder."""
TURNS_BOUND: Final = 8
"""Turns that wait for their transcript."""
_FRAME: Final = RATE // 50


@dataclass(frozen=True, slots=True)
class Understood:
    """`text` so far, cumulative; the last one is final. `seconds`: what was charged, where the service says it."""

    text: str
    seconds: float | None = None


Ask = Callable[[bytes], AsyncGenerator[Understood, None]]
"""16 kHz s16le in; raises an ApplianceError."""


def wav(pcm: bytes, rate: int) -> bytes:
    """A WAV file of s16le mono."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(pcm)
    return file.getvalue()


def silent(pcm: bytes) -> bool:
    """Whether there is nothing in `pcm` that could be a word."""
    samples = np.frombuffer(pcm, dtype="<i2")
    whole = len(samples) // _FRAME * _FRAME
    if len(samples) < SHORTEST_SECONDS * RATE:
        return True
    frames = samples[:whole].astype(np.float32).reshape(-1, _FRAME)
    return bool(np.sqrt((frames * frames).mean(axis=1)).max() <= SILENT_RMS)


@dataclass(frozen=True, slots=True)
class _Job:
    turn: int
    pcm: bytes


class OneShotTranscription:
    """Implements stages.Transcription. Turns are asked for one after another; what is empty or silent is not sent."""

    def __init__(self, service: str, ask: Ask, deadline: float) -> None:
        """`deadline`: seconds that a transcript may take; the connection ends when it takes longer."""
        self._service = service
        self._ask = ask
        self._deadline = deadline
        self._turn: int | None = None
        self._audio = bytearray()
        self._done: deque[int] = deque(maxlen=64)
        self._jobs: deque[_Job] = deque()
        self._work = asyncio.Event()
        self._feed: Feed[TranscriptEvent] = Feed(service)
        self._counts: Counter[str] = Counter()
        self._asked: _Job | None = None
        self._asking: asyncio.Task[None] | None = None
        self._worker = asyncio.get_running_loop().create_task(self._run(), name=f"{service} transcription")
        self._worker.add_done_callback(self._ended)

    def counters(self) -> Mapping[str, int]:
        """What was dropped or not sent, by its name."""
        return dict(self._counts)

    async def hear(self, turn: int, pcm: bytes) -> None:
        self._feed.check()
        if turn in self._done or any(job.turn == turn for job in self._waiting()):
            self._counts["late_audio"] += 1
            return
        if turn != self._turn:
            self._turn = turn
            self._audio.clear()
        self._audio += pcm[: len(pcm) // 2 * 2]
        surplus = len(self._audio) - int(TURN_SECONDS * RATE) * 2
        if surplus > 0:
            del self._audio[:surplus]
            self._counts["dropped_ms"] += surplus // 2 * 1000 // RATE

    async def commit(self, turn: int) -> None:
        self._feed.check()
        if turn in self._done or any(job.turn == turn for job in self._waiting()):
            return
        pcm = bytes(self._audio) if turn == self._turn else b""
        if silent(pcm):
            self._counts["silent_turns"] += 1
            pcm = b""
        self._forget()
        self._jobs.append(_Job(turn, pcm))
        if len(self._jobs) > TURNS_BOUND:
            self._end(ProviderUnavailable(f"{self._service}: too many turns wait for their transcript"))
        self._work.set()

    async def discard(self, turn: int) -> None:
        self._feed.check()
        if turn == self._turn:
            self._forget()
        self._done.append(turn)
        self._jobs = deque(job for job in self._jobs if job.turn != turn)
        self._feed.keep(lambda event: getattr(event, "turn", None) != turn)
        if self._asked is not None and self._asked.turn == turn and self._asking is not None:
            self._asking.cancel()

    def __aiter__(self) -> AsyncIterator[TranscriptEvent]:
        return aiter(self._feed)

    async def close(self) -> None:
        if not self._feed.close():
            return
        self._end(None)
        await asyncio.wait({task for task in (self._worker, self._asking) if task is not None}, timeout=1.0)

    # --- inside ---

    def _waiting(self) -> tuple[_Job, ...]:
        return (*self._jobs, *(() if self._asked is None else (self._asked,)))

    def _forget(self) -> None:
        self._turn = None
        self._audio.clear()

    async def _run(self) -> None:
        while True:
            if not self._jobs:
                self._work.clear()
                await self._work.wait()
                continue
            self._asked = self._jobs.popleft()
            self._asking = asyncio.get_running_loop().create_task(self._transcribe(self._asked))
            await asyncio.wait({self._asking})
            if not self._asking.cancelled():
                self._asking.result()
            self._asked = self._asking = None

    async def _transcribe(self, job: _Job) -> None:
        text, seconds = "", None
        if job.pcm:
            try:
                async with asyncio.timeout(self._deadline), contextlib.aclosing(self._ask(job.pcm)) as pieces:
                    async for piece in pieces:
                        text, seconds = piece.text.strip(), piece.seconds
                        self._tell(Transcript(job.turn, text, final=False))
            except TimeoutError as fault:
                raise ProviderUnavailable(f"{self._service} did not answer in time") from fault
            self._tell(Spent(len(job.pcm) / 2 / RATE if seconds is None else seconds))
        self._done.append(job.turn)
        self._tell(Transcript(job.turn, text, final=True))

    def _tell(self, event: TranscriptEvent) -> None:
        waiting = self._feed.events
        last = waiting[-1] if waiting else None
        if isinstance(event, Transcript) and isinstance(last, Transcript) and not last.final:
            waiting.pop()
        self._feed.add(event)

    def _ended(self, worker: asyncio.Task[None]) -> None:
        if fault := self._feed.fault_of(worker):
            self._end(fault)

    def _end(self, fault: ApplianceError | None) -> None:
        if not self._feed.end(fault):
            return
        self._worker.cancel()
        if self._asking is not None:
            self._asking.cancel()
