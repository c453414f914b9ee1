"""The socket under a dialogue with Deepgram: sound and controls go out, what comes in goes to the dialogue."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from appliance import link_faults
from appliance.errors import ApplianceError, ProviderUnavailable
from appliance.feed import Feed
from appliance.providers.stt.deepgram_turns import Control, Dialogue
from appliance.stages import TranscriptEvent

EVENTS_BOUND: Final = 2_000
CLOSE_SECONDS: Final = 1.0
FILL_STEP: Final = 0.1
_USUAL_ENDS: Final = frozenset({1000, 1001})
_NEVER: Final = 3_600.0


@dataclass(frozen=True, slots=True)
class Link:
    """What is used of a connection of the SDK. Its typed messages are not: they do not bear a surprise."""

    socket: ClientConnection
    sound: Callable[[bytes], Awaitable[None]]
    controls: Mapping[Control, Callable[[], Awaitable[None]]]
    leave: Callable[[], Awaitable[None]]
    """Closes the socket."""


class DeepgramTranscription:
    """Implements stages.Transcription. One task reads and never waits for the chain; another sees to the clock."""

    def __init__(
        self,
        name: str,
        link: Link,
        dialogue: Dialogue,
        rate: int,
        *,
        keep_alive: float = 0.0,
    ) -> None:
        """After `keep_alive` seconds without sound a sign of life is sent; 0: none is needed."""
        self._name = name
        self._link = link
        self._dialogue = dialogue
        self._bytes_per_second = rate * 2
        self._keep_alive = keep_alive
        self._feed = Feed(name, dialogue.events)
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._sent_at = self._loop.time()
        self._jobs = (
            self._loop.create_task(self._read(), name=f"{name} reader"),
            self._loop.create_task(self._keep_time(), name=f"{name} clock"),
        )
        for job in self._jobs:
            job.add_done_callback(self._ended)

    def counters(self) -> Mapping[str, int]:
        """What came that could not be used, or came too late."""
        return dict(self._dialogue.counts)

    async def hear(self, turn: int, pcm: bytes) -> None:
        self._feed.check()
        if not pcm:
            # An empty frame would end the stream.
            return
        self._dialogue.hear(turn, len(pcm) / self._bytes_per_second)
        await self._flush(pcm)

    async def commit(self, turn: int) -> None:
        self._feed.check()
        self._dialogue.commit(turn, self._loop.time())
        self._tend()
        await self._flush()

    async def discard(self, turn: int) -> None:
        self._feed.check()
        self._dialogue.discard(turn)
        self._tend()
        await self._flush()

    def __aiter__(self) -> AsyncIterator[TranscriptEvent]:
        return aiter(self._feed)

    async def close(self) -> None:
        if not self._feed.close():
            return
        gone = self._feed.over
        self._end(None)
        for job in self._jobs:
            job.cancel()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                if not gone:
                    await self._link.controls[Control.CLOSE_STREAM]()
                await self._link.leave()
        except (TimeoutError, OSError, ConnectionClosed):
            # It is not heard of any more: the path is gone, and the socket with it.
            return
        finally:
            self._link.socket.transport.abort()
            await asyncio.wait(self._jobs, timeout=0.2)

    # --- inside ---

    async def _flush(self, pcm: bytes = b"") -> None:
        """Send what the dialogue wants to be sent, then `pcm`. Nothing comes between: sends are taken in order."""
        outbox = self._dialogue.outbox
        try:
            while outbox:
                await self._control(outbox.popleft())
            if pcm:
                self._sent_at = self._loop.time()
                await self._link.sound(pcm)
        except (ConnectionClosed, OSError) as fault:
            raise ProviderUnavailable(f"{self._name}: the connection is gone") from fault

    async def _control(self, control: Control) -> None:
        self._sent_at = self._loop.time()
        await self._link.controls[control]()

    async def _read(self) -> None:
        """Until the socket ends. It waits for nothing else: unread messages hold up the answers to our pings."""
        dialogue = self._dialogue
        try:
            while dialogue.fault is None:
                dialogue.take(await self._link.socket.recv(), self._loop.time())
                self._tend()
                if len(dialogue.events) > EVENTS_BOUND:
                    self._end(ProviderUnavailable(f"{self._name}: nobody reads what it says"))
                    return
            self._end(dialogue.fault)
        except ConnectionClosed as fault:
            usual = fault.rcvd is not None and fault.rcvd.code in _USUAL_ENDS
            self._end(None if usual else link_faults.closed(self._name, fault))
        except OSError as fault:
            self._end(ProviderUnavailable(f"{self._name}: {type(fault).__name__}"))

    async def _keep_time(self) -> None:
        """Deadlines of final transcripts, silence where the service wants it, and a sign of life now and then."""
        while not self._feed.over:
            now = self._loop.time()
            self._dialogue.expire(now)
            self._tend(awake=True)
            with contextlib.suppress(ProviderUnavailable):
                # The reader learns it from the same socket, with the reason.
                await self._attend(now)
            due = self._dialogue.due
            wake = min(now + _NEVER if due is None else due, self._next_sign(now))
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(wake):
                    await self._changed.wait()

    async def _attend(self, now: float) -> None:
        if self._dialogue.filling and now - self._sent_at >= FILL_STEP:
            self._dialogue.fill(FILL_STEP)
            await self._flush(bytes(round(self._bytes_per_second * FILL_STEP / 2) * 2))
        elif self._keep_alive and now - self._sent_at >= self._keep_alive:
            self._dialogue.outbox.append(Control.KEEP_ALIVE)
        await self._flush()

    def _next_sign(self, now: float) -> float:
        if self._dialogue.filling:
            return self._sent_at + FILL_STEP
        return self._sent_at + self._keep_alive if self._keep_alive else now + _NEVER

    def _tend(self, *, awake: bool = False) -> None:
        """Wake who iterates, and the clock unless it is `awake`."""
        if self._dialogue.events:
            self._feed.wake()
        if not awake:
            self._changed.set()

    def _end(self, fault: ApplianceError | None) -> None:
        if not self._feed.end(fault):
            return
        self._changed.set()

    def _ended(self, job: "asyncio.Task[None]") -> None:
        if fault := self._feed.fault_of(job):
            self._end(fault)
