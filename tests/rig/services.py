"""The fakes of the realtime services behind one face: what tests of dropped links and of a whole daemon ask of each."""

import asyncio
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any, Self
from unittest import mock
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import numpy as np

from appliance import plugins
from appliance.audio.resample import Resampler
from appliance.interfaces import Provider
from tests.fakes import gemini_answers, gemini_live, gpt_live, openai_realtime
from tests.rig.sounds import Samples, likeness
from tests.rig.wire import Wire

_ENVIRONMENT: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()
ALIKE = 0.8
PIECE_SECONDS = 0.02
"""Where a busy machine broke an answer off and went on later, no more than this of it is missed."""


NEAR_SECONDS = 0.1
"""A piece is looked for first where it is to be expected after the one before."""


class Service(ABC):
    """One service, one wire to it, and a provider that uses the wire: of this process, or of a daemon that is told so.

    `section` is the `[providers.NAME]` table that leads through the wire, `environ` what its process needs besides.
    """

    name: str
    server: Any
    """Its fake, a SocketService."""
    rate: int
    """Of what the service receives."""
    answer_rate: int

    def __init__(self, *, in_daemon: bool = False) -> None:
        self._stack = AsyncExitStack()
        self._in_daemon = in_daemon
        self.wire: Wire
        self.provider: Provider
        self.section: dict[str, str] = {}
        self.environ: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        await self._begin()
        if not self._in_daemon:
            self.provider = plugins.load("appliance.providers", self.name)(self.section)
            # One after the other: what one puts back must not be what another put there.
            async with _ENVIRONMENT.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
                with mock.patch.dict(os.environ, self.environ):
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

    @property
    def daemon(self) -> dict[str, Any]:
        """For a Handset: this service alone answers."""
        return {
            "conversation": {"providers": [self.name]},
            f"providers.{self.name}": self.section,
            "environ": self.environ,
        }

    @property
    def said(self) -> int:
        """How many answers have been given."""
        return len(self.answers())

    def heard_ms(self, played: Samples, rate: int) -> list[float]:
        """How much of each answer is found in what a speaker played."""
        loud = np.flatnonzero(played)
        played = played[loud[0] : loud[-1] + 1] if len(loud) else played[:0]
        return [found_ms(played, at_rate(answer, self.answer_rate, rate), rate) for answer in self.answers()]

    @property
    def links(self) -> int:
        """How many sessions are open."""
        return int(self.server.links)

    @abstractmethod
    async def _begin(self) -> None: ...

    @abstractmethod
    def will_say(self, text: str, seconds: float) -> None:
        """The answer to the next turn."""

    @abstractmethod
    def will_hear(self, text: str) -> None:
        """What the next spoken turn is written down as."""

    @abstractmethod
    def will_call(self, tool: str, arguments: Mapping[str, Any] | str, says: str) -> None:
        """The answer to the next turn is a call; its result is answered with `says`, in a second."""

    @abstractmethod
    def received(self) -> Samples:
        """What the newest session has received of its last turn, at `rate`."""

    @abstractmethod
    def answers(self) -> list[Samples]:
        """The sound of each answer that was given, over all sessions, at `answer_rate`."""

    @abstractmethod
    async def send_raw(self, *messages: str) -> None:
        """To the newest session, as they are."""

    @abstractmethod
    def end_next_after(self, seconds: float) -> None:
        """The next connection is announced to be ended so long after its set-up; those after it last."""

    def refuse(self, code: str) -> None:
        """Every dial from now on, for what is known by `code`: credentials_rejected, quota_exhausted, rate_limited."""
        {
            "credentials_rejected": self.server.reject_credentials,
            "quota_exhausted": self.server.quota,
            "rate_limited": self.server.rate_limit,
        }[code](standing=True)

    def accept(self) -> None:
        """End what `refuse` began."""
        self.server.accept()

    @abstractmethod
    def told(self) -> str:
        """What the newest session was told of what was said before it."""

    @abstractmethod
    def results(self) -> list[str]:
        """What it was told of each call, as JSON, over all sessions."""

    @property
    @abstractmethod
    def violations(self) -> list[str]: ...


class OpenAiService(Service):
    name = "openai"
    rate = answer_rate = 24_000
    server: openai_realtime.FakeOpenAi

    async def _begin(self) -> None:
        self.server = await self._stack.enter_async_context(openai_realtime.FakeOpenAi())
        self.section = {"api_key": self.server.key, "base_url": await self._lay(self.server.base_url)}

    def will_say(self, text: str, seconds: float) -> None:
        self.server.will_say(text, seconds)

    def will_hear(self, text: str) -> None:
        self.server.will_hear(text)

    def will_call(self, tool: str, arguments: Mapping[str, Any] | str, says: str) -> None:
        self.server.will_call(tool, arguments)
        self.will_say(says, 1.0)

    def received(self) -> Samples:
        spoken = [item.samples for session in self.server.sessions[-1:] for item in session.items if item.pcm]
        return spoken[-1] if spoken else np.zeros(0, np.int16)

    def answers(self) -> list[Samples]:
        return [np.frombuffer(answer.pcm, "<i2") for answer in self.server.answers if answer.pcm]

    async def send_raw(self, *messages: str) -> None:
        await self.server.send_raw(*messages)

    def end_next_after(self, seconds: float) -> None:
        self.server.will_expire_in.append(seconds)

    def told(self) -> str:
        return "\n".join(item.said for item in self.server.session.items if not item.pcm)

    def results(self) -> list[str]:
        told = (
            event["item"] for each in self.server.sessions for event in each.sent("conversation.item.create")
        )
        return [item["output"] for item in told if item["type"] == "function_call_output"]

    @property
    def violations(self) -> list[str]:
        return self.server.violations


