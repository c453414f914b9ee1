"""The connection over the SDK's socket: it reads and writes the raw messages, keeps time, and ends a silent path."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Final, Protocol

from websockets.exceptions import ConnectionClosed

from appliance import gemini_faults
from appliance.errors import ApplianceError, ProviderUnavailable, kind_and_place
from appliance.interfaces import CommitTurn, ProviderCommand, ProviderEvent, RenewalDue, SendAudio, SendText
from appliance.providers.realtime.fill import fill, silent_frame
from appliance.providers.realtime.gemini import messages as wire
from appliance.providers.realtime.gemini.dialogue import Dialogue, Step

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

INPUT_RATE: Final = 16_000
CLOSE_SECONDS: Final = 0.5
OUTBOX_BOUND: Final = 20_000
SILENT_SECONDS: Final = 1.6
"""A path that brings nothing for so long, not even the answer to a ping, is dead."""
PING_AFTER_SECONDS: Final = 0.5
WATCH_SECONDS: Final = 0.3
CONNECTION_SECONDS: Final = 600.0
RENEWAL_SECONDS: Final = 60.0
"""The service says goAway about so long before CONNECTION_SECONDS: the renewal is asked for should it not."""
FILL_SECONDS: Final = 2.0
UNHEARD_SECONDS: Final = 3.0
"""After the filling: a turn that the service says nothing about holds nothing."""
logger = logging.getLogger(__name__)


class LiveSession(Protocol):
    """What is used of the SDK's session."""

    setup_complete: Any


