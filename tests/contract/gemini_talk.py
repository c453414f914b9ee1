"""One who talks to the fake of Gemini Live, for what ProviderContract does not ask of everybody."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from appliance.interfaces import ResumptionHandle, Setup, ToolDeclaration
from appliance.providers.realtime.gemini import GeminiLive
from tests.fakes.gemini_answers import Samples
from tests.fakes.gemini_live import KEY, GeminiServer
from tests.rig.sounds import tone
from tests.rig.talker import Talker

TOOLS = (ToolDeclaration("get_time", "Says what time it is.", {"type": "object", "properties": {}}),)
SPEECH = tone(440, 0.6, 16_000)
SILENCE = np.zeros(16_000, np.int16)


class Talk(Talker):
    """Who says mostly the same."""

    async def says(self, turn: int, samples: Samples = SPEECH, *, pace: float = 0.0) -> None:
        await super().says(turn, samples, pace=pace)

    async def asks(self, turn: int, samples: Samples = SPEECH, *, pace: float = 0.0) -> None:
        await super().asks(turn, samples, pace=pace)

    async def handle(self) -> str:
        """The first that is good for anything."""
        return (await self.until(ResumptionHandle, lambda one: bool(one.handle))).handle


class GeminiStories:
    """To inherit: each story has a service of its own, and a provider that uses it."""

    @pytest.fixture
    async def server(self, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[GeminiServer]:
        async with GeminiServer() as server:
            monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
            yield server

    @pytest.fixture
    async def provider(self, server: GeminiServer) -> AsyncIterator[GeminiLive]:
        provider = GeminiLive({"api_key": KEY, "base_url": server.base_url})
        yield provider
        await provider.close()


@asynccontextmanager
async def talking(provider: GeminiLive, **setup: Any) -> AsyncIterator[Talk]:
    talk = Talk(await provider.connect(Setup("s1", **{"tools": TOOLS, **setup})))
    try:
        yield talk
    finally:
        await talk.close()
