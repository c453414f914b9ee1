"""Deepgram's `/v1/listen` and `/v2/listen` for tests, over a real socket: refuses what the service refuses.

async with FakeDeepgram() as cloud:
    stage = DeepgramNova({"base_url": cloud.base_url, "api_key": cloud.key})
    cloud.will_hear("what time is it")      # what the next utterance is written down as; else its coded words are
    cloud.drop()                            # every link is reset; also stall(), refuse(3.0), drop_at("finalize")
    cloud.reject_credentials()              # the next dial; also quota(), rate_limit(7.0)
    cloud.sessions[-1].texts                # what it received beside sound
    assert cloud.violations == []
"""

import asyncio
import json
from collections import deque
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from tests.fakes.socket_service import SocketLink, SocketService
from tests.rig.coded_speech import Recogniser

NOVA = "/v1/listen"
FLUX = "/v2/listen"
_COMMON = {
    "model",
    "encoding",
    "sample_rate",
    "keyterm",
    "mip_opt_out",
    "tag",
    "profanity_filter",
    "numerals",
}
_KNOWN = {
    NOVA: _COMMON
    | {
        "language",
        "channels",
        "interim_results",
        "smart_format",
        "punctuate",
        "endpointing",
        "utterance_end_ms",
    }
    | {"vad_events", "keywords"},
    FLUX: _COMMON | {"eot_threshold", "eager_eot_threshold", "eot_timeout_ms", "language_hint"},
}
_MODELS = {NOVA: {"nova-3", "nova-3-general", "nova-2"}, FLUX: {"flux-general-en", "flux-general-multi"}}
_FLAGS = {"interim_results", "smart_format", "punctuate", "vad_events", "mip_opt_out", "profanity_filter"}
_RANGES = {
    "eot_threshold": (0.5, 1.0),
    "eager_eot_threshold": (0.3, 0.9),
    "eot_timeout_ms": (500, 60_000),
    "utterance_end_ms": (1_000, 5_000),
    "sample_rate": (8_000, 48_000),
}
_REPEATED = {"keyterm", "keywords", "language_hint"}
GARBAGE: tuple[str | bytes, ...] = (
    "no json",
    "[]",
    "42",
    "[" * 20_000,
    '{"no": "type"}',
    '{"type": 5}',
    '{"type": "SomethingNew", "payload": {}}',
    '{"type": "Warning", "code": "NEW", "description": "x", "request_id": "r", "sequence_id": 0}',
    b"\xff\x00 sound that nobody asked for",
)


class FakeDeepgram(SocketService["Session"]):
    key = "deepgram-key-of-the-tests-0123456789"
    refusals: ClassVar[Mapping[str, tuple[int, str]]] = {
        "key": (401, "INVALID_AUTH"),
        "quota": (402, "ASR_PAYMENT_REQUIRED"),
        "rate": (429, "TOO_MANY_REQUESTS"),
    }

    def __init__(self, *, tls: bool = False) -> None:
        super().__init__(tls=tls)
        self.idle_seconds = 10.0
        """Without sound or word for so long, v1 hangs up; v2 sixty seconds, unless this was changed."""
        self.noticeable = 0.1
        """A Finalize is answered where so many seconds of sound wait for it."""
        self.final_words = 6
        """Nova makes so many words final at once; 0: only at a pause."""
        self.tells_speech_final = True
        self.answers_finalize = True
        self.think = 0.0
        """Seconds before what ends a turn is answered."""
        self.eager_after = 0.12
        self.end_after = 0.24
        """Seconds of silence after which Flux is sure of the end."""
        self.flux_opens_with: Mapping[str, Any] = {"type": "Connected", "request_id": "request-1"}
        """Flux's first message; empty: there is none."""
        self.hears: str | None = None
        """How all speech is written down, where `will_hear` said nothing; None: its coded words."""
        self._script: deque[str] = deque()

    # --- what it is told ---

    def will_hear(self, *texts: str) -> None:
        """The next utterances are written down so, whatever sounds."""
        self._script.extend(texts)

    async def garbage(self) -> None:
        for session in self.live:
            for message in (*GARBAGE, *session.nonsense()):
                await session.socket.send(message)

    async def say(self, **message: Any) -> None:
        """Every link is told this."""
        for session in self.live:
            await session.say(**message)

    # --- for its sessions ---

    def understand(self) -> str | None:
        return self._script.popleft() if self._script else self.hears

    # --- the service ---

    def refuse_request(self, request: Request) -> Response | None:
        if request.headers.get("Authorization") != f"Token {self.key}":
            self.violate("the key")
            return self.refusal(401, "INVALID_AUTH")
        parts = urlsplit(request.path)
        wrong = _wrong(parts.path, parse_qs(parts.query, keep_blank_values=True))
        if wrong:
            self.violate(wrong)
            return self.refusal(404 if parts.path not in _KNOWN else 400, "INVALID_QUERY_PARAMETER")
        return None

    def link(self, socket: ServerConnection) -> "Session":
        # The two versions stand in files of their own, which know this one.
        from tests.fakes.deepgram_flux import FluxSession
        from tests.fakes.deepgram_nova import NovaSession

        assert socket.request is not None
        parts = urlsplit(socket.request.path)
        asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        kind = NovaSession if parts.path == NOVA else FluxSession
        return kind(self, socket, asked)

    def fault_body(self, code: str) -> Mapping[str, Any]:
        return {"err_code": code, "err_msg": f"{code}.", "request_id": "request-1"}

    def refusal(self, status: int, code: str, headers: Mapping[str, str] | None = None) -> Response:
        return super().refusal(status, code, {"dg-error": code, **(headers or {})})