class GeminiConnection:
    """Implements interfaces.Connection over the SDK's socket, whose raw messages it reads and writes.

    The SDK's own receive() ends after each turn, stops at a message that it does not know, and costs ten times as much.
    """

    def __init__(
        self,
        manager: AbstractAsyncContextManager[Any],
        session: LiveSession,
        dialogue: Dialogue,
        *,
        server_turns: bool,
        lasts_seconds: float = CONNECTION_SECONDS,
    ) -> None:
        self.when_refused: Callable[[], None] | None = None
        """Called when the service ends the conversation because of what it was resumed with."""
        self._lasts_seconds = lasts_seconds
        self._manager = manager
        self._session = session
        self._socket: ClientConnection = session._ws  # type: ignore[attr-defined] # noqa: SLF001 # it has no other way
        self._dialogue = dialogue
        self._server_turns = server_turns
        self._outbox: deque[ProviderEvent] = deque()
        self._ready = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._filling: asyncio.Task[None] | None = None
        self._fault: ApplianceError | None = None
        self._over = False
        self._closed = False
        self._heard_at = time.monotonic()

    async def begin(self, history: list[dict[str, Any]]) -> None:
        """Wait for setupComplete, where the SDK took another message for it, and tell the history."""
        while self._session.setup_complete is None:
            raw = await self._socket.recv(decode=False)
            self._put(self._dialogue.receive(raw))
            if wire.completes_setup(raw):
                break
        if history:
            await self._socket.send(wire.history(history))
        self._put(self._dialogue.taken())
        self._start(self._read(), "gemini reader")
        self._start(self._watch(), "gemini watch")
        self._start(self._renew(), "gemini renewal")

    async def send(self, command: ProviderCommand) -> None:
        if self._over or self._closed:
            raise self._fault or ProviderUnavailable("the conversation with gemini is over")
        step = self._dialogue.command(command)
        if self._filling is not None and isinstance(command, SendAudio | SendText):
            self._filling.cancel()
            self._filling = None
        try:
            for message in step.messages:
                await self._socket.send(message)
        except ConnectionClosed as fault:
            raise ProviderUnavailable("the connection to gemini broke off") from fault
        finally:
            self._put(step)
        if self._server_turns and isinstance(command, CommitTurn) and self._dialogue.waits_for(command.turn):
            self._filling = self._start(self._fill(command.turn), "gemini silence")

    async def __aiter__(self) -> AsyncIterator[ProviderEvent]:
        while True:
            while self._outbox and not self._closed:
                yield self._outbox.popleft()
            if self._closed:
                return
            if self._over:
                if self._fault is not None:
                    raise self._fault
                return
            self._ready.clear()
            await self._ready.wait()

    def counters(self) -> Mapping[str, int]:
        return self._dialogue.counters()

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._ready.set()
        for task in self._tasks:
            task.cancel()
        try:
            async with asyncio.timeout(2 * CLOSE_SECONDS):
                await self._manager.__aexit__(None, None, None)
        except Exception as fault:  # noqa: BLE001 - it is being left
            logger.debug("gemini's socket did not close: %s", kind_and_place(fault))
            self._socket.transport.abort()

    def _start(self, work: Any, name: str) -> "asyncio.Task[None]":
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            logger.error("%s failed: %s", task.get_name(), kind_and_place(fault))

    def _put(self, step: Step) -> None:
        if not step.events:
            return
        self._outbox.extend(step.events)
        self._ready.set()
        if len(self._outbox) > OUTBOX_BOUND:
            # Reading has to go on, or the path would look dead; a session that reads nothing is none.
            self._end(ProviderUnavailable("nobody takes what gemini says"))

    def _end(self, fault: ApplianceError | None) -> None:
        if not self._over:
            self._over = True
            self._fault = fault
            self._ready.set()
            self._socket.transport.abort()

    async def _read(self) -> None:
        fault: ApplianceError | None = ProviderUnavailable("the connection to gemini broke off")
        try:
            while True:
                raw = await self._socket.recv(decode=False)
                self._heard_at = time.monotonic()
                step = self._dialogue.receive(raw)
                self._put(step)
                for message in step.messages:
                    await self._socket.send(message)
        except ConnectionClosed as closed:
            code, reason = close_of(closed)
            if code == 1007 and self.when_refused is not None:
                self.when_refused()
            fault = self._fault or gemini_faults.closed(code, reason, in_setup=False)
        finally:
            self._end(fault)

    async def _watch(self) -> None:
        """A silent path is a disconnect: ping when nothing comes, and end it when the ping brings nothing either."""
        last = time.monotonic()
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            now = time.monotonic()
            if now - last > 2 * WATCH_SECONDS:
                # This process itself stood still: what came meanwhile has not been read yet.
                self._heard_at = now
            last = now
            silent = now - self._heard_at
            if silent > SILENT_SECONDS:
                self._end(ProviderUnavailable("the path to gemini fell silent"))
                return
            if silent > PING_AFTER_SECONDS:
                try:
                    pong = asyncio.ensure_future(await self._socket.ping())
                except ConnectionClosed:
                    return
                pong.add_done_callback(self._ponged)

    def _ponged(self, pong: "asyncio.Future[float]") -> None:
        if not pong.cancelled() and pong.exception() is None:
            self._heard_at = time.monotonic()

    async def _renew(self) -> None:
        await asyncio.sleep(self._lasts_seconds - RENEWAL_SECONDS)
        if not self._dialogue.leaving:
            self._put(Step(events=[RenewalDue(RENEWAL_SECONDS)]))

    async def _fill(self, turn: int) -> None:
        """The service hears only what is sent: without silence it does not notice that the person has finished."""
        silence = wire.audio(silent_frame(INPUT_RATE), INPUT_RATE)
        try:
            unanswered = await fill(
                lambda: self._socket.send(silence), lambda: self._dialogue.waits_for(turn), FILL_SECONDS
            )
            if unanswered:
                await self._socket.send(wire.AUDIO_STREAM_END)
                await asyncio.sleep(UNHEARD_SECONDS)
                self._put(self._dialogue.settle(turn))
        except ConnectionClosed:
            return


def close_of(fault: Exception) -> tuple[int, str]:
    """Code and reason of a close, however it was told."""
    if isinstance(fault, ConnectionClosed):
        return (fault.rcvd.code, fault.rcvd.reason) if fault.rcvd is not None else (1006, "")
    return int(getattr(fault, "code", 0) or 0), str(fault)
