"""OpenAI's transcription sessions for tests: a server over a real socket that refuses what the service refuses.

    async with FakeOpenAiTranscription() as cloud:
        stage = OpenAiTranscription({"base_url": cloud.base_url, "api_key": cloud.key})
        cloud.will_say("what time is it")       # what the next turn reads, whatever it sounds like
        cloud.swap()                            # the next two transcripts come in the wrong order
        cloud.keep_silent()                     # the next turn is committed, and never transcribed
        cloud.fail_transcript("server_error")   # the next turn cannot be transcribed
        cloud.drop()                            # also stall(), refuse(3.0), close(1011), hang_in_setup(), drop_at(...)
        cloud.sessions[-1].turns[-1].pcm        # what it received of a turn, 24 kHz
        assert cloud.violations == []

Turns are decoded by `Recogniser` where `will_say` said nothing.
Source: the service's guide to realtime transcription, and the types of the SDK.
"""

import asyncio
import base64
import binascii
import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from tests.fakes.socket_service import GARBAGE, SocketLink, SocketService
from tests.rig.coded_speech import Recogniser

RATE = 24_000
SHORTEST_MS = 100
LIVE = frozenset({"gpt-live-transcribe", "gpt-realtime-whisper"})
"""Models that stream, and take no turn detection."""
MODELS = LIVE | {"gpt-transcribe", "gpt-4o-transcribe", "gpt-4o-mini-transcribe", "whisper-1"}
HANGOVER = 0.3
EMPTY = "input_audio_buffer_commit_empty"
STEPS = ("dial", "created", "update", "updated", "append", "delta", "commit", "committed", "completed")
"""For `drop_at`; delta only with a live model or a word understood."""


class Refused(Exception):
    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Turn:
    """One item: its audio, and how it reads."""

    item: str
    pcm: bytes
    text: str


class FakeOpenAiTranscription(SocketService["Link"]):
    key = "sk-test"
    path = "/v1"

    def __init__(self) -> None:
        super().__init__()
        self.thinks = 0.01
        self.expires_at: float | None = None
        self.charges: Mapping[str, Any] | None = None
        """Instead of the seconds of audio."""
        self._texts: deque[str] = deque()
        self._oddities: deque[str] = deque()

    def will_say(self, *texts: str) -> None:
        self._texts.extend(texts)

    def swap(self) -> None:
        self._oddities.append("swap")

    def keep_silent(self) -> None:
        self._oddities.append("silence")

    def fail_transcript(self, kind: str, code: str = "failed") -> None:
        self._oddities.append(f"fail {kind} {code}")

    def next_text(self) -> str | None:
        return self._texts.popleft() if self._texts else None

    def next_oddity(self) -> str:
        return self._oddities.popleft() if self._oddities else ""

    async def garbage(self) -> None:
        await self.send_raw(*GARBAGE)

    async def expire(self) -> None:
        """The sixty minutes are over."""
        error = {"type": "invalid_request_error", "code": "session_expired", "message": "."}
        await self.send_raw(json.dumps({"type": "error", "event_id": "e", "error": error}))
        await self.close(1001)

    def refuse_request(self, request: Request) -> Response | None:
        if request.headers.get("Authorization") != f"Bearer {self.key}":
            return self.refusal(401, "invalid_api_key")
        parts = urlsplit(request.path)
        if parts.path != "/v1/realtime" or parse_qsl(parts.query) != [("intent", "transcription")]:
            self.violate(f"dialled {request.path}")
            return self.refusal(400, "invalid_request")
        if "OpenAI-Beta" in request.headers:
            self.violate("the beta header")
            return self.refusal(400, "beta_api_shape_disabled")
        return None

    def link(self, socket: ServerConnection) -> "Link":
        return Link(self, socket)


