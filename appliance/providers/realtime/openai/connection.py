"""The socket under a conversation: what it wants to send goes out, what comes in goes to it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final, Protocol

from websockets.exceptions import ConnectionClosed

from appliance import link_faults, openai_faults
from appliance.errors import ApplianceError, ProviderUnavailable
from appliance.feed import Feed
from appliance.interfaces import ProviderCommand, ProviderEvent, RenewalDue
from appliance.providers.realtime.fill import fill
from appliance.providers.realtime.openai.conversation import Conversation

SESSION_SECONDS: Final = 3_600.0
"""How long a session lasts where the service does not say it."""
RENEW_BEFORE: Final = 300.0
_LONGEST: Final = 24 * 3_600.0
EVENTS_BOUND: Final = 20_000
CLOSE_SECONDS: Final = 1.0
_USUAL_ENDS: Final = frozenset({1000, 1001})


class RealtimeSocket(Protocol):
    """What is used of the SDK's connection: neither its typed events nor its redialling."""

    async def send_raw(self, data: bytes | str) -> None: ...

    async def recv_bytes(self) -> bytes: ...

    async def close(self) -> None: ...


class OpenAiConnection:
    """Implements interfaces.Connection. One task reads and never waits for the session; `send` writes."""

    def __init__(
        self,
        socket: RealtimeSocket,
        conversation: Conversation,
        clock: Callable[[], float],
        *,
        fill_seconds: float = 2.0,
    ) -> None:
        self._socket = socket
        self._talk = conversation
        self._clock = clock
        self._fill_seconds = fill_seconds
        self._feed = Feed("openai", conversation.mail.events)
        self._writing = asyncio.Lock()
        self._renewal: asyncio.TimerHandle | None = None
        self._expires_at = 0.0
        loop = asyncio.get_running_loop()
        self._jobs: set[asyncio.Task[None]] = set()
        self._filler: asyncio.Task[None] | None = None
        self._schedule_renewal(loop)
        self._reader = self._begin(self._read(), "openai reader")
        self._begin(self._write(), "openai writer")

    def counters(self) -> Mapping[str, int]:
        """What came that could not be used, by its code."""
        return self._talk.mail.counters()

    async def send(self, command: ProviderCommand) -> None:
        self._feed.check()
        self._talk.take(command)
        self._tend()
        await self._write()

    async def __aiter__(self) -> AsyncIterator[ProviderEvent]:
        async for event in self._feed:
            yield event

    async def close(self) -> None:
        if not self._feed.close():
            return
        self._end(None)
        self._reader.cancel()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._socket.close()
        except (TimeoutError, OSError, ConnectionClosed):
            # It is not heard of any more: the path is gone, and the socket with it.
            return
        finally:
            await asyncio.wait({self._reader}, timeout=0.2)

    # --- inside ---

    async def _read(self) -> None:
        """Until the socket ends. It waits for nothing else: unread messages hold up the answers to our pings."""
        try:
            while self._talk.fault is None:
                self._talk.read(await self._socket.recv_bytes())
                self._tend()
                if self._talk.mail.outgoing:
                    self._begin(self._write(), "openai writer")
                if len(self._talk.mail.events) > EVENTS_BOUND:
                    self._end(ProviderUnavailable("openai: nobody reads what it says"))
                    return
            self._end(self._talk.fault)
        except ConnectionClosed as fault:
            usual = fault.rcvd is not None and fault.rcvd.code in _USUAL_ENDS
            error = openai_faults.of_close(fault.rcvd.reason if fault.rcvd is not None else "")
            self._end(None if usual else openai_faults.ending(error) or link_faults.closed("openai", fault))
        except OSError as fault:
            self._end(ProviderUnavailable(f"openai: {type(fault).__name__}"))

    async def _write(self) -> None:
        """Send what is to be sent, in order, also where several ask for it."""
        outgoing = self._talk.mail.outgoing
        async with self._writing:
            while outgoing and not self._feed.over:
                try:
                    await self._socket.send_raw(outgoing.popleft())
                except (ConnectionClosed, OSError) as fault:
                    raise ProviderUnavailable("openai: the connection is gone") from fault

    def _begin(self, job: "asyncio._CoroutineLike[None]", name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(job, name=name)
        self._jobs.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, job: asyncio.Task[None]) -> None:
        self._jobs.discard(job)
        fault = None if job.cancelled() else job.exception()
        if isinstance(fault, ProviderUnavailable):
            # The reader learns it from the same socket, with the reason.
            return
        if fault is not None:
            self._end(self._feed.fault_of(job))

    def _tend(self) -> None:
        """See to what the conversation needs of the clock, and wake the session."""
        loop = asyncio.get_running_loop()
        if self._talk.expires_at != self._expires_at:
            self._schedule_renewal(loop)
        if self._talk.filling is not None and (self._filler is None or self._filler.done()):
            self._filler = self._begin(self._fill(), "openai silence")
        if self._talk.mail.events:
            self._feed.wake()

    async def _fill(self) -> None:
        turn = self._talk.filling
        if await fill(
            self._send_silence, lambda: self._talk.filling == turn and not self._feed.over, self._fill_seconds
        ):
            self._talk.fill_expired()
            await self._write()
        self._tend()

    async def _send_silence(self) -> None:
        self._talk.fill()
        await self._write()

    def _schedule_renewal(self, loop: asyncio.AbstractEventLoop) -> None:
        self._expires_at = self._talk.expires_at
        left = self._expires_at - self._clock() if self._expires_at else SESSION_SECONDS
        if not 0 < left <= _LONGEST:
            self._talk.mail.trouble("invalid_number", "the service says a senseless end of the session")
            left = SESSION_SECONDS
        if self._renewal is not None:
            self._renewal.cancel()
        self._renewal = loop.call_later(max(0.0, left - RENEW_BEFORE), self._due, min(left, RENEW_BEFORE))

    def _due(self, seconds: float) -> None:
        self._talk.mail.tell(RenewalDue(seconds))
        self._feed.wake()

    def _end(self, fault: ApplianceError | None) -> None:
        if not self._feed.end(fault):
            return
        if self._renewal is not None:
            self._renewal.cancel()
        for job in tuple(self._jobs):
            job.cancel()
