"""The fakes of the realtime services behind one face: what a grid of dropped links asks of each."""

from abc import ABC, abstractmethod
from contextlib import AsyncExitStack
from typing import Any, Self

import numpy as np

from appliance import plugins
from appliance.interfaces import Provider
from tests.fakes import gpt_live
from tests.rig.sounds import Samples
from tests.rig.wire import Wire


class Service(ABC):
    """One service, one wire to it, and a provider that uses the wire."""

    name: str
    rate: int

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self.wire: Wire
        self.provider: Provider

    async def __aenter__(self) -> Self:
        await self._begin()
        await self.provider.warm()
        self._stack.push_async_callback(self.provider.close)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _connect(self, port: int) -> int:
        self.wire = await self._stack.enter_async_context(Wire("127.0.0.1", port))
        return self.wire.port

    def _make(self, **settings: Any) -> None:
        self.provider = plugins.load("appliance.providers", self.name)(settings)

    @abstractmethod
    async def _begin(self) -> None: ...

    @abstractmethod
    def will_say(self, text: str, seconds: float) -> None:
        """The answer to the next turn."""

    @abstractmethod
    def received(self) -> Samples:
        """What the newest session has received of turns, at `rate`."""

    @abstractmethod
    def answers(self) -> list[int]:
        """The sample level of each answer that was given, over all sessions."""

    @property
    @abstractmethod
    def violations(self) -> list[str]: ...


class GptLiveService(Service):
    name = "gpt_live"
    rate = gpt_live.RATE

    async def _begin(self) -> None:
        self._server = await self._stack.enter_async_context(gpt_live.GptLiveServer())
        port = await self._connect(int(self._server.base_url.rsplit(":", 1)[1].partition("/")[0]))
        self._make(api_key=gpt_live.KEY, base_url=f"http://127.0.0.1:{port}/v1")

    def will_say(self, text: str, seconds: float) -> None:
        self._server.will_say(text, seconds)

    def received(self) -> Samples:
        return self._server.sessions[-1].samples() if self._server.sessions else np.zeros(0, np.int16)

    def answers(self) -> list[int]:
        return [level for session in self._server.sessions for level in session.levels]

    @property
    def violations(self) -> list[str]:
        return self._server.violations


SERVICES: dict[str, type[Service]] = {"gpt_live": GptLiveService}
