"""GPT-Live through OpenAI's SDK (`client.live`): a full-duplex model, which decides itself when to speak and to stop.

Sound goes up all the time: what the person says in their turns, and silence between, so that nothing of the room leaves
the device outside a turn. `gpt_live_protocol.py` has the messages.
"""

import asyncio
import json
import logging
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from pydantic import BaseModel, ConfigDict, SecretStr

from appliance.config.secrets import reveal
from appliance.errors import (
    ApplianceError,
    CredentialsRejected,
    DriverMissing,
    ProviderUnavailable,
)
from appliance.interfaces import (
    CancelResponse,
    Capabilities,
    CommitTurn,
    Connection,
    DiscardTurn,
    ProviderCommand,
    ProviderEvent,
    ProviderTrouble,
    RenewalDue,
    SendAudio,
    SendText,
    Setup,
    ToolResult,
)
from appliance.link_faults import unreachable, unreadable
from appliance.name_lookup import look_up
from appliance.providers.realtime.gpt_live_protocol import (
    RATE,
    LiveProtocol,
    Message,
    audio_message,
    commentary,
    refusal,
    start_message,
)

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from openai.resources.live.live import AsyncLiveConnection
    from openai.types.websocket_connection_options import WebSocketConnectionOptions

NAME: Final = "GPT-Live"
CLOSE_SECONDS: Final = 0.3
SOCKET: Final[Mapping[str, Any]] = {
    "ping_interval": 0.8,
    "ping_timeout": 1.1,
    "close_timeout": CLOSE_SECONDS,
    "max_size": 8 * 1024 * 1024,
    "compression": None,
}
"""A silent path is noticed within 2 s: a ping, and no pong."""
CLOCK_SECONDS: Final = 0.02
LATE_SECONDS: Final = 0.04
"""The person's frames may come so late before silence is put in their place."""
LONGEST_SESSION: Final = 3_600.0
_LATEST: Final = 1e11
"""Unix seconds: what is later is no time."""
RENEW_BEFORE: Final = 300.0
OUTBOX_BOUND: Final = 10_000
SILENCE: Final = audio_message(bytes(round(RATE * CLOCK_SECONDS) * 2))
logger = logging.getLogger(__name__)


