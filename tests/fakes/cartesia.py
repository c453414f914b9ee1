"""Cartesia's text to speech for tests: a server over a real socket that refuses what the service refuses.

async with FakeCartesia() as cloud:
    stage = CartesiaTts({"base_url": cloud.base_url, "api_key": cloud.key})
    cloud.speed = 4.0                               # paced; 0: in one burst
    cloud.drop_at("first sound")                    # also drop(), stall(), refuse(3.0), idle = 1.0
    cloud.will_refuse(404, "voice_not_found")       # the next piece; also will_be_silent(), garbage()
    cloud.find("Hello.").pcm                        # what it sent of a piece
    assert cloud.violations == []
"""

import asyncio
import base64
import json
import re
import time
from collections.abc import Mapping
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request

from tests.fakes.speech_cloud import CHUNK_MS, SpeechCloud, Spoken, Talk, paced, words_of

VERSION = "2026-08-14"
MODELS = frozenset({"sonic-3.5", "sonic-3", "sonic-latest"})
VOICES = frozenset({"f786b574-daa5-4673-aa0c-cbe3e8534c02", "a0e99841-438c-4a64-b679-ae501e7d6091"})
RATES = frozenset({8_000, 16_000, 22_050, 24_000, 44_100, 48_000})
LANGUAGES = frozenset(
    {"en", "fr", "de", "es", "pt", "zh", "ja", "hi", "it", "ko", "nl", "pl", "ru", "ar", "he"}
)
REQUIRED = frozenset({"context_id", "model_id", "transcript", "voice", "output_format"})
KNOWN = REQUIRED | {
    "continue",
    "flush",
    "language",
    "add_timestamps",
    "add_phoneme_timestamps",
    "use_normalized_timestamps",
    "max_buffer_delay_ms",
    "generation_config",
    "pronunciation_dict_id",
}
CHANGING = frozenset({"transcript", "continue", "flush"})
TAG = re.compile(r"</?(break|speed|volume|emotion|spell)\b")


class FakeCartesia(SpeechCloud):
    """All voices of VOICES; `contexts` at once, as the account's plan says."""

    key = "sk_car_test_0000000000"

    def __init__(self) -> None:
        super().__init__()
        self.contexts = 2
        self.voices = VOICES

    def authorised(self, request: Request) -> bool:
        return request.headers.get("Authorization") == f"Bearer {self.key}"

    def admit(self, request: Request) -> str:
        if request.path.partition("?")[0] != "/tts/websocket":
            return f"path {request.path}"
        found = request.headers.get("cartesia-version")
        return "" if found == VERSION else f"version {found}"

    def fault_body(self, code: str) -> Mapping[str, Any]:
        return {"error_code": code, "title": "Refused", "message": "Refused.", "request_id": "r-1"}

    def link(self, socket: ServerConnection) -> Talk:
        return CartesiaTalk(self, socket)

    @property
    def speaking(self) -> int:
        return sum(1 for spoken in self.spoken if not (spoken.done or spoken.cancelled))


