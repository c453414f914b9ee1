"""ElevenLabs' text to speech for tests: both of its sockets, refusing what the service refuses.

    async with FakeElevenLabs() as cloud:
        stage = ElevenLabsTts({"base_url": cloud.base_url, "api_key": cloud.key})
        cloud.snake = True                              # is_final and context_id instead of isFinal and contextId

The rest is in `speech_cloud.py`. As with the service, a context says that it is over only when it was closed; one
that is closed before its first sound is over at once, without any; those that were closed stay open while they sound.
"""

import asyncio
import base64
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request

from tests.fakes.speech_cloud import MS_PER_CHARACTER, SpeechCloud, Spoken, Talk, chunks_of, paced, sound_of

MODELS = frozenset({"eleven_flash_v2_5", "eleven_multilingual_v2", "eleven_turbo_v2_5"})
VOICES = frozenset({"JBFqnCBsd6RMkjVDRZzb", "21m00Tcm4TlvDq8ikWAM"})
FORMATS = {f"pcm_{rate}": rate for rate in (8_000, 16_000, 22_050, 24_000, 44_100)}
QUERY = frozenset(
    {
        "model_id",
        "language_code",
        "output_format",
        "inactivity_timeout",
        "sync_alignment",
        "auto_mode",
        "enable_ssml_parsing",
        "apply_text_normalization",
    }
)
FIRST = frozenset(
    {"text", "context_id", "voice_settings", "generation_config", "pronunciation_dictionary_locators"}
)
SINGLE = frozenset({"text", "voice_settings", "generation_config", "try_trigger_generation", "flush"})
FURTHER = (
    frozenset({"text", "context_id", "flush"}),
    frozenset({"text", "context_id"}),
    frozenset({"context_id", "flush"}),
    frozenset({"context_id", "close_context"}),
)
CODES = {
    401: "invalid_api_key",
    402: "quota_exceeded",
    429: "too_many_concurrent_requests",
    500: "internal_server_error",
}
CONTEXTS = 5
MULTI = "multi-stream-input"


class FakeElevenLabs(SpeechCloud):
    """All voices of VOICES."""

    idle_close = (1008, "Have not received a new text input within the timeout of 20 seconds.")

    def __init__(self) -> None:
        super().__init__()
        self.voices = VOICES
        self.snake = False

    def authorised(self, request: Request) -> bool:
        return request.headers.get("xi-api-key") == self.key

    def admit(self, request: Request) -> str:
        parts = urlsplit(request.path)
        match parts.path.split("/"):
            case ["", "v1", "text-to-speech", _, "stream-input" | "multi-stream-input"]:
                pass
            case _:
                return f"path {parts.path}"
        unknown = set(parse_qs(parts.query)) - QUERY
        return f"query {sorted(unknown)}" if unknown else ""

    def fault_body(self, code: str) -> Mapping[str, Any]:
        return {"detail": {"status": code, "message": "Refused."}}

    def link(self, socket: ServerConnection) -> Talk:
        assert socket.request is not None
        kind = MultiTalk if urlsplit(socket.request.path).path.endswith(MULTI) else SingleTalk
        return kind(self, socket)


