"""A transcription over a socket: what a protocol wants to send goes out, what comes in goes to it."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from websockets.exceptions import ConnectionClosed

from appliance import link_faults
from appliance.errors import ApplianceError, ProviderUnavailable
from appliance.feed import Feed
from appliance.stages import Transcript, TranscriptEvent

DIAL_SECONDS: Final = 10.0
FINAL_SECONDS: Final = 6.0
"""After a commit the final transcript is given up on."""
CLOSE_SECONDS: Final = 1.0
EVENTS_BOUND: Final = 2_000
OUTGOING_BOUND: Final = 6_000
"""Messages that the socket has not taken: two minutes of audio."""
SOCKET: Final[Mapping[str, Any]] = {
    # A path that fell silent is noticed within the sum of the first three.
    "ping_interval": 0.5,
    "ping_timeout": 1.1,
    "close_timeout": 0.2,
    "open_timeout": DIAL_SECONDS,
    "max_size": 4 * 1024 * 1024,
    "max_queue": 256,
    "compression": None,
}
_USUAL_ENDS: Final = frozenset({1000, 1001})


class Socket(Protocol):
    """What is used of a WebSocket."""

    async def send(self, message: str) -> None: ...

    async def recv(self) -> str | bytes: ...

    async def close(self) -> None: ...


@dataclass(slots=True)
class Post:
    """What a protocol wants to send and to tell, in order, and what it could not use, by name."""

    outgoing: deque[str] = field(default_factory=deque)
    events: deque[TranscriptEvent] = field(default_factory=deque)
    counts: Counter[str] = field(default_factory=Counter)
    fault: ApplianceError | None = None
    """Why the connection is to end."""
    awaited: set[int] = field(default_factory=set)
    """Turns whose final transcript is owed."""

    def tell(self, event: TranscriptEvent) -> None:
        """A transcript that nobody has read yet gives way to the one that goes on from it."""
        last = self.events[-1] if self.events else None
        if (
            isinstance(event, Transcript)
            and isinstance(last, Transcript)
            and last.turn == event.turn
            and not last.final
        ):
            self.events.pop()
        self.events.append(event)


class Talk(Protocol):
    """One service's protocol, without clock and I/O. No method raises, whatever came."""

    post: Post

    def hear(self, turn: int, pcm: bytes) -> None: ...

    def commit(self, turn: int) -> None: ...

    def discard(self, turn: int) -> None: ...

    def read(self, raw: str | bytes) -> None:
        """A message came."""
        ...

    def expire(self, turn: int) -> None:
        """The final transcript of `turn` is late: tell what is known, or set a fault."""
        ...

    def keep_alive(self) -> None:
        """Nothing was sent for long."""
        ...

    def quiet(self) -> bool:
        """No turn is under way."""
        ...


