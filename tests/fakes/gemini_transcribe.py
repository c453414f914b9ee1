"""Gemini's generateContent for tests, of requests with sound: a server over HTTP that refuses what the service refuses.

    async with FakeGeminiEar() as cloud:
        stage = GeminiTranscription({"base_url": cloud.base_url, "api_key": cloud.key})
        cloud.will_say("what time is it")       # what the next recording reads, whatever it sounds like
        cloud.will_answer({"promptFeedback": {}})   # the whole next answer
        cloud.drop()                            # also stall(), refuse(3.0), fail(503), drop_at("answer"), garbage()
        cloud.files[-1]                         # the PCM of the newest recording
        assert cloud.violations == []

Recordings are decoded by `Recogniser` where `will_say` said nothing; silence reads [SILENCE].
"""

import base64
import binascii
import io
import json
import re
import wave
from collections import deque
from typing import Any

from tests.fakes.http_service import Exchange, HttpService
from tests.rig.coded_speech import Recogniser

MODELS = frozenset(
    {"gemini-3.8-flash", "gemini-3.1-flash-lite", "gemini-3.1-pro-preview", "gemini-2.5-flash"}
)
MINIMAL = frozenset({"gemini-3.8-flash", "gemini-3.1-flash-lite"})
"""Models that know the thinking level MINIMAL."""
STEPS = ("knock", "asked", "answer")
"""For `drop_at`."""
_KEYS = frozenset(
    {"contents", "systemInstruction", "generationConfig", "tools", "toolConfig", "safetySettings"}
)


class FakeGeminiEar(HttpService):
    def __init__(self) -> None:
        super().__init__()
        self.key = "AIza-test"
        self.files: list[bytes] = []
        self.asked: list[dict[str, Any]] = []
        """The body of each request, without the sound."""
        self.knows_models = True
        self.litter = False
        self._texts: deque[str] = deque()
        self._answers: deque[Any] = deque()

    def will_say(self, *texts: str) -> None:
        self._texts.extend(texts)

    def will_answer(self, answer: Any) -> None:
        """Bytes are the body as it is."""
        self._answers.append(answer)

    async def garbage(self) -> None:
        """Answers have from now on what no client knows."""
        self.litter = True

    async def refuse_exchange(
        self, exchange: Exchange, status: int, code: str, retry_after: str = ""
    ) -> None:
        name, message = "INVALID_ARGUMENT", f"{code}."
        if status == 429:
            name = "RESOURCE_EXHAUSTED"
            message = "You exceeded your current quota, please check your plan and billing details."
            if retry_after:
                message = f"Quota exceeded: requests per minute. Please retry in {retry_after}s."
        elif status == 401:
            status, message = 400, "API key not valid. Please pass a valid API key."
        elif status == 404:
            name = "NOT_FOUND"
        elif status >= 500:
            name = "UNAVAILABLE"
        await exchange.json({"error": {"code": status, "message": message, "status": name}}, status)

    async def serve(self, exchange: Exchange) -> None:
        request = exchange.request
        version, _, path = request.path.removeprefix("/").partition("/")
        name, _, verb = path.removeprefix("models/").partition(":")
        if request.headers.get("x-goog-api-key") != self.key:
            await self.refuse_exchange(exchange, 401, "API_KEY_INVALID")
        elif version not in {"v1", "v1beta"} or not path.startswith("models/"):
            await self.refuse_wrong(exchange, f"{request.method} {request.path}", 404)
        elif request.method == "GET" and not verb:
            exchange.at("knock")
            if self.knows_models and name in MODELS:
                await exchange.json({"name": f"models/{name}", "displayName": name})
            else:
                await self.refuse_exchange(exchange, 404, "not_found")
        elif (request.method, verb) == ("POST", "generateContent"):
            await self._generate(exchange, name)
        else:
            await self.refuse_wrong(exchange, f"{request.method} {request.path}", 404)

    async def _generate(self, exchange: Exchange, model: str) -> None:
        exchange.at("asked")
        if model not in MODELS:
            await self.refuse_exchange(exchange, 404, "not_found")
            return
        body = _camel(exchange.request.json())
        try:
            rate, pcm = _sound(body, model)
        except (AssertionError, KeyError, TypeError, binascii.Error, wave.Error) as fault:
            await self.refuse_wrong(exchange, f"{type(fault).__name__} {fault}")
            return
        self.files.append(pcm)
        self.asked.append(body)
        ear = Recogniser(rate, lambda: self._texts.popleft() if self._texts else None)
        ear.hear(pcm)
        ear.flush()
        exchange.at("answer")
        answer = self._answers.popleft() if self._answers else self._answer(ear.text or "[SILENCE]\n")
        raw = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        await exchange.whole(raw, 200, {"Content-Type": "application/json; charset=UTF-8"})

    def _answer(self, text: str) -> dict[str, Any]:
        parts: list[dict[str, Any]] = [{"text": text}]
        more: dict[str, Any] = {}
        if self.litter:
            parts = [{"thought": True, "text": "Hm."}, {"newKind": {"x": 1}}, *parts]
            more = {"brandNew": [1, None], "usageMetadata": {"promptTokenCount": 7, "odd": "?"}}
        return {
            "candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}],
            "modelVersion": "fake",
            **more,
        }


def _camel(value: Any) -> Any:
    """The service takes names in either case, and the SDK mixes them."""
    if isinstance(value, dict):
        return {
            re.sub(r"_([a-z])", lambda found: found[1].upper(), key): _camel(one)
            for key, one in value.items()
        }
    return [_camel(one) for one in value] if isinstance(value, list) else value


def _sound(body: dict[str, Any], model: str) -> tuple[int, bytes]:
    """The rate and the PCM of a request's recording, which is taken out of it."""
    assert body.keys() <= _KEYS, body.keys()
    thinking = body.get("generationConfig", {}).get("thinkingConfig", {}).get("thinkingLevel", "")
    assert thinking != "MINIMAL" or model in MINIMAL, "thinkingLevel"
    (content,) = body["contents"]
    assert content["role"] == "user"
    (part,) = (one for one in content["parts"] if "inlineData" in one)
    assert part["inlineData"]["mimeType"] == "audio/wav"
    encoded = part["inlineData"].pop("data")
    with wave.open(
        io.BytesIO(base64.b64decode(encoded, altchars=b"-_" if "-" in encoded or "_" in encoded else None))
    ) as sound:
        assert (sound.getnchannels(), sound.getsampwidth()) == (1, 2)
        return sound.getframerate(), sound.readframes(sound.getnframes())