class Link(SocketLink):
    """`received` is what came beside the audio, `pcm` the audio."""

    def __init__(self, cloud: FakeOpenAiTranscription, socket: ServerConnection) -> None:
        super().__init__(cloud, socket)
        self.received: list[dict[str, Any]] = []
        self.pcm = bytearray()
        self.turns: list[Turn] = []
        self.config: dict[str, Any] = {}
        self._cloud = cloud
        self._buffer = bytearray()
        self._ear = Recogniser(RATE, cloud.next_text)
        self._item = ""
        self._said = 0
        self._spoke = False
        self._numbers = 0
        self._swapped: list[Turn] = []

    async def run(self) -> None:
        self.at("created")
        await self.tell("session.created", session=self._session())
        async for raw in self.socket:
            await self._take(raw)

    async def tell(self, kind: str, **fields: Any) -> None:
        self._numbers += 1
        await self.say(type=kind, event_id=f"event_{self._numbers}", **fields)

    def _session(self) -> dict[str, Any]:
        expires = {} if self._cloud.expires_at is None else {"expires_at": self._cloud.expires_at}
        return {
            "type": "transcription",
            "id": "sess_1",
            "object": "realtime.transcription_session",
            **expires,
            **self.config,
        }

    async def _take(self, raw: str | bytes) -> None:
        event = json.loads(raw)
        kind = event.get("type")
        if kind != "input_audio_buffer.append":
            self.received.append(event)
        try:
            match kind:
                case "session.update":
                    self.at("update")
                    await self._update(event)
                case "input_audio_buffer.append":
                    await self._append(event)
                case "input_audio_buffer.commit":
                    _only(event)
                    await self._commit()
                case "input_audio_buffer.clear":
                    _only(event)
                    self._begin_anew()
                    await self.tell("input_audio_buffer.cleared")
                case _:
                    raise Refused("invalid_value", f"no such event: {kind}")
        except Refused as fault:
            if not (fault.code == EMPTY and self._detects):
                # Where the service ends turns, a client cannot know that it did a moment before.
                self.violate(f"{kind}: {fault.code} {fault}")
            error = {"type": "invalid_request_error", "code": fault.code, "message": str(fault)}
            await self.tell("error", error={**error, "param": None, "event_id": event.get("event_id")})

    async def _update(self, event: dict[str, Any]) -> None:
        _only(event, "session")
        session = event["session"]
        _keys(session, {"type", "audio", "include"})
        if session.get("type") != "transcription":
            raise Refused("invalid_value", "session.type")
        _keys(session["audio"], {"input"})
        sound = session["audio"]["input"]
        _keys(sound, {"format", "transcription", "turn_detection", "noise_reduction"})
        if sound.get("format") != {"type": "audio/pcm", "rate": RATE}:
            raise Refused("invalid_value", "session.audio.input.format")
        words = sound.get("transcription")
        if not isinstance(words, dict):
            raise Refused("invalid_type", "session.audio.input.transcription")
        _keys(words, {"model", "language", "prompt", "keywords"})
        if words.get("model") not in MODELS:
            raise Refused("model_not_found", "session.audio.input.transcription.model")
        if "language" in words and not (isinstance(words["language"], str) and len(words["language"]) == 2):
            raise Refused("invalid_value", "session.audio.input.transcription.language")
        if "keywords" in words and words["model"] not in {"gpt-transcribe", "gpt-live-transcribe"}:
            raise Refused("invalid_value", "session.audio.input.transcription.keywords")
        turns = sound.get("turn_detection")
        if turns is not None and words["model"] in LIVE:
            raise Refused("invalid_value", "Turn detection is not supported for this transcription model")
        if turns is not None and turns.get("type") not in {"server_vad", "semantic_vad"}:
            raise Refused("invalid_value", "session.audio.input.turn_detection")
        self.at("updated")
        if self._cloud.next_fate("hang_in_setup"):
            return
        self.config = {"audio": session["audio"]}
        await self.tell("session.updated", session=self._session())

    async def _append(self, event: dict[str, Any]) -> None:
        _only(event, "audio")
        if not self.config:
            raise Refused("invalid_request", "audio before the set-up")
        try:
            pcm = base64.b64decode(event["audio"], validate=True)
        except (binascii.Error, TypeError) as fault:
            raise Refused("invalid_value", "audio") from fault
        if len(pcm) % 2:
            raise Refused("invalid_value", "half a sample")
        self.at("append")
        self.pcm += pcm
        self._buffer += pcm
        self._ear.hear(pcm)
        if self._ear.spoke_at is not None:
            self._name()
        if self._model in LIVE:
            await self._stream()
        elif self._detects:
            await self._detect()

    async def _stream(self) -> None:
        """A live model says each word as soon as it is over."""
        for word in self._ear.words[self._said :]:
            await self._delta(self._item, (" " if self._said else "") + word.text)
            self._said += 1

    async def _detect(self) -> None:
        """Server VAD."""
        if self._ear.spoke_at is not None and not self._spoke:
            self._spoke = True
            await self.tell("input_audio_buffer.speech_started", audio_start_ms=0, item_id=self._item)
        if self._ear.quiet_for >= HANGOVER:
            await self.tell("input_audio_buffer.speech_stopped", audio_end_ms=0, item_id=self._item)
            await self._commit()

    async def _commit(self) -> None:
        if len(self._buffer) < RATE * SHORTEST_MS // 1000 * 2:
            raise Refused(EMPTY, "buffer too small")
        self.at("commit")
        self._name()
        self._ear.flush()
        turn, said = Turn(self._item, bytes(self._buffer), self._ear.text), self._said
        self._begin_anew()
        self.turns.append(turn)
        previous = self.turns[-2].item if len(self.turns) > 1 else None
        self.at("committed")
        await self.tell("input_audio_buffer.committed", item_id=turn.item, previous_item_id=previous)
        await self.tell("conversation.item.added", item={"id": turn.item}, previous_item_id=previous)
        self.begin(self._answer(turn, said))

    async def _answer(self, turn: Turn, said: int) -> None:
        oddity, *more = self._cloud.next_oddity().split(" ")
        await asyncio.sleep(self._cloud.thinks)
        if oddity == "silence":
            return
        if oddity == "fail":
            kind = "conversation.item.input_audio_transcription.failed"
            error = {"type": more[0], "code": more[1], "message": "."}
            await self.tell(kind, item_id=turn.item, content_index=0, error=error)
            return
        for index, word in list(enumerate(turn.text.split(" ")))[said:] if turn.text else ():
            await self._delta(turn.item, (" " if index else "") + word)
        if oddity == "swap":
            self._swapped.append(turn)
            return
        await self._complete(turn)
        while self._swapped:
            await self._complete(self._swapped.pop())

    async def _complete(self, turn: Turn) -> None:
        self.at("completed")
        kind = "conversation.item.input_audio_transcription.completed"
        usage = self._cloud.charges or {"type": "duration", "seconds": len(turn.pcm) / 2 / RATE}
        await self.tell(kind, item_id=turn.item, content_index=0, transcript=turn.text, usage=usage)

    async def _delta(self, item: str, piece: str) -> None:
        self.at("delta")
        kind = "conversation.item.input_audio_transcription.delta"
        await self.tell(kind, item_id=item, content_index=0, delta=piece)

    @property
    def _detects(self) -> bool:
        return bool(self.config) and self.config["audio"]["input"]["turn_detection"] is not None

    @property
    def _model(self) -> str:
        return str(self.config["audio"]["input"]["transcription"]["model"])

    def _name(self) -> None:
        if not self._item:
            self._item = f"item_{len(self.turns) + 1}_{self._numbers}"

    def _begin_anew(self) -> None:
        self._buffer.clear()
        self._ear = Recogniser(RATE, self._cloud.next_text)
        self._item = ""
        self._said = 0
        self._spoke = False


def _only(event: Mapping[str, Any], *fields: str) -> None:
    _keys(event, {"type", "event_id", *fields})
    for field in fields:
        if field not in event:
            raise Refused("missing_required_parameter", field)


def _keys(value: Any, known: set[str]) -> None:
    if not isinstance(value, dict):
        raise Refused("invalid_type", "an object is needed")
    for key in value:
        if key not in known:
            raise Refused("unknown_parameter", key)
