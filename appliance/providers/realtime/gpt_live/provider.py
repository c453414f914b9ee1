"""GPT-Live as a provider: it dials and sets up."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from websockets.exceptions import ConnectionClosed

from appliance import openai_faults
from appliance.config import services
from appliance.config.services import ServiceSettings
from appliance.interfaces import Capabilities, Connection, Setup
from appliance.link_faults import unreachable, unreadable
from appliance.loading import library
from appliance.name_lookup import look_up
from appliance.preparation import Preparation
from appliance.providers.realtime.gpt_live.connection import (
    CLOSE_SECONDS,
    NAME,
    LiveConnection,
    decoded,
    encoded,
    hang_up,
    lasts,
)
from appliance.providers.realtime.gpt_live.setup import RATE, start_message

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from openai.resources.live.live import AsyncLiveConnection
    from openai.types.websocket_connection_options import WebSocketConnectionOptions

HOST: Final = "api.openai.com"
DEFAULT_MODEL: Final = "gpt-live-1"
KEY_VARIABLES: Final = ("OPENAI_API_KEY",)
DIAL_SECONDS: Final = 10.0
SOCKET: Final[Mapping[str, Any]] = {
    # A path that fell silent is noticed within the sum of the first two.
    "ping_interval": 0.8,
    "ping_timeout": 1.1,
    "close_timeout": CLOSE_SECONDS,
    "open_timeout": DIAL_SECONDS,
    "max_size": 8 * 1024 * 1024,
    "compression": None,
}


class Settings(ServiceSettings):
    """The `[providers.gpt_live]` section. `tool_model` is the Responses model that calls the agent's tools."""

    model: str = DEFAULT_MODEL
    voice: str = ""
    language: str = ""
    tool_model: str = "gpt-5.4-mini"


class GptLive:
    """Implements interfaces.Provider. One client a process: each makes its own TLS context."""

    name = "gpt_live"
    settings_model = Settings
    capabilities = Capabilities(input_rate=RATE, output_rate=RATE, server_turns=True, restores_calls=True)

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Raise ConfigurationInvalid for keys that there are not, and values that cannot be."""
        self._settings = services.read(Settings, "providers.gpt_live", settings)
        self._client = Preparation(self._build, "gpt_live import")

    async def warm(self) -> None:
        """Import the SDK, which takes a second or more, and make the client: DriverMissing, CredentialsRejected."""
        await self._client.ready()

    async def connect(self, setup: Setup) -> Connection:
        client = await self._client.ready()
        try:
            async with asyncio.timeout(DIAL_SECONDS):
                await look_up(self._settings.host_name(HOST))
                manager = client.live.connect(
                    websocket_connection_options=cast("WebSocketConnectionOptions", SOCKET)
                )
                socket_ = await manager.__aenter__()
                try:
                    return await self._begin(socket_, setup)
                except BaseException:
                    await asyncio.shield(asyncio.ensure_future(hang_up(socket_)))
                    raise
        except ConnectionClosed as fault:
            raise openai_faults.closed_in_setup(self._settings.host(HOST), fault) from fault
        except Exception as fault:
            raise unreachable(NAME, self._settings.host(HOST), fault) from fault

    async def close(self) -> None:
        client = await self._client.taken_back()
        if client is not None:
            await client.close()

    async def _begin(self, socket_: "AsyncLiveConnection", setup: Setup) -> Connection:
        settings = self._settings
        start = start_message(
            setup,
            model=settings.model,
            voice=settings.voice,
            language=settings.language,
            tool_model=settings.tool_model,
        )
        await socket_.send_raw(encoded(start))
        while True:
            event = decoded(await socket_.recv_bytes())
            if event.get("type") == "session.started":
                return LiveConnection(socket_, setup, lasts(event))
            if event.get("type") == "error":
                raise openai_faults.of_setup(openai_faults.error_of(event))

    def _build(self) -> "AsyncOpenAI":
        key = self._settings.key(self.name, KEY_VARIABLES)
        with library("openai"):
            from openai import AsyncOpenAI
        try:
            client = AsyncOpenAI(api_key=key, base_url=self._settings.base_url or None, max_retries=0)
        except OSError as fault:
            raise unreadable(NAME, fault) from fault
        _ = client.live  # imports what it needs at its first use
        return client