class _Talk(Talk):
    """What both sockets have."""

    def __init__(self, cloud: FakeElevenLabs, socket: ServerConnection) -> None:
        super().__init__(cloud, socket)
        assert socket.request is not None
        parts = urlsplit(socket.request.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.cloud = cloud
        self.voice = unquote(parts.path.split("/")[3])
        self.model = query.get("model_id", "eleven_multilingual_v2")
        self.format = query.get("output_format", "mp3_44100_128")
        self.language = query.get("language_code", "")

    def unknown(self) -> str:
        """What a user may have chosen wrong."""
        if self.voice not in VOICES:
            return "voice_id_does_not_exist"
        return "" if self.model in MODELS else "model_not_found"

    async def refuse(self, code: str, violation: str = "") -> None:
        if violation:
            self.violate(violation)
        await self.say(message="Refused.", error=code, code=1008)
        await self.socket.close(1008, "Refused.")


class MultiTalk(_Talk):
    """`multi-stream-input`."""

    def __init__(self, cloud: FakeElevenLabs, socket: ServerConnection) -> None:
        super().__init__(cloud, socket)
        self._closed: set[str] = set()

    async def take(self, message: dict[str, Any]) -> None:
        self.at("asked")
        if code := self.unknown():
            await self.refuse(code)
            return
        context = message.get("context_id")
        if self.format not in FORMATS or (self.language and not self.model.endswith("_v2_5")):
            await self.refuse("invalid_output_format", f"{self.format} {self.language}")
        elif not isinstance(context, str):
            await self.refuse("invalid_message", f"no context_id among {sorted(message)}")
        elif context not in self.contexts:
            await self._open(context, message)
        elif set(message) not in FURTHER:
            await self.refuse("invalid_message", f"fields {sorted(message)}")
        elif message.get("close_context") is True:
            await self._close(self.contexts[context])
        else:
            await self._text(self.contexts[context], message)

    async def _open(self, context: str, message: dict[str, Any]) -> None:
        if context in self._closed:
            if set(message) != {"context_id", "close_context"}:
                await self.refuse("invalid_message", "a context that was closed")
            return
        if set(message) - FIRST or message.get("text") != " ":
            await self.refuse("invalid_message", f"a context opened with {sorted(message)}")
            return
        if len(self.contexts) >= CONTEXTS:
            await self.refuse("max_active_conversations", "too many contexts")
            return
        spoken = Spoken(context, rate=FORMATS[self.format], voice=self.voice)
        spoken.asked.append(message)
        self.contexts[context] = spoken
        self.cloud.spoken.append(spoken)

    async def _text(self, spoken: Spoken, message: dict[str, Any]) -> None:
        if spoken.task is not None or spoken.context in self._closed:
            await self.refuse("invalid_message", "text after the flush")
            return
        spoken.asked.append(message)
        spoken.text += message.get("text", "")
        if not message.get("flush"):
            return
        if not spoken.text.endswith(" "):
            self.violate("a text that does not end with a blank")
        if refusal := self.cloud.next_refusal():
            await self.refuse(CODES[refusal[0]])
        elif not self.cloud.next_silent():
            spoken.task = self.begin(self._speak(spoken))

    async def _close(self, spoken: Spoken) -> None:
        self._closed.add(spoken.context)
        spoken.cancelled = True
        if not spoken.pcm:
            if spoken.task is not None:
                spoken.task.cancel()
            await self._end(spoken)
        elif spoken.done:
            await self._end(spoken)

    async def _speak(self, spoken: Spoken) -> None:
        await asyncio.sleep(self.cloud.think)
        span = self.cloud.chunk_ms
        async for number, piece in paced(spoken.text, spoken.rate, span, self.cloud.speed, self.at):
            if self.cloud.garbled:
                await self._garbage(spoken)
            times = _alignment(spoken.text, number * span, span) if self.cloud.tells_words else None
            spoken.pcm += piece
            await self._say(
                spoken.context,
                audio=base64.b64encode(piece).decode(),
                alignment=times,
                normalizedAlignment=times and {**times, "chars": ["x"] * len(times["chars"])},
            )
        spoken.done = True
        if spoken.context in self._closed:
            await self._end(spoken)

    async def _end(self, spoken: Spoken) -> None:
        self.contexts.pop(spoken.context, None)
        spoken.done = True
        if self.cloud.forgets_ends:
            return
        await self._say(spoken.context, **{"is_final" if self.cloud.snake else "isFinal": True})

    async def _say(self, context: str, **fields: Any) -> None:
        await self.say(**fields, **{"context_id" if self.cloud.snake else "contextId": context})

    async def _garbage(self, spoken: Spoken) -> None:
        times = {"chars": [7, "x"], "charStartTimesMs": [0, "soon"], "charDurationsMs": None}
        messages: list[Any] = [
            [],
            {"weather": "fine", "contextId": spoken.context},
            {"audio": "AAAA", "contextId": "piece-of-another"},
            {"audio": 7, "contextId": 7},
            {"audio": "no base64!", "contextId": spoken.context, "alignment": 7},
            {"audio": "", "contextId": spoken.context, "alignment": times},
        ]
        for message in messages:
            await self.say_raw(json.dumps(message))
        for raw in (b"\xff\x00", "{"):
            await self.say_raw(raw)


class SingleTalk(_Talk):
    """`stream-input`: one text, which an empty one ends."""

    async def take(self, message: dict[str, Any]) -> None:
        if code := self.unknown():
            await self.refuse(code)
            return
        if unknown := set(message) - SINGLE:
            await self.refuse("invalid_message", f"fields {sorted(unknown)}")
            return
        if not self.contexts:
            if message.get("text") != " ":
                await self.refuse("invalid_message", "a stream that does not begin with a blank")
                return
            self.contexts["only"] = Spoken("only", rate=FORMATS.get(self.format, 0), voice=self.voice)
            self.cloud.spoken.append(self.contexts["only"])
            return
        spoken = self.contexts["only"]
        spoken.asked.append(message)
        spoken.text += message["text"]
        if message["text"]:
            return
        span = self.cloud.chunk_ms
        for number, piece in enumerate(chunks_of(sound_of(spoken.text, spoken.rate), spoken.rate, span)):
            spoken.pcm += piece
            times = _alignment(spoken.text, number * span, span)
            await self.say(audio=base64.b64encode(piece).decode(), alignment=times, isFinal=None)
        spoken.done = True
        await self.say(audio=None, isFinal=True)
        await self.socket.close(1000)


def _alignment(text: str, begin_ms: int, span_ms: int) -> dict[str, Any]:
    """The letters of a chunk; times count from its beginning."""
    begin, end = -(-begin_ms // MS_PER_CHARACTER), -(-(begin_ms + span_ms) // MS_PER_CHARACTER)
    letters = list(text[begin:end])
    starts = [at * MS_PER_CHARACTER - begin_ms for at in range(begin, begin + len(letters))]
    return {
        "chars": letters,
        "charStartTimesMs": starts,
        "charDurationsMs": [MS_PER_CHARACTER] * len(letters),
    }
