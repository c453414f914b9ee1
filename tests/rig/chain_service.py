"""A chain of Deepgram, OpenAI and Cartesia: strict fakes with a wire to each, behind the face of a realtime service."""

import json
from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from appliance.providers.chain import Chain
from tests.fakes.cartesia import FakeCartesia
from tests.fakes.deepgram import FakeDeepgram
from tests.fakes.openai_chat import FakeOpenAiChat
from tests.fakes.speech_cloud import MS_PER_CHARACTER
from tests.rig.services import Service, at_rate, found_ms
from tests.rig.sounds import Samples
from tests.rig.wire import Wire


class _Wires:
    """All three, cut at the same moment: they go through one network."""

    def __init__(self) -> None:
        self.all: list[Wire] = []

    def cut(self, seconds: float = 0.0) -> None:
        for wire in self.all:
            wire.cut(seconds)

    def stall(self) -> None:
        for wire in self.all:
            wire.stall()

    def restore(self) -> None:
        for wire in self.all:
            wire.restore()


class ChainService(Service):
    name = "chain"
    rate = 16_000
    answer_rate = 24_000

    def __init__(self, *, in_daemon: bool = False) -> None:
        super().__init__(in_daemon=in_daemon)
        self.wires = _Wires()
        self.tables: dict[str, dict[str, str]] = {}

    async def __aenter__(self) -> Self:
        await self._begin()
        if not self._in_daemon:
            self.provider = Chain({}, self.tables)
            await self.provider.warm()
            self._stack.push_async_callback(self.provider.close)
        return self

    async def _begin(self) -> None:
        self.ear = await self._stack.enter_async_context(FakeDeepgram())
        self.mind = await self._stack.enter_async_context(FakeOpenAiChat())
        self.mouth = await self._stack.enter_async_context(FakeCartesia())
        self.ear.hears = "some words"
        for name, key, url in (
            ("deepgram", self.ear.key, self.ear.base_url),
            ("openai", self.mind.key, self.mind.base_url),
            ("cartesia", self.mouth.key, self.mouth.base_url),
        ):
            self.tables[name] = {"api_key": key, "base_url": await self._lay(url)}
            self.wires.all.append(self.wire)
        self.wire = self.wires  # type: ignore[assignment]

    @property
    def daemon(self) -> dict[str, Any]:
        tables = {f"providers.{name}": table for name, table in self.tables.items()}
        return {"conversation": {"providers": ["chain"]}, **tables, "environ": {}}

    @property
    def links(self) -> int:
        return self.ear.links

    def heard_ms(self, played: Samples, rate: int) -> list[float]:
        loud = np.flatnonzero(played)
        played = played[loud[0] : loud[-1] + 1] if len(loud) else played[:0]
        return [
            found_ms(played, at_rate(np.frombuffer(spoken.pcm, "<i2"), spoken.rate, rate), rate)
            for spoken in self.mouth.spoken
        ]

    def will_say(self, text: str, seconds: float) -> None:
        """The text is made as long as its sound is to be: how a fake speaks."""
        length = round(seconds * 1000 / MS_PER_CHARACTER)
        self.mind.will_say((text.rstrip(".") + " and so on" * length)[: length - 1].rstrip() + ".")

    def will_hear(self, text: str) -> None:
        self.ear.will_hear(text)

    def will_call(self, tool: str, arguments: Mapping[str, Any] | str, says: str) -> None:
        self.mind.will_call(tool, arguments)
        self.will_say(says, 1.0)

    def received(self) -> Samples:
        return (
            np.frombuffer(bytes(self.ear.session.pcm), "<i2") if self.ear.sessions else np.zeros(0, np.int16)
        )

    def answers(self) -> list[Samples]:
        return [
            at_rate(np.frombuffer(spoken.pcm, "<i2"), spoken.rate, self.answer_rate)
            for spoken in self.mouth.spoken
            if spoken.pcm
        ]

    async def send_raw(self, *messages: str) -> None:
        raise NotImplementedError("each stage has its own protocol")

    def end_next_after(self, seconds: float) -> None:
        raise NotImplementedError("a chain is never renewed")

    def refuse(self, code: str) -> None:
        raise NotImplementedError("each stage is refused by itself")

    def accept(self) -> None:
        raise NotImplementedError("each stage is refused by itself")

    def told(self) -> str:
        return json.dumps(self.mind.asked[-1].body)

    def results(self) -> list[str]:
        items = [item for asked in self.mind.asked for item in asked.body.get("messages", ())]
        return list(dict.fromkeys(item["content"] for item in items if item.get("role") == "tool"))

    @property
    def violations(self) -> list[str]:
        return [*self.ear.violations, *self.mind.violations, *self.mouth.violations]
