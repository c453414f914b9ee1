"""One who talks to a provider over its contract, and keeps all that it is told."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from appliance.errors import ApplianceError
from appliance.frames import Frame
from appliance.interfaces import (
    CommitTurn,
    Connection,
    ProviderEvent,
    ProviderTrouble,
    ResponseAudio,
    ResponseFinished,
    ResponseText,
    SendAudio,
    SendText,
)
from tests.rig.sounds import Samples

E = TypeVar("E", bound=ProviderEvent)


class Talker:
    """Reads for as long as the connection lives; `fault` is what ended it."""

    seconds = 20.0
    """How long it waits for anything."""

    def __init__(self, connection: Connection, rate: int = 16_000) -> None:
        self.connection = connection
        self.rate = rate
        self.events: list[ProviderEvent] = []
        self.fault: ApplianceError | None = None
        self._came = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            async for event in self.connection:
                self.events.append(event)
                self._came.set()
                await self.take(event)
        except ApplianceError as fault:
            self.fault = fault
        self._came.set()

    async def take(self, event: ProviderEvent) -> None:
        """What a subclass does with it at once."""

    # --- what it is told ---

    @property
    def over(self) -> bool:
        """The connection is gone."""
        return self._reader.done()

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, kind: type[E], holds: Callable[[E], bool] = lambda _: True, times: int = 1) -> E:
        """The first event of this kind for which `holds`, or a later one."""
        async with asyncio.timeout(self.seconds):
            while True:
                self._came.clear()
                found = [event for event in self.events if isinstance(event, kind) and holds(event)]
                if len(found) >= times:
                    return found[times - 1]
                if self.over:
                    raise AssertionError(f"the connection ended without a {kind.__name__}: {self.fault}")
                await self._came.wait()

    async def finished(self, turn: int, times: int = 1) -> ResponseFinished:
        """The end of the answer to `turn`, the first or a later one."""
        return await self.until(ResponseFinished, lambda one: one.turn == turn, times)

    async def ended(self, seconds: float | None = None) -> ApplianceError | None:
        """Wait until the connection is gone; return what ended it."""
        async with asyncio.timeout(self.seconds if seconds is None else seconds):
            await self._reader
        return self.fault

    def said(self, response: str) -> str:
        return "".join(event.text for event in self.of(ResponseText) if event.response == response)

    def pcm(self, response: str) -> bytes:
        return b"".join(event.pcm for event in self.of(ResponseAudio) if event.response == response)

    def sound(self, response: str) -> Samples:
        return np.frombuffer(self.pcm(response), "<i2")

    def troubles(self) -> set[str]:
        return {one.code for one in self.of(ProviderTrouble)}

    # --- what it does ---

    async def says(self, turn: int, samples: Samples, *, pace: float = 0.0) -> None:
        """In 20 ms frames; `pace` 1.0 is real time, 0 at once."""
        pcm = samples.tobytes()
        step = self.rate // 50 * 2
        loop = asyncio.get_running_loop()
        due = loop.time()
        for begin in range(0, len(pcm), step):
            await self.connection.send(SendAudio(turn, Frame(pcm[begin : begin + step], self.rate, 0.0)))
            if pace:
                due += 0.02 * pace
                await asyncio.sleep(max(0.0, due - loop.time()))

    async def asks(self, turn: int, samples: Samples, *, pace: float = 0.0) -> None:
        """Say it, and end the turn."""
        await self.says(turn, samples, pace=pace)
        await self.connection.send(CommitTurn(turn))

    async def types(self, turn: int, text: str = "hello") -> None:
        await self.connection.send(SendText(turn, text))

    async def is_answered(self, turn: int, text: str = "hello") -> ResponseFinished:
        """Type it, and hear the answer to its end, whatever it is."""
        await self.types(turn, text)
        return await self.finished(turn)

    async def quiet(self, seconds: float = 0.3) -> None:
        """Let what may come, come."""
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        await self.connection.close()
        await self.ended(2.0)
