"""OpenAI Realtime as a provider: one client of the official SDK per process, one socket per connection."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from websockets.exceptions import ConnectionClosed

from appliance import link_faults, openai_faults
from appliance.interfaces import Capabilities, Connection, Setup
from appliance.loading import library
from appliance.name_lookup import look_up
from appliance.preparation import Preparation
from appliance.providers.realtime.openai import wire
from appliance.providers.realtime.openai.connection import OpenAiConnection, RealtimeSocket
from appliance.providers.realtime.openai.conversation import Conversation
from appliance.providers.realtime.openai.settings import DEFAULT_HOST, KEY_VARIABLES, Settings, read
from appliance.providers.realtime.openai.setup import RATE, SETUP_EVENT, replay, session_update

if TYPE_CHECKING:
    from openai import AsyncOpenAI

DIAL_SECONDS: Final = 10.0
SOCKET: Final[Mapping[str, Any]] = {
    # A path that fell silent is noticed within the sum of the first three.
    "ping_interval": 0.5,
    "ping_timeout": 1.1,
    "close_timeout": 0.2,
    "open_timeout": DIAL_SECONDS,
    # Beyond wire.MESSAGE_BOUND a message is counted and not read; beyond this the connection ends.
    "max_size": 16 * 1024 * 1024,
    "max_queue": 256,
    "compression": None,
}
FILL_SECONDS: Final = {"local": 0.0, "server": 2.0, "semantic": 6.0}
"""How long the service may take to find the end of a turn that the device hears no more of."""


class OpenAiRealtime:
    """Implements interfaces.Provider. Group `appliance.providers`, section `[providers.openai]`."""

    name = "openai"
    settings_model = Settings

    def __init__(self, settings: Mapping[str, Any], *, clock: Callable[[], float] = time.time) -> None:
        """Raise ConfigurationInvalid for keys that there are not, and values that cannot be."""
        self._settings: Settings = read(settings)
        self._clock = clock
        self._ready = Preparation(self._build, "openai import")
        self.capabilities = Capabilities(
            input_rate=RATE,
            output_rate=RATE,
            server_turns=self._settings.turns != "local",
            truncate=True,
            restores_calls=True,
        )

    async def warm(self) -> None:
        """Import the SDK and build its client in a thread: that takes a Pi seconds."""
        await self._ready.ready()

    async def connect(self, setup: Setup) -> Connection:
        ready = await self._ready.ready()
        conversation = Conversation(self._settings, setup)
        try:
            async with asyncio.timeout(DIAL_SECONDS):
                await look_up(self._settings.host_name(DEFAULT_HOST))
                socket = await ready.client.realtime.connect(
                    model=self._settings.model,
                    websocket_connection_options=ready.socket,
                    max_retries=0,
                ).enter()
                try:
                    await self._set_up(socket, setup, conversation)
                except BaseException:
                    await asyncio.shield(_hang_up(socket))
                    raise
        except ConnectionClosed as fault:
            raise openai_faults.closed_in_setup(self._settings.host(DEFAULT_HOST), fault) from fault
        except Exception as fault:
            raise link_faults.unreachable(self.name, self._settings.host(DEFAULT_HOST), fault) from fault
        seconds = FILL_SECONDS[self._settings.turns]
        return OpenAiConnection(socket, conversation, self._clock, fill_seconds=seconds)

    async def close(self) -> None:
        ready = await self._ready.taken_back()
        if ready is not None:
            await ready.client.close()

    async def _set_up(self, socket: RealtimeSocket, setup: Setup, conversation: Conversation) -> None:
        await _until("session.created", socket, conversation)
        await socket.send_raw(session_update(self._settings, setup))
        await _until("session.updated", socket, conversation)
        for item in replay(setup):
            await socket.send_raw(item)

    def _build(self) -> "_Ready":
        return _built(self._settings.key(self.name, KEY_VARIABLES), self._settings.base_url)


async def _until(kind: str, socket: RealtimeSocket, conversation: Conversation) -> None:
    """Read on until an event of `kind`. Raise what an error before it means."""
    while True:
        raw = await socket.recv_bytes()
        try:
            event = wire.decode(raw)
        except wire.Malformed:
            event = {"type": ""}
        error = event.get("error")
        if (
            event["type"] == "error"
            and isinstance(error, dict)
            and error.get("event_id") in (None, SETUP_EVENT)
        ):
            raise openai_faults.of_setup(error)
        conversation.read(raw)
        if event["type"] == kind:
            return


async def _hang_up(socket: RealtimeSocket) -> None:
    """The end of a dial that failed, and that says why: a socket that is gone already adds nothing to it."""
    with contextlib.suppress(TimeoutError, OSError, ConnectionClosed):
        async with asyncio.timeout(1.0):
            await socket.close()


@dataclass(frozen=True, slots=True)
class _Ready:
    """The SDK's client, and the options of its sockets."""

    client: "AsyncOpenAI"
    socket: Mapping[str, Any]


def _built(key: str, base_url: str) -> _Ready:
    """In a thread: the imports, the client, and the certificates, which each dial would read again."""
    with library("openai"):
        import openai.lib._websocket
        import openai.resources.realtime.realtime
    try:
        client = openai.AsyncOpenAI(api_key=key, base_url=base_url or None, max_retries=0)
        trusted = None if base_url.startswith("http://") else ssl.create_default_context()
    except OSError as fault:
        raise link_faults.unreadable("openai", fault) from fault
    _ = client.realtime  # imports what it needs at its first use
    return _Ready(client, SOCKET if trusted is None else {**SOCKET, "ssl": trusted})
