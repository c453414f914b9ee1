"""The fakes of the realtime services behind one face: what a grid of dropped links asks of each."""

import os
from abc import ABC, abstractmethod
from contextlib import AsyncExitStack
from typing import Any, Self
from unittest import mock
from urllib.parse import urlsplit

import numpy as np

from appliance import plugins
from appliance.audio.resample import Resampler
from appliance.interfaces import Provider
from tests.fakes import gemini_live, gpt_live, openai_realtime
from tests.rig.sounds import Samples, likeness
from tests.rig.wire import Wire

ALIKE = 0.8
PIECE_SECONDS = 0.1


class Service(ABC):
    """One service, one wire to it, and a provider that uses the wire."""

    name: str
    rate: int
    """Of what the service receives."""
    answer_rate: int

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

    async def _lay(self, url: str) -> str:
        """A wire to `url`; the same address at the wire's own end."""
        parts = urlsplit(url)
        self.wire = await self._stack.enter_async_context(Wire("127.0.0.1", parts.port or 0))
        return parts._replace(netloc=f"127.0.0.1:{self.wire.port}").geturl()

    def _make(self, **settings: Any) -> None:
        self.provider = plugins.load("appliance.providers", self.name)(settings)

    def heard_ms(self, played: Samples, rate: int) -> list[float]:
        """How much of each answer is found in what a speaker played."""
        return [_found_ms(played, at_rate(answer, self.answer_rate, rate), rate) for answer in self.answers()]

    @abstractmethod
    async def _begin(self) -> None: ...

    @abstractmethod
    def will_say(self, text: str, seconds: float) -> None:
        """The answer to the next turn."""

    @abstractmethod
    def received(self) -> Samples:
        """What the newest session has received of its last turn, at `rate`."""

    @abstractmethod
    def answers(self) -> list[Samples]:
        """The sound of each answer that was given, over all sessions, at `answer_rate`."""

    @property
    @abstractmethod
    def violations(self) -> list[str]: ...


class OpenAiService(Service):
    name = "openai"
    rate = answer_rate = 24_000

    async def _begin(self) -> None:
        self._server = await self._stack.enter_async_context(openai_realtime.FakeOpenAi())
        self._make(api_key=self._server.key, base_url=await self._lay(self._server.base_url))

    def will_say(self, text: str, seconds: float) -> None:
        self._server.will_say(text, seconds)

    def received(self) -> Samples:
        spoken = [
            item.samples for session in self._server.sessions[-1:] for item in session.items if item.pcm
        ]
        return spoken[-1] if spoken else np.zeros(0, np.int16)

    def answers(self) -> list[Samples]:
        return [np.frombuffer(answer.pcm, "<i2") for answer in self._server.answers if answer.pcm]

    @property
    def violations(self) -> list[str]:
        return self._server.violations


class GeminiService(Service):
    name = "gemini"
    rate = 16_000
    answer_rate = gemini_live.RATE

    async def _begin(self) -> None:
        self._server = await self._stack.enter_async_context(gemini_live.GeminiServer())
        self._said: list[float] = []
        self._make(api_key=gemini_live.KEY, base_url=await self._lay(self._server.url))
        with mock.patch.dict(os.environ, {"SSL_CERT_FILE": str(self._server.certificate)}):
            await self.provider.warm()

    def will_say(self, text: str, seconds: float) -> None:
        self._server.will_say(text, seconds)
        self._said.append(seconds)

    def received(self) -> Samples:
        spoken = [one.samples for session in self._server.sessions[-1:] for one in session.activities]
        return spoken[-1] if spoken else np.zeros(0, np.int16)

    def answers(self) -> list[Samples]:
        seconds = [*self._said, *[1.0] * self._server.answers][: self._server.answers]
        return [gemini_live.answer_sound(n, each) for n, each in enumerate(seconds, 1)]

    @property
    def violations(self) -> list[str]:
        return self._server.violations


class GptLiveService(Service):
    name = "gpt_live"
    rate = answer_rate = gpt_live.RATE

    async def _begin(self) -> None:
        self._server = await self._stack.enter_async_context(gpt_live.GptLiveServer())
        self._make(api_key=gpt_live.KEY, base_url=await self._lay(self._server.base_url))

    def will_say(self, text: str, seconds: float) -> None:
        self._server.will_say(text, seconds)

    def received(self) -> Samples:
        return self._server.sessions[-1].samples() if self._server.sessions else np.zeros(0, np.int16)

    def answers(self) -> list[Samples]:
        given = [answer for session in self._server.sessions for answer in session.answers]
        return [gpt_live.answer_sound(number, seconds) for number, seconds in given]

    @property
    def violations(self) -> list[str]:
        return self._server.violations


SERVICES: dict[str, type[Service]] = {
    service.name: service for service in (OpenAiService, GeminiService, GptLiveService)
}


def at_rate(samples: Samples, rate: int, wanted: int) -> Samples:
    if rate == wanted:
        return samples
    resampler = Resampler(rate, wanted)
    return np.frombuffer(resampler.process(samples.astype("<i2").tobytes()) + resampler.flush(), dtype="<i2")


def _found_ms(played: Samples, answer: Samples, rate: int) -> float:
    step = round(PIECE_SECONDS * rate)
    pieces = [answer[at : at + step] for at in range(0, len(answer) - step + 1, step)]
    return sum(PIECE_SECONDS * 1000 for piece in pieces if likeness(played, piece)[0] >= ALIKE)
