"""OpenAI's /v1/audio/speech for tests: a server over HTTP that refuses what the service refuses.

    async with FakeOpenAiSpeech() as cloud:
        stage = OpenAiTts({"base_url": cloud.base_url, "api_key": cloud.key})
        cloud.kind = "audio/mpeg"               # as a server that knows no PCM
        cloud.drop_at("first sound")            # also drop(), stall(), refuse(3.0), fail(503), will_refuse(404, ...)
        cloud.spoken[-1].pcm                    # what it sent of the newest piece
        assert cloud.violations == []

Sound and its pace are those of `speech_cloud.py`. Its pieces end within a sample, as on the network. Source: the
types of the SDK.
"""

import asyncio
import json
from typing import Any

from tests.fakes.http_service import Exchange, HttpService
from tests.fakes.speech_cloud import SpeechOrders, Spoken, paced

RATE = 24_000
MODELS = frozenset({"gpt-4o-mini-tts", "tts-1", "tts-1-hd"})
VOICES = frozenset({"alloy", "ash", "coral", "marin", "cedar", "voice_1234"})
FIELDS = frozenset({"input", "model", "voice", "instructions", "response_format", "speed", "stream_format"})
STEPS = ("asked", "head", "first sound", "last sound")
LONGEST = 4_096


class FakeOpenAiSpeech(SpeechOrders, HttpService):
    key = "sk-test-0000000000"
    path = "/v1"

    def __init__(self) -> None:
        super().__init__()
        self.voices = VOICES
        self.contexts = 3
        self.dials = 0
        """Requests that were not refused by a fate."""
        self.kind = "audio/pcm"
        self.begins = b""
        """Before the sound."""
        self._hanging = 0
        self._stalls = 0

    def drop_at(self, step: str) -> None:
        assert step in STEPS
        super().drop_at(step)

    def hang_in_dial(self) -> None:
        """The next request is never answered."""
        self._hanging += 1

    def stall(self) -> None:
        """Of what is spoken now, nothing comes any more."""
        self._stalls += 1

    def garbage(self) -> None:
        """There is nothing but sound: no client could tell."""

    async def serve(self, exchange: Exchange) -> None:
        self.dials += 1
        request = exchange.request
        if self._hanging:
            self._hanging -= 1
            await asyncio.Event().wait()
        if request.headers.get("authorization") != f"Bearer {self.key}":
            await self.refuse_exchange(exchange, 401, "invalid_api_key")
            return
        exchange.at("asked")
        if (request.method, request.path) != ("POST", "/v1/audio/speech"):
            await self.refuse_wrong(exchange, f"{request.method} {request.path}", 404)
        elif request.headers.get("content-type") != "application/json":
            await self.refuse_wrong(exchange, f"content type {request.headers.get('content-type')}", 415)
        else:
            await self._asked(exchange, json.loads(request.body))

    async def _asked(self, exchange: Exchange, asked: dict[str, Any]) -> None:
        if wrong := _wrong(asked):
            await self.refuse_wrong(exchange, wrong)
        elif asked["model"] not in MODELS:
            await self.refuse_exchange(exchange, 404, "model_not_found")
        elif _voice(asked) not in VOICES:
            await self.refuse_exchange(exchange, 400, "invalid_value")
        elif refusal := self.next_refusal():
            await self.refuse_exchange(exchange, *refusal)
        elif sum(1 for spoken in self.spoken if not (spoken.done or spoken.cancelled)) >= self.contexts:
            await self.refuse_wrong(exchange, "too many at once", 429)
        else:
            spoken = Spoken("", asked["input"], RATE, _voice(asked), [asked])
            self.spoken.append(spoken)
            try:
                await self._speak(exchange, spoken)
            finally:
                spoken.cancelled = not spoken.done

    async def _speak(self, exchange: Exchange, spoken: Spoken) -> None:
        stalls = self._stalls
        exchange.at("head")
        await exchange.start(self.kind)
        if self.next_silent():
            await asyncio.Event().wait()
        if self.begins:
            await exchange.write(self.begins)
        async for _, piece in paced(spoken.text, RATE, self.chunk_ms, self.speed, exchange.at):
            if self._stalls > stalls:
                await asyncio.Event().wait()
            spoken.pcm += piece
            for part in (piece[:333], piece[333:]):
                if part:
                    await exchange.write(part)
        spoken.done = True
        exchange.end()


def _voice(asked: dict[str, Any]) -> str:
    """A voice that was made for the account goes by its id."""
    voice = asked["voice"]
    own = isinstance(voice, dict)
    name = str(voice.get("id") if own else voice)
    return name if name.startswith("voice_") == own else ""


def _wrong(asked: dict[str, Any]) -> str:
    """What the SDK or we should have known not to send."""
    if unknown := set(asked) - FIELDS:
        return f"fields {sorted(unknown)}"
    if not isinstance(asked.get("input"), str) or not 0 < len(asked["input"]) <= LONGEST:
        return "input"
    if asked.get("response_format") != "pcm":
        return f"response_format {asked.get('response_format')}"
    if "instructions" in asked and str(asked.get("model")).startswith("tts-1"):
        return "instructions for tts-1"
    return ""
