"""One WebSocket client: takes its commands and audio, sends it answers, events and audio, lets it go with a code."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Final, NoReturn

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from appliance.control import protocol
from appliance.control.client_line import ClientLine
from appliance.control.commands import DEFAULT_TOPICS, IN_BACKGROUND, Commands
from appliance.control.fields import fits
from appliance.control.limits import Limits, TokenBucket
from appliance.control.outbox import Outbox
from appliance.control.ports import LinePort, LinesPort, SessionPort
from appliance.control.protocol import ON_REQUEST, Close, Malformed, Refusal, Request, Scope
from appliance.errors import ApplianceError, Forbidden, NotPossible, kind_and_place
from appliance.events import Event, SessionStateChanged

_log = logging.getLogger(__name__)
_WATCH_EVERY: Final = 0.25
_BACKGROUND_WITHIN: Final = 120.0


class Leave(Exception):
    """The client is to be let go with a code; `flush` when what waits for it should still be sent."""

    def __init__(self, code: int, reason: str, *, flush: bool = True) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.flush = flush


class _Gone(Exception):
    """The client has left by itself."""


class Client:
    """Implements commands.Caller for one connection."""

    def __init__(
        self,
        socket: ServerConnection,
        scope: Scope,
        commands: Commands,
        lines: LinesPort[Any],
        limits: Limits,
        on_topics: Callable[[], None],
    ) -> None:
        self.scope = scope
        self.talk: ClientLine | None = None
        self._topics: tuple[str, ...] = DEFAULT_TOPICS
        self.outbox = Outbox(limits)
        self.audio_refused = 0
        self._socket = socket
        self._commands = commands
        self._lines = lines
        self._limits = limits
        self._on_topics = on_topics
        self._speed = TokenBucket(limits.commands_per_second, limits.commands_at_once)
        self._stray = TokenBucket(limits.commands_per_second, limits.commands_at_once)
        self._refusals = 0
        self._told_no_session = False
        self._background: set[str] = set()
        self._pacing: asyncio.Task[None] | None = None
        self._session_ended = asyncio.Event()
        self._now = asyncio.get_running_loop().time

    def wants(self, topic: str) -> bool:
        return any(fits(prefix, topic) for prefix in self._topics)

    def subscribe(self, topics: tuple[str, ...]) -> None:
        """From now on send what fits one of these prefixes, and nothing else."""
        self._topics = topics
        self._on_topics()

    def offer(self, event: Event, encoded: str) -> None:
        """Send an event that this client wants; never waits."""
        self.outbox.put(encoded, self._now(), lossy=event.topic in ON_REQUEST)

    def noticed(self, event: Event) -> None:
        """Look at every event, wanted or not: our session may have ended."""
        ended = isinstance(event, SessionStateChanged) and event.to == "closed"
        if ended and self.talk is not None and event.session == self.talk.session.id:
            self._session_ended.set()

    def begin_talk(self, line: LinePort, session: SessionPort, rate: int) -> None:
        self.talk = ClientLine(line, session, rate, self.outbox, self._limits)
        # Audio that is under way when this session ends is nobody's mistake.
        self._told_no_session = True
        self._pacing = self._group.create_task(self.talk.run(self._now))

    async def end_talk(self, reason: str) -> None:
        """Close our session and its line, if there are any. Idempotent."""
        talk, self.talk = self.talk, None
        pacing, self._pacing = self._pacing, None
        if pacing is not None:
            pacing.cancel()
        if talk is not None:
            await self._lines.close_line(talk.line.id, reason)

    async def run(self, hello: str) -> Leave:
        """Serve the client until it leaves or is to be let go; return how."""
        self.outbox.put(hello, self._now())
        leave = Leave(1000, "")
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for part in (self._read(), self._write(), self._ping(), self._watch(), self._tidy()):
                    group.create_task(part)
        except* Leave as leaving:
            leave = next(error for error in _leaves(leaving) if isinstance(error, Leave))
            _log.info("client let go: %s %s", leave.code, leave.reason)
        except* (_Gone, ConnectionClosed):
            pass
        except* Exception as faults:  # noqa: BLE001 - a fault of ours costs one client, not the server
            leave = Leave(1011, "a fault inside the appliance", flush=False)
            for fault in _leaves(faults):
                _log_fault("serving a client", fault)
        return leave

    async def part(self, leave: Leave) -> None:
        """Close the client's session, then its connection."""
        try:
            async with asyncio.timeout(self._limits.command_within):
                await self.end_talk("client left")
        except Exception as error:  # noqa: BLE001 - the connection must be closed all the same
            _log_fault("closing a client's line", error)
        try:
            async with asyncio.timeout(self._limits.close_within if leave.flush else self._limits.linger):
                while leave.flush and self.outbox.waiting():
                    await self._socket.send(await self.outbox.take())
                await self._socket.close(leave.code, leave.reason[:100])
        except (TimeoutError, ConnectionClosed):
            self._socket.transport.abort()

    async def _read(self) -> NoReturn:
        async for message in self._socket:
            if isinstance(message, str):
                if not self._speed.take(self._now()):
                    raise Leave(
                        Close.TOO_FAST, f"more than {self._limits.commands_per_second:g} commands a second"
                    )
                await self._command(message)
            else:
                self._audio(message)
        raise _Gone

    async def _command(self, message: str) -> None:
        try:
            request = protocol.parse(message)
        except Malformed as error:
            raise Leave(Close.MALFORMED, str(error)) from None
        if isinstance(request, Refusal):
            self._send(protocol.failure(request.id, request.error))
            return
        try:
            protocol.authorize(request, self.scope)
        except Forbidden as error:
            self._send(protocol.failure(request.id, error))
            self._refusals += 1
            if self._refusals >= self._limits.refusals:
                raise Leave(Close.SCOPE, error.message) from None
            return
        if request.command not in IN_BACKGROUND:
            await self._answer(request, self._limits.command_within)
        elif request.command in self._background:
            self._send(
                protocol.failure(request.id, NotPossible(f"{request.command} is still at work for you"))
            )
        else:
            self._background.add(request.command)
            self._group.create_task(self._answer(request, _BACKGROUND_WITHIN))

    async def _answer(self, request: Request, within: float) -> None:
        try:
            async with asyncio.timeout(within):
                answer = protocol.result(request.id, await self._commands.carry_out(self, request))
        except ApplianceError as error:
            answer = protocol.failure(request.id, error)
        except TimeoutError:
            answer = protocol.failure(
                request.id, protocol.TookTooLong(f"{request.command} took longer than {within:g} s")
            )
        except Exception as error:  # noqa: BLE001 - a fault of ours must not leave a command unanswered
            _log_fault(request.command, error)
            answer = protocol.failure(request.id, ApplianceError("a fault inside the appliance; see its log"))
        finally:
            self._background.discard(request.command)
        self._send(answer)

    def _audio(self, pcm: bytes) -> None:
        if len(pcm) % 2:
            raise Leave(Close.MALFORMED, "audio must be s16le: an even number of bytes")
        if self.talk is not None:
            if not self.talk.hear(pcm):
                raise Leave(
                    Close.TOO_FAST, f"audio comes faster than {self._limits.audio_speed:g} times real time"
                )
            return
        self.audio_refused += 1
        if not self._stray.take(self._now()):
            raise Leave(Close.TOO_FAST, "audio without an open session")
        if not self._told_no_session:
            self._told_no_session = True
            self._send(
                protocol.failure(
                    None,
                    NotPossible("audio without an open session is dropped", hint="send session.open first"),
                )
            )

    def _send(self, message: str) -> None:
        self.outbox.put(message, self._now())

    async def _write(self) -> NoReturn:
        while True:
            await self._socket.send(await self.outbox.take())

    async def _watch(self) -> NoReturn:
        while True:
            await asyncio.sleep(_WATCH_EVERY)
            if self.outbox.overfull(self._now()):
                raise Leave(Close.IDLE, "reads too slowly", flush=False)

    async def _tidy(self) -> NoReturn:
        while True:
            await self._session_ended.wait()
            self._session_ended.clear()
            await self.end_talk("session ended")

    async def _ping(self) -> NoReturn:
        while True:
            await asyncio.sleep(self._limits.ping_every)
            began = time.monotonic()
            try:
                async with asyncio.timeout(self._limits.pong_within):
                    await (await self._socket.ping())
            except TimeoutError:
                raise Leave(
                    Close.IDLE, f"no answer to a ping for {time.monotonic() - began:.0f} s", flush=False
                ) from None


def _log_fault(doing: str, error: BaseException) -> None:
    _log.error("%s failed: %s", doing, kind_and_place(error))


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found.extend(_leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    return found
