"""One who talks to a chain over its contract, in virtual time."""

import asyncio
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

from appliance.errors import ApplianceError
from appliance.frames import Frame
from appliance.interfaces import (
    CancelResponse,
    CommitTurn,
    ProviderEvent,
    ResponseAudio,
    ResponseFinished,
    ResponseStarted,
    ResponseText,
    SendAudio,
    SendText,
    Setup,
    ToolCall,
    ToolResult,
    UserHeard,
)
from appliance.providers.chain.connection import ChainConnection
from appliance.providers.chain.ear import Ear
from appliance.providers.chain.mind import Mind
from appliance.providers.chain.mouth import Mouth
from appliance.providers.chain.rungs import Rungs
from appliance.stages import Hearing
from tests.fakes.stages import FakeLanguageModel, FakeSpeechToText, FakeTextToSpeech

EventT = TypeVar("EventT", bound=ProviderEvent)


class Talker:
    """`async with` opens a connection and reads all that it tells."""

    def __init__(
        self,
        *,
        stt: tuple[FakeSpeechToText, ...] = (),
        llm: tuple[FakeLanguageModel, ...] = (),
        tts: tuple[FakeTextToSpeech, ...] = (),
        **setup: Any,
    ) -> None:
        self.stt = stt or (FakeSpeechToText(),)
        self.llm = llm or (FakeLanguageModel(),)
        self.tts = tts or (FakeTextToSpeech(),)
        self.setup = Setup(session="s1", rate=16_000, **setup)
        self.events: list[tuple[float, ProviderEvent]] = []
        self.fault: ApplianceError | None = None
        self.over = False
        self._changed = asyncio.Event()

    async def __aenter__(self) -> "Talker":
        self.ear = Ear(self.stt, Rungs(len(self.stt)), Hearing(), trouble=lambda *_: None)
        await self.ear.open()
        self.connection = ChainConnection(
            self.setup,
            self.ear,
            lambda trouble: Mind(self.llm, Rungs(len(self.llm)), trouble, alone=self.setup.alone),
            lambda outbox, trouble: Mouth(
                self.tts, Rungs(len(self.tts)), outbox, voice="", language="en", rate=16_000, trouble=trouble
            ),
            context_characters=10_000,
            release=lambda _: None,
        )
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.connection.close()
        await self.ear.close()
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        assert all(stage.violations == [] for stage in self.stt)
        assert all(model.under_way == 0 for model in self.llm)
        left = [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("chain")]
        assert left == []

    async def _read(self) -> None:
        try:
            async for event in self.connection:
                self.events.append((asyncio.get_running_loop().time(), event))
                self._changed.set()
        except ApplianceError as fault:
            self.fault = fault
        self.over = True
        self._changed.set()

    async def says(self, turn: int, seconds: float = 1.0, *, commit: bool = True) -> None:
        """In real time, as a microphone gives it."""
        for number in range(round(seconds * 50)):
            pcm = np.full(320, turn * 100 + number % 50 + 1, "<i2").tobytes()
            await self.connection.send(SendAudio(turn, Frame(pcm, 16_000, 0.0)))
            await asyncio.sleep(0.02)
        if commit:
            await self.connection.send(CommitTurn(turn))

    async def types(self, turn: int, text: str) -> None:
        await self.connection.send(SendText(turn, text))

    async def cancels(self, response: str, heard: str, heard_ms: int = 0) -> None:
        await self.connection.send(CancelResponse(response, heard, heard_ms))

    async def gives(self, call: ToolCall, result: Mapping[str, Any], **how: Any) -> None:
        await self.connection.send(ToolResult(call.call_id, result, **how))

    def all(self, kind: type[EventT]) -> list[EventT]:
        return [event for _, event in self.events if isinstance(event, kind)]

    async def next(self, kind: type[EventT], number: int = 1, seconds: float = 60.0) -> EventT:
        """The event of that kind that is the `number`th of all."""
        async with asyncio.timeout(seconds):
            while len(self.all(kind)) < number:
                assert not self.over, f"it ended: {self.fault!r}"
                self._changed.clear()
                await self._changed.wait()
        return self.all(kind)[number - 1]

    async def answered(self, number: int = 1, seconds: float = 120.0) -> ResponseFinished:
        return await self.next(ResponseFinished, number, seconds)

    async def ended(self, seconds: float = 60.0) -> None:
        async with asyncio.timeout(seconds):
            while not self.over:
                self._changed.clear()
                await self._changed.wait()

    def text(self, response: str = "") -> str:
        told = [event.text for event in self.all(ResponseText) if response in ("", event.response)]
        return "".join(told).strip()

    def sound(self, response: str = "") -> "np.ndarray[Any, np.dtype[np.int16]]":
        pcm = b"".join(event.pcm for event in self.all(ResponseAudio) if response in ("", event.response))
        return np.frombuffer(pcm, "<i2")

    def levels(self) -> list[int]:
        """The values that sounded, in order."""
        sound = self.sound()
        return [int(sound[at]) for at in range(len(sound)) if not at or sound[at] != sound[at - 1]]

    def understood(self) -> list[str]:
        return [event.text for event in self.all(UserHeard) if event.final]

    def started(self) -> list[int]:
        return [event.turn for event in self.all(ResponseStarted)]
