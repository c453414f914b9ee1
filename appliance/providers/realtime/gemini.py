"""Gemini Live: hears and speaks over one WebSocket, opened and set up by Google's SDK (google-genai)."""

import asyncio
import logging
import os
import time
import traceback
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed, InvalidStatus

from appliance import gemini_faults as faults
from appliance.config.secrets import reveal
from appliance.errors import (
    ApplianceError,
    ConfigurationInvalid,
    CredentialsRejected,
    DriverMissing,
    ProviderUnavailable,
    SetupRejected,
)
from appliance.interfaces import (
    CalledTool,
    Capabilities,
    CommitTurn,
    Connection,
    ProviderCommand,
    ProviderEvent,
    RenewalDue,
    SendAudio,
    SendText,
    Setup,
    ToolDeclaration,
)
from appliance.link_faults import unreachable, unreadable
from appliance.name_lookup import look_up
from appliance.providers.realtime import gemini_messages as wire
from appliance.providers.realtime.fill import fill, silent_frame
from appliance.providers.realtime.gemini_dialogue import Dialogue, Step
from appliance.providers.realtime.gemini_setup import Settings, live_config, seed, server_turns, settings_from

if TYPE_CHECKING:
    from google.genai import Client
    from google.genai.types import LiveConnectConfig
    from websockets.asyncio.client import ClientConnection

INPUT_RATE: Final = 16_000
HOST: Final = "generativelanguage.googleapis.com"
DIAL_SECONDS: Final = 15.0
"""The longest dial, for a caller without a deadline of its own."""
CLOSE_SECONDS: Final = 0.5
MESSAGE_BOUND: Final = 16 * 1024 * 1024
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
REFUSED_HANDLES: Final = 16
KEY_VARIABLES: Final = ("GOOGLE_API_KEY", "GEMINI_API_KEY")
_SOCKET: Final = {
    # Pings are our own: with the socket's, a pong behind a second of audio would count as a dead path.
    "ping_interval": None,
    "max_size": MESSAGE_BOUND,
    "compression": None,
    "close_timeout": CLOSE_SECONDS,
    "open_timeout": None,
}
_ANY_TOOL: Final = (ToolDeclaration("any", "", {"type": "object"}),)
logger = logging.getLogger(__name__)


class LiveSession(Protocol):
    """What is used of the SDK's session."""

    setup_complete: Any


class GeminiLive:
    """Implements interfaces.Provider. One client of the SDK serves all its connections."""

    name = "gemini"
    settings_model = Settings

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.connection_seconds = CONNECTION_SECONDS
        self._settings = settings_from(settings)
        self.capabilities = Capabilities(
            input_rate=INPUT_RATE,
            output_rate=wire.OUTPUT_RATE,
            restores_calls=True,
            resumes=True,
            server_turns=self._settings.turns == "server",
        )
        self._host = urlsplit(self._settings.base_url).netloc or HOST
        self._client: Client | None = None
        self._building: asyncio.Task[Client] | None = None
        self._refused_handles: deque[str] = deque(maxlen=REFUSED_HANDLES)

    async def warm(self) -> None:
        await self._ready_client()

    async def connect(self, setup: Setup) -> Connection:
        try:
            async with asyncio.timeout(DIAL_SECONDS):
                client = await self._ready_client()
                await look_up(urlsplit(self._settings.base_url).hostname or HOST)
                return await self._connect(setup, client)
        except OSError as fault:
            raise unreachable(self.name, self._host, fault) from fault

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aio.aclose()

    async def _connect(self, setup: Setup, client: "Client") -> Connection:
        handle = "" if setup.handle in self._refused_handles else setup.handle
        if not handle:
            return await self._open(setup, client, handle="", fell_back=bool(setup.handle))
        try:
            return await self._open(setup, client, handle=handle)
        except _HandleRefused:
            self._refused_handles.append(handle)
            return await self._open(setup, client, handle="", fell_back=True)

    async def _open(
        self, setup: Setup, client: "Client", *, handle: str, fell_back: bool = False
    ) -> "GeminiConnection":
        """Dial and set up; take the conversation up by `handle`, or seed a fresh one: never both."""
        settings = self._settings
        manager = client.aio.live.connect(
            model=settings.model, config=_checked(live_config(settings, setup, handle=handle))
        )
        try:
            session = await manager.__aenter__()
        except asyncio.CancelledError:
            raise
        except Exception as fault:
            raise self._translated(fault, handle=handle) from fault
        by_service = server_turns(settings, setup)
        dialogue = Dialogue(
            server_turns=by_service,
            realtime_text=settings.model.removeprefix("models/").startswith("gemini-3.1-"),
            restored=[item for item in setup.history if isinstance(item, CalledTool)],
            handle=handle,
        )
        if fell_back:
            dialogue.trouble("handle_refused", "the service no longer knows the conversation: it was told it")
        connection = GeminiConnection(manager, session, dialogue, server_turns=by_service)
        connection.lasts_seconds = self.connection_seconds
        try:
            await connection.begin([] if handle else seed(setup.history))
        except BaseException as fault:
            await connection.close()
            if isinstance(fault, Exception):
                raise self._translated(fault, handle=handle) from fault
            raise
        if handle:
            connection.when_refused = lambda: self._refused_handles.append(handle)
        return connection

    def _translated(self, fault: Exception, *, handle: str) -> Exception:
        from google.genai.errors import APIError

        if isinstance(fault, APIError | ConnectionClosed):
            code, reason = _close_of(fault)
            meant = faults.closed(code, reason, in_setup=True)
            if handle and code in faults.HANDLE_CODES and type(meant) in _OF_A_HANDLE:
                return _HandleRefused(str(code))
            return meant
        if isinstance(fault, InvalidStatus):
            response = fault.response
            meaning = faults.refused(response.status_code, response.headers, bytes(response.body or b""))
            if meaning is not None:
                return meaning
        if isinstance(fault, OSError):
            return unreachable(self.name, self._host, fault)
        if type(fault) is ValueError and not isinstance(fault.__context__, ValueError):
            return SetupRejected("gemini: the SDK does not let a setting through")
        if isinstance(fault, ValueError | TypeError):
            return ProviderUnavailable(f"gemini: its first message makes no sense ({type(fault).__name__})")
        return unreachable(self.name, self._host, fault)

    async def _ready_client(self) -> "Client":
        """A dial that gives up leaves the building to the next: on a small device it outlasts several."""
        if self._client is None:
            if self._building is None:
                building = asyncio.to_thread(_client, self._key(), self._settings.base_url)
                self._building = asyncio.get_running_loop().create_task(building, name="gemini client")
                self._building.add_done_callback(lambda done: done.cancelled() or done.exception())
            building_now = self._building
            try:
                self._client = await asyncio.shield(building_now)
            finally:
                if building_now.done():
                    self._building = None
        return self._client

    def _key(self) -> str:
        """The API key. Raise CredentialsRejected where there is none, or it cannot be one; it is never shown."""
        try:
            key = reveal(self._settings.api_key)
        except ConfigurationInvalid as fault:
            raise CredentialsRejected(f"gemini has no key: {fault.message}", hint=fault.hint) from fault
        key = key or next((found for name in KEY_VARIABLES if (found := os.environ.get(name))), "")
        if not key:
            raise CredentialsRejected("gemini has no key", hint=f"export {KEY_VARIABLES[0]}=...")
        if not key.isascii() or not key.isprintable() or " " in key:
            raise CredentialsRejected("gemini: the key has characters that no key has", hint=faults.KEY_HINT)
        return key


