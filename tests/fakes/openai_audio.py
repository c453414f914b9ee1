"""OpenAI's /v1/audio/transcriptions for tests: a server over HTTP that refuses what the service refuses.

    async with FakeOpenAiAudio() as cloud:
        stage = OpenAiTranscription({"mode": "one_shot", "base_url": cloud.base_url, "api_key": cloud.key})
        cloud.will_say("what time is it")       # what the next file reads, whatever it sounds like
        cloud.form = "whole"                    # or "chat": as servers of other makers answer
        cloud.drop()                            # also stall(), refuse(3.0), fail(503), drop_at("delta"), garbage()
        cloud.files[-1]                         # the PCM of the newest file
        assert cloud.violations == []

Files are decoded by `Recogniser` where `will_say` said nothing. Source: the types of the SDK.
"""

import io
import json
import wave
from collections import deque
from typing import Any

from tests.fakes.http_service import Exchange, HttpService
from tests.rig.coded_speech import Recogniser

MODELS = frozenset({"gpt-transcribe", "gpt-4o-transcribe", "gpt-4o-mini-transcribe", "whisper-1"})
FIELDS = frozenset(
    {"file", "model", "language", "prompt", "response_format", "stream", "temperature", "keywords[]"}
)
STEPS = ("knock", "asked", "head", "delta", "done")
"""For `drop_at`."""
LONGEST_FILE = 25 * 1024 * 1024


class FakeOpenAiAudio(HttpService):
    key = "sk-test"
    path = "/v1"

    def __init__(self) -> None:
        super().__init__()
        self.form = "events"
        self.files: list[bytes] = []
        self.asked: list[dict[str, list[str]]] = []
        """The fields of each form but the file."""
        self.knows_models = 200
        """The status of the list of models."""
        self.litter = False
        self._texts: deque[str] = deque()

    def will_say(self, *texts: str) -> None:
        self._texts.extend(texts)

    async def garbage(self) -> None:
        """What is streamed from now on has parts that no client can use."""
        self.litter = True

    async def serve(self, exchange: Exchange) -> None:
        request = exchange.request
        if request.headers.get("authorization") != f"Bearer {self.key}":
            await self.refuse_exchange(exchange, 401, "invalid_api_key")
        elif (request.method, request.path) == ("GET", "/v1/models"):
            exchange.at("knock")
            models = [
                {"id": name, "object": "model", "created": 1, "owned_by": "openai"} for name in sorted(MODELS)
            ]
            await exchange.json({"object": "list", "data": models}, self.knows_models)
        elif (request.method, request.path) == ("POST", "/v1/audio/transcriptions"):
            await self._transcribe(exchange)
        else:
            await self.refuse_wrong(exchange, f"{request.method} {request.path}", 404)

    async def _transcribe(self, exchange: Exchange) -> None:
        exchange.at("asked")
        fields = exchange.request.form()
        wrong = _wrong(fields)
        if wrong:
            await self.refuse_wrong(exchange, wrong, 404 if wrong == "model_not_found" else 400)
            return
        self.asked.append({name: [part.text for part in fields[name]] for name in fields if name != "file"})
        with wave.open(io.BytesIO(fields["file"][0].data)) as sound:
            rate, pcm = sound.getframerate(), sound.readframes(sound.getnframes())
            if (sound.getnchannels(), sound.getsampwidth()) != (1, 2):
                await self.refuse_wrong(exchange, "a file that is not 16 bit mono")
                return
        self.files.append(pcm)
        ear = Recogniser(rate, lambda: self._texts.popleft() if self._texts else None)
        ear.hear(pcm)
        ear.flush()
        await self._answer(exchange, ear.text)

    async def _answer(self, exchange: Exchange, text: str) -> None:
        exchange.at("head")
        if self.form == "whole":
            await exchange.json({"text": text, "usage": {"type": "duration", "seconds": 1}})
            return
        await exchange.start("text/event-stream; charset=utf-8")
        if self.litter:
            await exchange.write(
                b'data: {\n\ndata: []\n\ndata: "x"\n\ndata: {"type": 7}\n\nnonsense\n\ndata: {"delta": 1}\n\n'
            )
        for index, word in enumerate(text.split()):
            exchange.at("delta")
            await self._event(exchange, self._piece((" " if index else "") + word))
        exchange.at("done")
        if self.form == "chat":
            await exchange.write(b"data: [DONE]\n\n")
        else:
            await self._event(exchange, {"type": "transcript.text.done", "text": text, "usage": None})
        exchange.end()

    def _piece(self, piece: str) -> dict[str, Any]:
        if self.form == "chat":
            return {"object": "transcription.chunk", "choices": [{"index": 0, "delta": {"content": piece}}]}
        return {"type": "transcript.text.delta", "delta": piece}

    async def _event(self, exchange: Exchange, event: dict[str, Any]) -> None:
        await exchange.write(f"data: {json.dumps(event)}\n\n".encode())


def _wrong(fields: dict[str, Any]) -> str:
    """What the service would not take."""
    unknown = fields.keys() - FIELDS
    if unknown:
        return f"unknown_parameter {sorted(unknown)}"
    if "file" not in fields or "model" not in fields:
        return "missing_required_parameter"
    file = fields["file"][0]
    if not file.filename.endswith(".wav") or file.kind not in {"audio/wav", "audio/x-wav"}:
        return f"invalid_file_format {file.filename} {file.kind}"
    if len(file.data) > LONGEST_FILE:
        return "file_too_big"
    if fields["model"][0].text not in MODELS:
        return "model_not_found"
    if "keywords[]" in fields and fields["model"][0].text != "gpt-transcribe":
        return "invalid_value keywords"
    if "language" in fields and len(fields["language"][0].text) != 2:
        return "invalid_language_format"
    return ""