def _wrong(path: str, asked: Mapping[str, list[str]]) -> str:
    """What the service finds fault with, or nothing."""
    if path not in _KNOWN:
        return f"path {path}"
    if unknown := asked.keys() - _KNOWN[path]:
        return f"unknown parameters {sorted(unknown)}"
    if twice := [name for name, values in asked.items() if len(values) > 1 and name not in _REPEATED]:
        return f"repeated parameters {twice}"
    values = {name: given[-1] for name, given in asked.items()}
    if values.get("model") not in _MODELS[path]:
        return f"model {values.get('model')}"
    if values.get("encoding") != "linear16" or "sample_rate" not in values:
        return "raw sound without its encoding and rate"
    return _wrong_value(values)


def _wrong_value(values: Mapping[str, str]) -> str:
    if flags := [name for name in _FLAGS & values.keys() if values[name] not in {"true", "false"}]:
        return f"no flags: {flags}"
    for name, (lowest, highest) in _RANGES.items():
        if name in values and not lowest <= float(values[name]) <= highest:
            return f"{name} {values[name]}"
    if "keyterm" in values and values["model"].startswith("nova-2"):
        return "keyterm is of nova-3"
    if "keywords" in values and values["model"].startswith("nova-3"):
        return "keywords are of nova-2"
    if "utterance_end_ms" in values and values.get("interim_results") != "true":
        return "utterance_end_ms without interim_results"
    if "language_hint" in values and values["model"] != "flux-general-multi":
        return "language_hint is of flux-general-multi"
    if float(values.get("eager_eot_threshold", 0)) > float(values.get("eot_threshold", 0.7)):
        return "eager_eot_threshold above eot_threshold"
    return ""


class Session(SocketLink):
    """One connection of a client. Base of both versions."""

    longest_idle = 0.0
    """Seconds; 0: as the fake says."""

    def __init__(self, cloud: FakeDeepgram, socket: ServerConnection, asked: Mapping[str, str]) -> None:
        super().__init__(cloud, socket)
        self.cloud = cloud
        self.asked = asked
        self.texts: list[str] = []
        """The types of the messages that came, in order."""
        self.pcm = bytearray()
        self.heard = Recogniser(int(asked["sample_rate"]), cloud.understand)

    async def run(self) -> None:
        await self.open()
        self.at("open")
        while True:
            try:
                async with asyncio.timeout(self.longest_idle or self.cloud.idle_seconds):
                    message = await self.socket.recv()
            except TimeoutError:
                self.violate("idle for too long")
                await self.socket.close(1011, "NET-0001")
                return
            if isinstance(message, bytes):
                await self._sound(message)
            elif not await self._word(message):
                return

    async def open(self) -> None:
        """What is said before anything came."""

    async def sound(self) -> None:
        """20 ms, or the rest of a message, came."""
        raise NotImplementedError

    async def word(self, message: Mapping[str, Any]) -> bool:
        """A message came. Return False when it ends the connection, None where there is no such message."""
        raise NotImplementedError

    def nonsense(self) -> list[str]:
        raise NotImplementedError

    async def _sound(self, pcm: bytes) -> None:
        if not pcm or len(pcm) % 2:
            self.violate(f"{len(pcm)} bytes of sound")
            await self.socket.close(1008, "DATA-0000")
            return
        self.at("audio")
        self.pcm += pcm
        size = int(self.asked["sample_rate"]) // 50 * 2
        for at in range(0, len(pcm), size):
            self.heard.hear(pcm[at : at + size])
            await self.sound()

    async def _word(self, text: str) -> bool:
        try:
            message = json.loads(text)
            self.texts.append(message["type"])
        except (ValueError, KeyError, TypeError):
            self.violate("a text that is no message")
            return True
        self.at(message["type"])
        return await self.word(message)