class LiveTranscription:
    """Implements stages.Transcription. One task reads, one writes, and neither waits for the chain."""

    def __init__(
        self,
        service: str,
        socket: Socket,
        talk: Talk,
        *,
        keep_alive: float | None = None,
        lifetime: float | None = None,
        final_seconds: float = FINAL_SECONDS,
    ) -> None:
        """`keep_alive`: seconds without a message after which one is due at the latest twice as late. `lifetime`:
        seconds after which the connection ends by itself as soon as no turn is under way."""
        self._service = service
        self._socket = socket
        self._talk = talk
        self._final_seconds = final_seconds
        self._feed = Feed(service, talk.post.events)
        self._mail = asyncio.Event()
        self._outdated = False
        self._sent = 0
        self._loop = asyncio.get_running_loop()
        self._deadlines: dict[int, asyncio.TimerHandle] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        if keep_alive is not None:
            self._timers["idle"] = self._loop.call_later(keep_alive, self._idle, keep_alive, 0)
        if lifetime is not None:
            self._timers["age"] = self._loop.call_later(max(0.0, lifetime), self._age)
        self._tasks = (
            self._begin(self._read(), f"{service} transcription reader"),
            self._begin(self._write(), f"{service} transcription writer"),
        )
        self._tend()

    def counters(self) -> Mapping[str, int]:
        """What came that could not be used, by its name."""
        return dict(self._talk.post.counts)

    async def hear(self, turn: int, pcm: bytes) -> None:
        self._do(self._talk.hear, turn, pcm)

    async def commit(self, turn: int) -> None:
        self._do(self._talk.commit, turn)

    async def discard(self, turn: int) -> None:
        self._do(self._talk.discard, turn)

    def __aiter__(self) -> AsyncIterator[TranscriptEvent]:
        return aiter(self._feed)

    async def close(self) -> None:
        if not self._feed.close():
            return
        self._end(None)
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._socket.close()
        except (TimeoutError, OSError, ConnectionClosed):
            # It is not heard of any more: the path is gone, and the socket with it.
            return
        finally:
            await asyncio.wait(self._tasks, timeout=0.2)

    # --- inside ---

    def _do(self, act: Callable[..., None], *arguments: Any) -> None:
        self._feed.check()
        act(*arguments)
        self._tend()

    async def _read(self) -> None:
        """Until the socket ends. It waits for nothing else: unread messages hold up the answers to our pings."""
        try:
            while not self._feed.over:
                self._talk.read(await self._socket.recv())
                self._tend()
        except ConnectionClosed as fault:
            usual = fault.rcvd is not None and fault.rcvd.code in _USUAL_ENDS
            self._end(None if usual else link_faults.closed(self._service, fault))
        except OSError as fault:
            self._end(ProviderUnavailable(f"{self._service}: {type(fault).__name__}"))

    async def _write(self) -> None:
        outgoing = self._talk.post.outgoing
        try:
            while not self._feed.over:
                while outgoing:
                    self._sent += 1
                    await self._socket.send(outgoing.popleft())
                self._mail.clear()
                await self._mail.wait()
        except (ConnectionClosed, OSError):
            # The reader learns it from the same socket, with the reason.
            return

    def _begin(self, job: "asyncio._CoroutineLike[None]", name: str) -> asyncio.Task[None]:
        task = self._loop.create_task(job, name=name)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, job: asyncio.Task[None]) -> None:
        if fault := self._feed.fault_of(job):
            self._end(fault)

    def _tend(self) -> None:
        """See to what the protocol needs after anything happened to it."""
        post = self._talk.post
        if post.events:
            self._feed.wake()
        if post.outgoing:
            self._mail.set()
        for turn in self._deadlines.keys() - post.awaited:
            self._deadlines.pop(turn).cancel()
        for turn in post.awaited - self._deadlines.keys():
            self._deadlines[turn] = self._loop.call_later(self._final_seconds, self._expire, turn)
        if post.fault is not None:
            self._end(post.fault)
        elif len(post.events) > EVENTS_BOUND:
            self._end(ProviderUnavailable(f"{self._service}: nobody reads what it says"))
        elif len(post.outgoing) > OUTGOING_BOUND:
            self._end(ProviderUnavailable(f"{self._service} takes nothing any more"))
        elif self._outdated and self._talk.quiet() and not post.outgoing:
            self._end(None)

    def _expire(self, turn: int) -> None:
        self._talk.expire(turn)
        self._tend()

    def _idle(self, seconds: float, sent: int) -> None:
        if self._sent == sent:
            self._talk.keep_alive()
            self._tend()
        self._timers["idle"] = self._loop.call_later(seconds, self._idle, seconds, self._sent)

    def _age(self) -> None:
        self._outdated = True
        self._tend()

    def _end(self, fault: ApplianceError | None) -> None:
        if not self._feed.end(fault):
            return
        for timer in (*self._deadlines.values(), *self._timers.values()):
            timer.cancel()
        for task in self._tasks:
            task.cancel()
