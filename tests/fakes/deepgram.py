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
import socket
import ssl
import struct
from collections import deque
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from tests.fakes.certificate import loopback_certificate
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


class FakeDeepgram:
    """All of it belongs to one loop."""

    def __init__(self, *, tls: bool = False) -> None:
        self._tls = tls
        self.key = "deepgram-key-of-the-tests-0123456789"
        self.port = 0
        self.sessions: list[Session] = []
        self.violations: list[str] = []
        """Whatever it refused."""
        self.dials = 0
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
        self._fates: deque[Response] = deque()
        self._cut = ""
        self._server: Server | None = None
        self._back: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._back is not None:
            self._back.cancel()
        self.drop()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    @property
    def base_url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def certificate(self) -> Path:
        """Of a server with `tls`: what SSL_CERT_FILE must name."""
        return loopback_certificate()[0]

    @property
    def links(self) -> int:
        return sum(session.live for session in self.sessions)

    @property
    def session(self) -> "Session":
        """The newest."""
        return self.sessions[-1]

    # --- what it is told ---

    def will_hear(self, *texts: str) -> None:
        """The next utterances are written down so, whatever sounds."""
        self._script.extend(texts)

    def drop(self) -> None:
        for session in self.sessions:
            session.reset()

    def drop_at(self, step: str) -> None:
        """The link is reset when the protocol comes to `step` for the next time."""
        self._cut = step

    async def close(self, code: int, reason: str = "") -> None:
        for session in self.live():
            await session.socket.close(code, reason)

    def stall(self) -> None:
        for session in self.live():
            transport = session.socket.transport
            assert isinstance(transport, asyncio.Transport)
            transport.pause_reading()
            session.stalled = True

    def refuse(self, seconds: float) -> None:
        assert self._server is not None
        self._server.close(close_connections=False)
        self._back = asyncio.get_running_loop().create_task(self._come_back(seconds))

    def reject_credentials(self) -> None:
        self._fates.append(_refusal(401, "INVALID_AUTH"))

    def quota(self) -> None:
        self._fates.append(_refusal(402, "ASR_PAYMENT_REQUIRED"))

    def rate_limit(self, retry_after: float) -> None:
        self._fates.append(_refusal(429, "TOO_MANY_REQUESTS", {"Retry-After": f"{retry_after:g}"}))

    async def garbage(self) -> None:
        for session in self.live():
            messages: list[str | bytes] = [*GARBAGE, *session.nonsense()]
            for message in messages:
                await session.socket.send(message)

    async def say(self, **message: Any) -> None:
        """Every link is told this."""
        for session in self.live():
            await session.send(message)

    def live(self) -> list["Session"]:
        return [session for session in self.sessions if session.live]

    # --- for its sessions ---

    def understand(self) -> str | None:
        return self._script.popleft() if self._script else self.hears

    def cuts(self, step: str) -> bool:
        """Whether the link is to be reset now."""
        if self._cut != step:
            return False
        self._cut = ""
        return True

    # --- inside ---

    async def _listen(self) -> None:
        context = None
        if self._tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*loopback_certificate())
        self._server = await serve(
            self._converse,
            "127.0.0.1",
            self.port,
            process_request=self._admit,
            ssl=context,
            ping_interval=None,
            close_timeout=0.2,
            compression=None,
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]

    async def _come_back(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self._listen()

    async def _admit(self, socket: ServerConnection, request: Request) -> Response | None:
        self.dials += 1
        if self.cuts("dial"):
            socket.transport.abort()
            return None
        if self._fates:
            return self._fates.popleft()
        if request.headers.get("Authorization") != f"Token {self.key}":
            self.violations.append("the key")
            return _refusal(401, "INVALID_AUTH")
        parts = urlsplit(request.path)
        wrong = _wrong(parts.path, parse_qs(parts.query, keep_blank_values=True))
        if wrong:
            self.violations.append(wrong)
            return _refusal(404 if parts.path not in _KNOWN else 400, "INVALID_QUERY_PARAMETER")
        return None

    async def _converse(self, socket: ServerConnection) -> None:
        # The two versions stand in files of their own, which know this one.
        from tests.fakes.deepgram_flux import FluxSession
        from tests.fakes.deepgram_nova import NovaSession

        assert socket.request is not None
        parts = urlsplit(socket.request.path)
        asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        kind = NovaSession if parts.path == NOVA else FluxSession
        session: Session = kind(self, socket, asked)
        self.sessions.append(session)
        try:
            await session.run()
        except (ConnectionClosed, Cut):
            pass
        finally:
            session.live = False


def _refusal(status: int, code: str, headers: Mapping[str, str] | None = None) -> Response:
    body = json.dumps({"err_code": code, "err_msg": f"{code}.", "request_id": "request-1"}).encode()
    named = Headers(
        {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "dg-error": code,
            **(headers or {}),
        }
    )
    return Response(status, HTTPStatus(status).phrase, named, body)


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


class Cut(Exception):
    """The link was reset, as the test had asked for."""


class Session:
    """One connection of a client. Base of both versions."""

    longest_idle = 0.0
    """Seconds; 0: as the fake says."""

    def __init__(self, cloud: FakeDeepgram, socket: ServerConnection, asked: Mapping[str, str]) -> None:
        self.cloud = cloud
        self.socket = socket
        self.asked = asked
        self.live = True
        self.stalled = False
        self.texts: list[str] = []
        """The types of the messages that came, in order."""
        self.pcm = bytearray()
        self.heard = Recogniser(int(asked["sample_rate"]), cloud.understand)

    async def run(self) -> None:
        await self.open()
        await self.step("open")
        while True:
            try:
                async with asyncio.timeout(self.longest_idle or self.cloud.idle_seconds):
                    message = await self.socket.recv()
            except TimeoutError:
                self.cloud.violations.append("idle for too long")
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

    async def send(self, message: Mapping[str, Any]) -> None:
        if not self.stalled:
            await self.socket.send(json.dumps(message))

    async def step(self, name: str) -> None:
        if self.cloud.cuts(name):
            self.reset()
            raise Cut

    def reset(self) -> None:
        """RST, as a router sends it that has forgotten the connection."""
        if not self.live:
            return
        self.live = False
        raw: socket.socket | None = self.socket.transport.get_extra_info("socket")
        if raw is not None and raw.fileno() >= 0:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.transport.abort()

    async def _sound(self, pcm: bytes) -> None:
        if not pcm or len(pcm) % 2:
            self.cloud.violations.append(f"{len(pcm)} bytes of sound")
            await self.socket.close(1008, "DATA-0000")
            return
        await self.step("audio")
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
            self.cloud.violations.append("a text that is no message")
            return True
        await self.step(message["type"])
        return await self.word(message)