class CartesiaTalk(Talk):
    """Messages of `/tts/websocket`."""

    def __init__(self, cloud: FakeCartesia, socket: ServerConnection) -> None:
        super().__init__(cloud, socket)
        self.cloud = cloud
        self._over: set[str] = set()

    async def take(self, message: dict[str, Any]) -> None:
        self.at("asked")
        context = message.get("context_id")
        if not isinstance(context, str) or not context:
            await self._refuse("", 400, "invalid_request", "no context_id")
        elif "cancel" in message:
            await self._cancel(context, message)
        elif trouble := self._trouble(message):
            await self._refuse(context, *trouble)
        else:
            await self._ask(context, message)

    async def _ask(self, context: str, message: dict[str, Any]) -> None:
        spoken = self.contexts.get(context)
        if spoken is None:
            spoken = Spoken(
                context, rate=message["output_format"]["sample_rate"], voice=message["voice"]["id"]
            )
            if self.cloud.speaking >= self.cloud.contexts:
                await self._refuse(context, 429, "concurrency_limited", "too many contexts")
                return
            self.contexts[context] = spoken
            self.cloud.spoken.append(spoken)
        spoken.asked.append(message)
        spoken.text += message["transcript"]
        if message.get("continue"):
            return
        if not spoken.text.strip():
            await self._refuse(context, 400, "transcript_empty", "nothing to speak")
            return
        if refusal := self.cloud.next_refusal():
            self._forget(spoken)
            await self._say(
                context,
                "error",
                status_code=refusal[0],
                done=True,
                error_code=refusal[1],
                title="",
                message="",
            )
            return
        if not self.cloud.next_silent():
            spoken.task = self.begin(self._speak(spoken))

    def _trouble(self, message: dict[str, Any]) -> tuple[int, str, str] | None:
        if unknown := set(message) - KNOWN:
            return 400, "invalid_request", f"unknown fields {sorted(unknown)}"
        if missing := REQUIRED - set(message):
            return 400, "invalid_request", f"missing fields {sorted(missing)}"
        form = message["output_format"]
        if form != {"container": "raw", "encoding": "pcm_s16le", "sample_rate": form.get("sample_rate")}:
            return 400, "invalid_request", f"output_format {form}"
        if form["sample_rate"] not in RATES:
            return 400, "invalid_request", f"sample_rate {form['sample_rate']}"
        if message["context_id"] in self._over:
            return 400, "context_expired", "a context that is over"
        if TAG.search(message["transcript"]):
            return 400, "tag", "a text that it would interpret"
        known = self.contexts.get(message["context_id"])
        if known is not None and _fixed(known.asked[0]) != _fixed(message):
            return 400, "invalid_request", "fields changed within a context"
        return self._unknown(message)

    @staticmethod
    def _unknown(message: dict[str, Any]) -> tuple[int, str, str] | None:
        """What a user may have chosen wrong: no violation of ours."""
        if message["model_id"] not in MODELS:
            return 404, "model_not_found", ""
        if message["voice"].get("id") not in VOICES:
            return 404, "voice_not_found", ""
        if message.get("language", "en") not in LANGUAGES:
            return 400, "language_not_supported", ""
        return None

    async def _cancel(self, context: str, message: dict[str, Any]) -> None:
        if message != {"context_id": context, "cancel": True}:
            self.violate(f"cancel {message}")
        spoken = self.contexts.get(context)
        if spoken is None:
            return
        spoken.cancelled = True
        if spoken.task is not None:
            spoken.task.cancel()
        self._forget(spoken)
        for _ in range(self.cloud.late_chunks):
            await self._chunk(spoken, b"\x01\x00" * (spoken.rate * CHUNK_MS // 1000))
        await self._say(context, "done", done=True)

    async def _speak(self, spoken: Spoken) -> None:
        await asyncio.sleep(self.cloud.think)
        words = list(words_of(spoken.text)) if spoken.asked[0].get("add_timestamps") else []
        span = self.cloud.chunk_ms
        async for number, piece in paced(spoken.text, spoken.rate, span, self.cloud.speed, self.at):
            if self.cloud.garbled:
                await self._garbage(spoken)
            spoken.sounded_at = spoken.sounded_at or time.monotonic()
            await self._chunk(spoken, piece)
            spoken.pcm += piece
            now = [word for word in words if number * span <= word[1] < (number + 1) * span]
            if now and self.cloud.tells_words:
                times = {
                    "words": [word for word, _, _ in now],
                    "start": [begin / 1000 for _, begin, _ in now],
                    "end": [end / 1000 for _, _, end in now],
                }
                await self._say(spoken.context, "timestamps", done=False, word_timestamps=times)
        spoken.done = True
        self._forget(spoken)
        if not self.cloud.forgets_ends:
            await self._say(spoken.context, "done", done=True)

    def _forget(self, spoken: Spoken) -> None:
        self.contexts.pop(spoken.context, None)
        self._over.add(spoken.context)
        spoken.done = spoken.done or not spoken.cancelled

    async def _chunk(self, spoken: Spoken, pcm: bytes) -> None:
        data = base64.b64encode(pcm).decode()
        await self._say(spoken.context, "chunk", data=data, done=False, step_time=1.0)

    async def _say(self, context: str, kind: str, **fields: Any) -> None:
        await self.say(**{"type": kind, "context_id": context, "status_code": 206, **fields})

    async def _refuse(self, context: str, status: int, code: str, violation: str) -> None:
        if violation:
            self.violate(violation)
        await self._say(
            context, "error", done=True, status_code=status, error_code=code, title="No", message="No."
        )

    async def _garbage(self, spoken: Spoken) -> None:
        times = {"words": ["a", 7, "b"], "start": ["now", 0.1, -5], "end": []}
        messages: list[Any] = [
            [],
            {"type": "weather", "context_id": spoken.context},
            {"type": "chunk", "context_id": "piece-of-another", "data": "AAAA"},
            {"type": "chunk", "context_id": 7, "data": None},
            {"type": "chunk", "context_id": spoken.context, "data": "no base64!"},
            {"type": "chunk", "context_id": spoken.context},
            {"type": "timestamps", "context_id": spoken.context},
            {"type": "timestamps", "context_id": spoken.context, "word_timestamps": times},
            {
                "type": "timestamps",
                "context_id": spoken.context,
                "word_timestamps": {"words": 7, "start": [1e300]},
            },
        ]
        for message in messages:
            await self.say_raw(json.dumps(message))
        for raw in (b"\xff\x00", "{", '{"type": NaN}'):
            await self.say_raw(raw)


def _fixed(message: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in message.items() if key not in CHANGING}