class GeminiService(Service):
    name = "gemini"
    rate = 16_000
    answer_rate = gemini_answers.RATE
    server: gemini_live.GeminiServer

    async def _begin(self) -> None:
        self.server = await self._stack.enter_async_context(gemini_live.GeminiServer())
        self._said: list[float] = []
        self.section = {"api_key": gemini_live.KEY, "base_url": await self._lay(self.server.base_url)}
        self.environ = {"SSL_CERT_FILE": str(self.server.certificate)}

    def will_say(self, text: str, seconds: float) -> None:
        self.server.will_say(text, seconds)
        self._said.append(seconds)

    def will_hear(self, text: str) -> None:
        self.server.will_hear(text)

    def will_call(self, tool: str, arguments: Mapping[str, Any] | str, says: str) -> None:
        self.server.will_call(tool, arguments)
        self.will_say(says, 1.0)

    def received(self) -> Samples:
        spoken = [one.samples for session in self.server.sessions[-1:] for one in session.activities]
        return spoken[-1] if spoken else np.zeros(0, np.int16)

    def answers(self) -> list[Samples]:
        seconds = [*self._said, *[1.0] * self.server.answers][: self.server.answers]
        return [gemini_answers.answer_sound(n, each) for n, each in enumerate(seconds, 1)]

    async def send_raw(self, *messages: str) -> None:
        for message in messages:
            await self.server.send_raw(message)

    def end_next_after(self, seconds: float) -> None:
        self.server.will_go_away(seconds)

    def told(self) -> str:
        return "\n".join(text for _, text in self.server.session.memory.history)

    def results(self) -> list[str]:
        told = (message.get("toolResponse", {}) for each in self.server.sessions for message in each.received)
        return [json.dumps(one["response"]) for each in told for one in each.get("functionResponses", [])]

    @property
    def violations(self) -> list[str]:
        return self.server.violations


class GptLiveService(Service):
    name = "gpt_live"
    rate = answer_rate = gpt_live.RATE
    server: gpt_live.GptLiveServer

    async def _begin(self) -> None:
        self.server = await self._stack.enter_async_context(gpt_live.GptLiveServer())
        self.section = {"api_key": gpt_live.KEY, "base_url": await self._lay(self.server.base_url)}

    def will_say(self, text: str, seconds: float) -> None:
        self.server.will_say(text, seconds)

    def will_hear(self, text: str) -> None:
        self.server.will_hear(text)

    def will_call(self, tool: str, arguments: Mapping[str, Any] | str, says: str) -> None:
        self.server.will_call(tool, arguments, says)

    def received(self) -> Samples:
        return self.server.sessions[-1].samples() if self.server.sessions else np.zeros(0, np.int16)

    def answers(self) -> list[Samples]:
        given = [answer for session in self.server.sessions for answer in session.answers]
        return [gpt_live.answer_sound(number, seconds) for number, seconds in given]

    async def send_raw(self, *messages: str) -> None:
        for message in messages:
            await self.server.send_raw(message)

    def end_next_after(self, seconds: float) -> None:
        self.server.will_expire_in.append(seconds)

    def told(self) -> str:
        return json.dumps(self.server.sessions[-1].config.get("input", ""))

    def results(self) -> list[str]:
        return [str(item["output"]) for session in self.server.sessions for item in session.results]

    @property
    def violations(self) -> list[str]:
        return self.server.violations


SERVICES: dict[str, type[Service]] = {
    service.name: service for service in (OpenAiService, GeminiService, GptLiveService)
}


def at_rate(samples: Samples, rate: int, wanted: int) -> Samples:
    if rate == wanted:
        return samples
    resampler = Resampler(rate, wanted)
    return np.frombuffer(resampler.process(samples.astype("<i2").tobytes()) + resampler.flush(), dtype="<i2")


def found_ms(played: Samples, answer: Samples, rate: int) -> float:
    """How much of `answer`, by pieces, is anywhere in `played`."""
    step, reach = round(PIECE_SECONDS * rate), round(NEAR_SECONDS * rate)
    search = Search(played, step)
    found, expected = 0, 0
    for at in range(0, len(answer) - step + 1, step):
        piece = answer[at : at + step]
        begin = max(0, expected - reach)
        alike, place = likeness(played[begin : expected + step + reach], piece)
        if alike >= ALIKE:
            place += begin
        else:
            alike, place = search.likeness(piece)
        if alike >= ALIKE:
            found, expected = found + 1, place + step
    return found * PIECE_SECONDS * 1000


class Search:
    """`sounds.likeness` for many pieces of one length in one recording."""

    def __init__(self, recorded: Samples, length: int) -> None:
        self._places = len(recorded) - length + 1
        self._size = 1 << (len(recorded) + length).bit_length()
        self._spectrum = np.fft.rfft(recorded.astype(np.float64), self._size)
        energy = np.concatenate(([0.0], np.cumsum(recorded.astype(np.float64) ** 2)))
        self._loudness = np.sqrt(np.maximum(energy[length:] - energy[:-length], 1.0))

    def likeness(self, piece: Samples) -> tuple[float, int]:
        if self._places <= 0:
            return 0.0, 0
        theirs = piece.astype(np.float64)
        products = np.fft.irfft(self._spectrum * np.conj(np.fft.rfft(theirs, self._size)), self._size)
        loudness = np.sqrt(max(float((theirs**2).sum()), 1.0))
        scores = np.abs(products[: self._places]) / (self._loudness * loudness)
        best = int(scores.argmax())
        return float(scores[best]), best