_OF_A_HANDLE: Final = frozenset({SetupRejected, ProviderUnavailable})
"""What may go with the handle: not a refused key, nor a limit."""


class _HandleRefused(Exception):
    """The service does not take the handle; it may take a fresh session."""


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
    ) -> None:
        self.when_refused: Callable[[], None] | None = None
        """Called when the service ends the conversation because of what it was resumed with."""
        self.lasts_seconds = CONNECTION_SECONDS
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
        return self._dialogue.troubles

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
        except Exception:
            logger.debug("gemini's socket did not close", exc_info=True)
            self._socket.transport.abort()

    def _start(self, work: Any, name: str) -> "asyncio.Task[None]":
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            # Its kind and place only: its message may hold what somebody said.
            place = traceback.extract_tb(fault.__traceback__)[-1]
            logger.error(
                "%s failed: %s at %s:%s", task.get_name(), type(fault).__name__, place.name, place.lineno
            )

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
            code, reason = _close_of(closed)
            if code == 1007 and self.when_refused is not None:
                self.when_refused()
            fault = self._fault or faults.closed(code, reason, in_setup=False)
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
        await asyncio.sleep(self.lasts_seconds - RENEWAL_SECONDS)
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


def _checked(config: dict[str, Any]) -> "LiveConnectConfig":
    """As the SDK's own. Raise SetupRejected where it is none: what fails after that came from the service."""
    from google.genai import types

    try:
        return types.LiveConnectConfig(**config)
    except ValueError as fault:
        raise SetupRejected("gemini: the SDK does not take the settings") from fault


def _close_of(fault: Exception) -> tuple[int, str]:
    """Code and reason of a close, however it was told."""
    if isinstance(fault, ConnectionClosed):
        return (fault.rcvd.code, fault.rcvd.reason) if fault.rcvd is not None else (1006, "")
    return int(getattr(fault, "code", 0) or 0), str(fault)


def _client(key: str, base_url: str) -> "Client":
    """Import the SDK and build its client: seconds on a small device, so never on the loop."""
    try:
        from google import genai
        from google.genai import types
    except ImportError as fault:
        raise DriverMissing("gemini needs google-genai", hint="install the library google-genai") from fault
    options = types.HttpOptions(base_url=base_url or None, async_client_args=dict(_SOCKET))
    # Said outright, a stray GOOGLE_GENAI_USE_VERTEXAI or GOOGLE_GENAI_USE_ENTERPRISE turns nothing over.
    try:
        client = genai.Client(vertexai=False, api_key=key, http_options=options)
    except OSError as fault:
        raise unreadable("gemini", fault) from fault
    if base_url.startswith("http://"):
        _without_tls(client, base_url)
    # The SDK's models are built when they are first used: here, rather than on the loop while somebody waits.
    types.LiveConnectConfig(**live_config(Settings(), Setup("", tools=_ANY_TOOL), handle="")).model_dump()
    types.LiveServerMessage.model_validate({"setupComplete": {}})
    return client


def _without_tls(client: "Client", base_url: str) -> None:
    """The SDK makes wss of any address; a server of one's own may have no certificate."""
    api: Any = client._api_client  # noqa: SLF001 # there is no setting for it
    if not hasattr(api, "_websocket_base_url") or not hasattr(api, "_websocket_ssl_ctx"):
        raise SetupRejected("this google-genai cannot do without TLS", hint="write base_url with https://")
    api._websocket_ssl_ctx = dict(_SOCKET)  # noqa: SLF001
    api._websocket_base_url = lambda _=None: "ws" + base_url.removeprefix("http")  # noqa: SLF001