class Settings(BaseModel):
    """The `[providers.gpt_live]` section. `tool_model` is the Responses model that calls the agent's tools."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = ""
    voice: str = ""
    language: str = ""
    api_key: SecretStr = SecretStr("")
    base_url: str = ""
    tool_model: str = "gpt-5.4-mini"


class GptLive:
    """Implements interfaces.Provider. One client a process: each makes its own TLS context."""

    name = "gpt_live"
    settings_model = Settings
    capabilities = Capabilities(input_rate=RATE, output_rate=RATE, server_turns=True, restores_calls=True)

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = Settings.model_validate(dict(settings))
        self._client: asyncio.Future[AsyncOpenAI] | None = None

    async def warm(self) -> None:
        """Import the SDK, which takes a second or more, and make the client: DriverMissing, CredentialsRejected."""
        await self._ready()

    async def connect(self, setup: Setup) -> Connection:
        client = await self._ready()
        manager = client.live.connect(websocket_connection_options=cast("WebSocketConnectionOptions", SOCKET))
        try:
            await look_up(client.base_url.host)
            socket_ = await manager.__aenter__()
        except Exception as fault:
            raise unreachable(NAME, client.base_url.host, fault) from fault
        try:
            return await self._begin(socket_, setup)
        except BaseException:
            await asyncio.shield(asyncio.ensure_future(_hang_up(socket_)))
            raise

    async def close(self) -> None:
        if self._client is not None and self._client.done() and self._client.exception() is None:
            await self._client.result().close()

    async def _ready(self) -> "AsyncOpenAI":
        if self._client is None or (self._client.done() and self._client.exception() is not None):
            self._client = asyncio.ensure_future(asyncio.to_thread(self._make_client))
        return await asyncio.shield(self._client)

    async def _begin(self, socket_: "AsyncLiveConnection", setup: Setup) -> Connection:
        settings = self._settings
        start = start_message(
            setup,
            model=settings.model or "gpt-live-1",
            voice=settings.voice,
            language=settings.language,
            tool_model=settings.tool_model,
        )
        try:
            await socket_.send_raw(_encoded(start))
            while True:
                event = _decoded(await socket_.recv_bytes())
                if event.get("type") == "session.started":
                    return LiveConnection(socket_, setup, _lasts(event))
                if event.get("type") == "error":
                    raise refusal(event, starting=True) or ProviderUnavailable("GPT-Live refuses the session")
        except ApplianceError:
            raise
        except Exception as fault:
            raise unreachable(NAME, "OpenAI", fault) from fault

    def _make_client(self) -> "AsyncOpenAI":
        try:
            from openai import AsyncOpenAI
        except ImportError as fault:
            raise DriverMissing(
                f"the openai package is missing: {fault.name}", hint="run: make setup"
            ) from fault
        key = reveal(self._settings.api_key) or os.environ.get("OPENAI_API_KEY", "")
        if not key.strip():
            raise CredentialsRejected(
                "GPT-Live has no key",
                hint="set providers.gpt_live.api_key, or OPENAI_API_KEY in the environment",
            )
        try:
            client = AsyncOpenAI(api_key=key.strip(), base_url=self._settings.base_url or None, max_retries=0)
        except OSError as fault:
            raise unreadable(NAME, fault) from fault
        _ = client.live
        return client


class LiveConnection:
    """Implements interfaces.Connection. A reader, and a clock that fills the person's silence; both end with it."""

    def __init__(self, socket_: "AsyncLiveConnection", setup: Setup, lasts: float) -> None:
        self._socket = socket_
        self._protocol = LiveProtocol(setup.history)
        self._outbox: deque[ProviderEvent] = deque()
        self._came = asyncio.Event()
        self._fault: ApplianceError | None = None
        self._over = False
        self._told: set[str] = set()
        loop = asyncio.get_running_loop()
        self._covered_until = loop.time()
        self._renew_at = loop.time() + max(lasts - RENEW_BEFORE, lasts / 2)
        self._renew_within = min(RENEW_BEFORE, lasts / 2)
        self._jobs = (
            loop.create_task(self._read(), name="gpt_live reader"),
            loop.create_task(self._keep_time(), name="gpt_live clock"),
        )

    async def send(self, command: ProviderCommand) -> None:
        match command:
            case SendAudio():
                self._tell(self._protocol.begin_turn(command.turn))
                now = asyncio.get_running_loop().time()
                self._covered_until = max(self._covered_until, now) + command.frame.duration_ms / 1000
                await self._put(audio_message(command.frame.pcm))
            case SendText():
                self._tell(self._protocol.begin_turn(command.turn))
                self._protocol.end_turn(command.turn, asyncio.get_running_loop().time())
                await self._send([commentary(f"The person typed: {command.text}")])
            case CancelResponse():
                self._tell(self._protocol.cancel(command.response))
            case ToolResult():
                await self._send(self._protocol.result(command))
            case CommitTurn():
                # The model is not told: it hears by itself that the person has stopped.
                self._protocol.end_turn(command.turn, asyncio.get_running_loop().time())
            case DiscardTurn():
                self._protocol.drop_turn()

    async def __aiter__(self) -> AsyncIterator[ProviderEvent]:
        while True:
            while self._outbox:
                yield self._outbox.popleft()
            if self._over:
                break
            self._came.clear()
            await self._came.wait()
        if self._fault is not None:
            raise self._fault

    def counters(self) -> Mapping[str, int]:
        return dict(self._protocol.counters)

    async def close(self) -> None:
        self._end(None)
        for job in self._jobs:
            job.cancel()
        await asyncio.wait(self._jobs, timeout=0.5)
        await _hang_up(self._socket)

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                data = await self._socket.recv_bytes()
                try:
                    event = _decoded(data)
                except ValueError:
                    self._tell([ProviderTrouble("bad_message", "the service sent what is no JSON object")])
                    continue
                told, answers = self._protocol.take(event, loop.time())
                self._tell(told)
                await self._send(answers)
        except ApplianceError as fault:
            self._end(fault)
        except Exception as fault:  # noqa: BLE001 - whatever the SDK raises, the link is gone, and the session is told
            self._end(unreachable(NAME, "OpenAI", fault))

    async def _keep_time(self) -> None:
        """Every 20 ms: silence where the person says nothing, and the ends of responses."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                await asyncio.sleep(CLOCK_SECONDS)
                now = loop.time()
                self._tell(self._protocol.tick(now))
                if now >= self._renew_at:
                    self._renew_at = float("inf")
                    self._tell([RenewalDue(self._renew_within)])
                while now - self._covered_until >= LATE_SECONDS:
                    self._covered_until += CLOCK_SECONDS
                    await self._put(SILENCE)
        except ProviderUnavailable as fault:
            self._end(fault)

    async def _send(self, messages: Iterable[Message]) -> None:
        for message in messages:
            await self._put(_encoded(message))

    async def _put(self, text: str) -> None:
        if self._over:
            raise ProviderUnavailable("the connection is gone")
        try:
            await self._socket.send_raw(text)
        except Exception as fault:
            raise unreachable(NAME, "OpenAI", fault) from fault

    def _tell(self, events: Iterable[ProviderEvent]) -> None:
        for event in events:
            if isinstance(event, ProviderTrouble):
                if event.code in self._told:
                    continue
                self._told.add(event.code)
            self._outbox.append(event)
        if len(self._outbox) > OUTBOX_BOUND:
            self._end(ProviderUnavailable("more came than the session takes"))
        self._came.set()

    def _end(self, fault: ApplianceError | None) -> None:
        if not self._over:
            self._over = True
            self._fault = fault
            self._came.set()


def _encoded(message: Message) -> str:
    """Lone surrogates, which no socket takes, become question marks."""
    return json.dumps(message, ensure_ascii=False).encode("utf-8", "replace").decode("utf-8")


def _decoded(data: bytes | str) -> Message:
    """Raise ValueError for what is no JSON object."""
    try:
        event = json.loads(data)
    except RecursionError as fault:
        raise ValueError("too deep") from fault
    if isinstance(event, dict):
        return event
    raise ValueError("no object")


def _lasts(event: Message) -> float:
    """Seconds until the session expires; LONGEST_SESSION where the service gives no sane time."""
    session = event.get("session")
    expires_at = session.get("expires_at") if isinstance(session, Mapping) else None
    if isinstance(expires_at, int | float) and 0 < expires_at < _LATEST:
        left = expires_at - time.time()
        return left if 1.0 < left <= 86_400.0 else LONGEST_SESSION
    return LONGEST_SESSION


async def _hang_up(socket_: "AsyncLiveConnection") -> None:
    try:
        async with asyncio.timeout(CLOSE_SECONDS * 3):
            await socket_.close()
    except Exception:
        logger.info("GPT-Live's connection did not close cleanly", exc_info=True)
