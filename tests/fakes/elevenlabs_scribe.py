"""ElevenLabs' Scribe in realtime for tests: a server over a real socket that refuses what the service refuses.

    async with FakeScribe() as cloud:
        stage = ElevenLabsTranscription({"base_url": cloud.base_url, "api_key": cloud.key})
        cloud.will_say("what time is it")       # what the next turn reads, whatever it sounds like
        cloud.keep_silent()                     # the next commit is never answered
        cloud.idle_limit = 1.0                  # seconds without sound after which it hangs up
        await cloud.complain("quota_exceeded")  # every session is told so, and ended
        cloud.drop()                            # also stall(), refuse(3.0), close(1011), hang_in_setup(), drop_at(...)
        assert cloud.violations == []

Turns are decoded by `Recogniser` where `will_say` said nothing. Source: the types and the client of the SDK.
"""

import asyncio
import base64
import binascii
import contextlib
import json
from collections import deque
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from tests.fakes.socket_service import GARBAGE, SocketLink, SocketService
from tests.rig.coded_speech import Recogniser

MODELS = frozenset({"scribe_v2_realtime", "scribe_v3_live"})
FORMATS = {f"pcm_{rate}": rate for rate in (8_000, 16_000, 22_050, 24_000, 44_100, 48_000)}
PARAMETERS = frozenset(
    {"model_id", "audio_format", "commit_strategy", "language_code", "keyterms", "include_timestamps"}
)
SHORTEST = 0.3
STEPS = ("dial", "started", "chunk", "partial", "commit", "committed")
"""For `drop_at`."""


class FakeScribe(SocketService["Link"]):
    key = "sk_test"

    def __init__(self) -> None:
        super().__init__()
        self.idle_limit = 10.0
        self.auto_commit = 90.0
        """Seconds of sound after which it commits by itself."""
        self._texts: deque[str] = deque()
        self._silent = 0

    def will_say(self, *texts: str) -> None:
        self._texts.extend(texts)

    def keep_silent(self) -> None:
        self._silent += 1

    async def garbage(self) -> None:
        await self.send_raw(*GARBAGE)

    async def complain(self, kind: str) -> None:
        await self.send_raw(json.dumps({"message_type": kind, "error": "."}))
        await self.close(1000, kind)

    def next_text(self) -> str | None:
        return self._texts.popleft() if self._texts else None

    def is_silent(self) -> bool:
        self._silent -= 1
        return self._silent >= 0

    def refuse_request(self, request: Request) -> Response | None:
        if request.headers.get("xi-api-key") != self.key:
            return self.refusal(401, "invalid_api_key")
        parts = urlsplit(request.path)
        named = parse_qsl(parts.query)
        given = dict(named)
        wrong = (
            parts.path != "/v1/speech-to-text/realtime"
            or not given.keys() <= PARAMETERS
            or given.get("audio_format") not in FORMATS
            or given.get("commit_strategy") != "manual"
            or not 2 <= len(given.get("language_code", "en")) <= 3
            or any(len(value) > 20 for name, value in named if name == "keyterms")
            or sum(name == "keyterms" for name, _ in named) > 50
        )
        if wrong:
            self.violate(f"dialled {request.path}")
            return self.refusal(400, "invalid_parameters")
        if given.get("model_id") not in MODELS:
            return self.refusal(400, "model_not_found")
        return None

    def link(self, socket: ServerConnection) -> "Link":
        return Link(self, socket)


class Link(SocketLink):
    """`received` is what came beside the audio, `pcm` the audio."""

    def __init__(self, cloud: FakeScribe, socket: ServerConnection) -> None:
        super().__init__(cloud, socket)
        assert socket.request is not None
        self.asked = parse_qsl(urlsplit(socket.request.path).query)
        self.received: list[dict[str, Any]] = []
        self.pcm = bytearray()
        self.commits: list[bytes] = []
        """The audio of each commit."""
        self._cloud = cloud
        self._rate = FORMATS[dict(self.asked)["audio_format"]]
        self._buffer = bytearray()
        self._ear = Recogniser(self._rate, cloud.next_text)
        self._told = 0

    async def run(self) -> None:
        self.at("started")
        if self._cloud.next_fate("hang_in_setup"):
            await self.socket.wait_closed()
        await self.say(message_type="session_started", session_id="s", config=dict(self.asked))
        with contextlib.suppress(TimeoutError):
            while True:
                async with asyncio.timeout(self._cloud.idle_limit):
                    raw = await self.socket.recv()
                await self._take(json.loads(raw))
        await self.socket.close(1000, "inactivity")

    async def _take(self, message: dict[str, Any]) -> None:
        pcm = self._checked(message)
        if pcm is None:
            await self.say(message_type="input_error", error="invalid input_audio_chunk")
            return
        if not message["commit"]:
            self.at("chunk")
        self.pcm += pcm
        self._buffer += pcm
        self._ear.hear(pcm)
        if message["commit"]:
            self.received.append(message)
            self.at("commit")
            await self._commit()
        elif len(self._buffer) / 2 / self._rate >= self._cloud.auto_commit:
            await self._commit()
        elif len(self._ear.words) > self._told:
            self._told = len(self._ear.words)
            self.at("partial")
            await self.say(message_type="partial_transcript", text=f"{self._ear.text} ")

    def _checked(self, message: dict[str, Any]) -> bytes | None:
        """The sound of a message; None, and a violation, where it is not as it must be."""
        try:
            assert message.keys() <= {
                "message_type",
                "audio_base_64",
                "commit",
                "sample_rate",
                "previous_text",
            }
            assert message["message_type"] == "input_audio_chunk"
            assert isinstance(message["commit"], bool)
            assert message["sample_rate"] == self._rate
            pcm = base64.b64decode(message["audio_base_64"], validate=True)
            assert len(pcm) % 2 == 0
        except (AssertionError, KeyError, TypeError, binascii.Error) as fault:
            self.violate(f"{type(fault).__name__} in {sorted(message)}")
            return None
        return pcm

    async def _commit(self) -> None:
        seconds = len(self._buffer) / 2 / self._rate
        if seconds < SHORTEST:
            self.violate(f"a commit of {seconds:.2f} s")
            await self.say(message_type="commit_throttled", error=f"only {seconds:.2f}s of uncommitted audio")
            await self.socket.close(1000, "commit_throttled")
            return
        self.commits.append(bytes(self._buffer))
        self._ear.flush()
        text = self._ear.text
        self._buffer.clear()
        self._ear, self._told = Recogniser(self._rate, self._cloud.next_text), 0
        if self._cloud.is_silent():
            return
        self.at("committed")
        await self.say(message_type="committed_transcript", text=text)
        # It says so also where nobody asked for it.
        await self.say(message_type="committed_transcript_with_timestamps", text=text, words=[])
