"""Gemini Live as a provider: it dials, takes a conversation up by its handle, and falls back to telling it anew."""

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from appliance.interfaces import CalledTool, Capabilities, Connection, Setup
from appliance.link_faults import unreachable
from appliance.name_lookup import look_up
from appliance.preparation import Preparation
from appliance.providers.realtime.gemini import messages as wire
from appliance.providers.realtime.gemini.client import HandleRefused, built, checked, translated
from appliance.providers.realtime.gemini.connection import (
    CONNECTION_SECONDS,
    INPUT_RATE,
    GeminiConnection,
)
from appliance.providers.realtime.gemini.dialogue import Dialogue
from appliance.providers.realtime.gemini.settings import HOST, KEY_VARIABLES, Settings, read
from appliance.providers.realtime.gemini.setup import live_config, seed, server_turns

if TYPE_CHECKING:
    from google.genai import Client

DIAL_SECONDS: Final = 15.0
"""The longest dial, for a caller without a deadline of its own."""
REFUSED_HANDLES: Final = 16


class GeminiLive:
    """Implements interfaces.Provider. One client of the SDK serves all its connections."""

    name = "gemini"
    settings_model = Settings

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Raise ConfigurationInvalid for keys that there are not, and values that cannot be."""
        self.connection_seconds = CONNECTION_SECONDS
        self._settings = read(settings)
        self.capabilities = Capabilities(
            input_rate=INPUT_RATE,
            output_rate=wire.OUTPUT_RATE,
            restores_calls=True,
            server_turns=self._settings.turns == "server",
        )
        self._client = Preparation(self._build, "gemini import")
        self._refused_handles: deque[str] = deque(maxlen=REFUSED_HANDLES)

    async def warm(self) -> None:
        """Import the SDK and build its client in a thread: that takes a Pi seconds."""
        await self._client.ready()

    async def connect(self, setup: Setup) -> Connection:
        try:
            async with asyncio.timeout(DIAL_SECONDS):
                client = await self._client.ready()
                await look_up(self._settings.host_name(HOST))
                return await self._connect(setup, client)
        except OSError as fault:
            raise unreachable(self.name, self._settings.host(HOST), fault) from fault

    async def close(self) -> None:
        client = await self._client.taken_back()
        if client is not None:
            await client.aio.aclose()

    def _build(self) -> "Client":
        return built(self._settings.key(self.name, KEY_VARIABLES), self._settings.base_url)

    async def _connect(self, setup: Setup, client: "Client") -> Connection:
        handle = "" if setup.handle in self._refused_handles else setup.handle
        if not handle:
            return await self._open(setup, client, handle="", fell_back=bool(setup.handle))
        try:
            return await self._open(setup, client, handle=handle)
        except HandleRefused:
            self._refused_handles.append(handle)
            return await self._open(setup, client, handle="", fell_back=True)

    async def _open(
        self, setup: Setup, client: "Client", *, handle: str, fell_back: bool = False
    ) -> GeminiConnection:
        """Dial and set up; take the conversation up by `handle`, or seed a fresh one: never both."""
        settings = self._settings
        manager = client.aio.live.connect(
            model=settings.model, config=checked(live_config(settings, setup, handle=handle))
        )
        try:
            session = await manager.__aenter__()
        except Exception as fault:
            raise translated(fault, settings.host(HOST), handle=bool(handle)) from fault
        by_service = server_turns(settings, setup)
        dialogue = Dialogue(
            server_turns=by_service,
            realtime_text=settings.model.removeprefix("models/").startswith("gemini-3.1-"),
            restored=[item for item in setup.history if isinstance(item, CalledTool)],
            handle=handle,
        )
        if fell_back:
            dialogue.trouble("handle_refused", "the service no longer knows the conversation: it was told it")
        connection = GeminiConnection(
            manager, session, dialogue, server_turns=by_service, lasts_seconds=self.connection_seconds
        )
        try:
            await connection.begin([] if handle else seed(setup.history))
        except BaseException as fault:
            await connection.close()
            if isinstance(fault, Exception):
                raise translated(fault, settings.host(HOST), handle=bool(handle)) from fault
            raise
        if handle:
            connection.when_refused = lambda: self._refused_handles.append(handle)
        return connection
