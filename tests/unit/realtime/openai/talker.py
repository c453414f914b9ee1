"""One conversation with OpenAI Realtime over a socket, and all that was told of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from appliance.errors import ApplianceError
from appliance.frames import Frame
from appliance.interfaces import (
    Connection,
    ProviderEvent,
    ResponseAudio,
    ResponseFinished,
    ResponseText,
    SendAudio,
    Setup,
)
from appliance.providers.realtime.openai import OpenAiRealtime
from tests.fakes.openai_realtime import FakeOpenAi
from tests.rig.sounds import Samples, babble

RATE = 24_000
SECONDS = 8.0
E = TypeVar("E", bound=ProviderEvent)


class Talker:
    """Reads for as long as the connection lives; `fault` is what ended it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.events: list[ProviderEvent] = []
        self.fault: ApplianceError | None = None
        self._came = asyncio.Event()
        self.reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            async for event in self.connection:
                self.events.append(event)
                self._came.set()
        except ApplianceError as fault:
            self.fault = fault
        self._came.set()

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, kind: type[E], holds: Callable[[E], bool] = lambda _: True) -> E:
        """The first event of this kind for which `holds`."""
        async with asyncio.timeout(SECONDS):
            while True:
                self._came.clear()
                for event in self.of(kind):
                    if holds(event):
                        return event
                if self.reader.done():
                    raise AssertionError(f"the connection ended without a {kind.__name__}: {self.fault}")
                await self._came.wait()

    async def finished(self, turn: int, times: int = 1) -> ResponseFinished:
        """The end of the answer to `turn`, the first or a later one."""
        async with asyncio.timeout(SECONDS):
            while True:
                self._came.clear()
                ends = [event for event in self.of(ResponseFinished) if event.turn == turn]
                if len(ends) >= times:
                    return ends[times - 1]
                await self._came.wait()

    async def ended(self) -> ApplianceError | None:
        async with asyncio.timeout(SECONDS):
            await self.reader
        return self.fault

    async def says(self, turn: int, samples: Samples, *, pace: float = 0.0) -> None:
        """In 20 ms frames; `pace` 1.0 is real time, 0 at once."""
        pcm = samples.tobytes()
        loop = asyncio.get_running_loop()
        due = loop.time()
        for begin in range(0, len(pcm), RATE // 50 * 2):
            await self.connection.send(SendAudio(turn, Frame(pcm[begin : begin + RATE // 50 * 2], RATE, 0.0)))
            due += 0.02 * pace
            await asyncio.sleep(max(0.0, due - loop.time()))

    def said(self, response: str) -> str:
        return "".join(event.text for event in self.of(ResponseText) if event.response == response)

    def pcm(self, response: str) -> bytes:
        return b"".join(event.pcm for event in self.of(ResponseAudio) if event.response == response)


def speech(seconds: float = 1.0, seed: int = 1) -> Samples:
    return babble(seconds, RATE, seed=seed)


def provider_of(cloud: FakeOpenAi, **section: Any) -> OpenAiRealtime:
    return OpenAiRealtime({"base_url": cloud.base_url, "api_key": cloud.key, **section})


@asynccontextmanager
async def talking(provider: OpenAiRealtime, **setup: Any) -> AsyncIterator[Talker]:
    talker = Talker(await provider.connect(Setup("s1", **setup)))
    try:
        yield talker
    finally:
        await talker.connection.close()
        await talker.ended()
