"""What the fakes of text-to-speech services have in common: links, fates, and the sound of a text.

The sound of a text is noise of its own, `MS_PER_CHARACTER` long for each character, so that a test can tell which text
it hears, and where in it.
"""

import asyncio
import functools
import json
import socket
import struct
import zlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Self

import numpy as np
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

MS_PER_CHARACTER = 20
CHUNK_MS = 100
STEPS = ("handshake", "open", "asked", "first sound", "last sound")
"""Where a link can break; `break_at` takes one."""


@functools.lru_cache(maxsize=512)
def sound_of(text: str, rate: int) -> bytes:
    """How `text` sounds: s16le at `rate`."""
    chance = np.random.default_rng(zlib.crc32(text.encode()))
    samples = rate * len(text) * MS_PER_CHARACTER // 1000
    return bytes(chance.integers(-6_000, 6_000, samples).astype("<i2").tobytes())


def chunks_of(pcm: bytes, rate: int, milliseconds: int) -> list[bytes]:
    size = rate * milliseconds // 1000 * 2
    return [pcm[begin : begin + size] for begin in range(0, len(pcm), size)]


def words_of(text: str) -> Iterator[tuple[str, int, int]]:
    """Each word with its first and last millisecond."""
    at = 0
    for word in text.split():
        at = text.index(word, at)
        yield word, at * MS_PER_CHARACTER, (at + len(word)) * MS_PER_CHARACTER
        at += len(word)


@dataclass
class Spoken:
    """What became of a piece."""

    context: str
    text: str = ""
    rate: int = 0
    voice: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    pcm: bytes = b""
    """What was sent of its sound."""
    sounded_at: float = 0.0
    """Monotonic second at which the first of it was sent."""
    cancelled: bool = False
    done: bool = False
    task: asyncio.Task[None] | None = None


class SpeechCloud:
    """A server for one loop. Its service is written down in a subclass."""

    idle_close = (1000, "connection idle timeout")

    def __init__(self) -> None:
        self.key = "key-test-000000000000"
        self.port = 0
        self.dials = 0
        self.violations: list[str] = []
        """Whatever was refused."""
        self.talks: list[Talk] = []
        self.spoken: list[Spoken] = []
        """Every piece, in the order in which they were asked for."""
        self.speed = 0.0
        """Times real time; 0: as fast as it goes."""
        self.chunk_ms = CHUNK_MS
        self.think = 0.0
        self.idle: float | None = None
        """A link without contexts is closed after so long."""
        self.tells_words = True
        self.garbled = False
        """Among what is sent are things that no client can use."""
        self.late_chunks = 2
        """What still comes of a piece that was cancelled."""
        self.step = ""
        self._silent = 0
        self._refusals: deque[tuple[int, str]] = deque()
        self._fates: deque[tuple[int, str, str]] = deque()
        self._standing: tuple[int, str, str] | None = None
        self._hanging = 0
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
        return f"http://127.0.0.1:{self.port}"

    @property
    def live(self) -> "list[Talk]":
        return [talk for talk in self.talks if talk.live]

    # --- what it is told ---

    def drop(self) -> None:
        """Every link is reset."""
        for talk in self.talks:
            talk.reset()

    async def close(self, code: int, reason: str = "") -> None:
        """Every link is closed with `code`."""
        for talk in self.live:
            await talk.socket.close(code, reason)

    def stall(self) -> None:
        """Every link stays open, and nothing moves on it any more, no pong either."""
        for talk in self.live:
            talk.stall()

    def refuse(self, seconds: float) -> None:
        """Nothing listens for so long. The links that are stay."""
        assert self._server is not None
        self._server.close(close_connections=False)
        self._back = asyncio.get_running_loop().create_task(self._come_back(seconds))

    def break_at(self, step: str) -> None:
        """The link is reset once, at this one of STEPS."""
        assert step in STEPS
        self.step = step

    def hang_in_dial(self, times: int = 1) -> None:
        """The handshake is never answered."""
        self._hanging = times

    def reject_credentials(self, *, standing: bool = False) -> None:
        self._fate((401, "invalid_api_key", ""), standing=standing)

    def quota(self, *, standing: bool = False) -> None:
        self._fate((402, "quota_exceeded", ""), standing=standing)

    def rate_limit(self, retry_after: float, *, standing: bool = False) -> None:
        self._fate((429, "rate_limit_exceeded", str(retry_after)), standing=standing)

    def will_be_silent(self) -> None:
        """The next piece is taken, and nothing comes of it."""
        self._silent += 1

    def will_refuse(self, status: int, code: str) -> None:
        """The next piece is answered with an error."""
        self._refusals.append((status, code))

    def garbage(self) -> None:
        """From now on, what no client can use is among what it sends."""
        self.garbled = True

    def find(self, text: str) -> Spoken:
        """The newest piece with this text."""
        return next(spoken for spoken in reversed(self.spoken) if spoken.text.strip() == text)

    # --- for its links ---

    def breaks(self, step: str) -> bool:
        """Whether the link breaks here; only once."""
        if self.step != step:
            return False
        self.step = ""
        return True

    def next_silent(self) -> bool:
        if not self._silent:
            return False
        self._silent -= 1
        return True

    def next_refusal(self) -> tuple[int, str] | None:
        return self._refusals.popleft() if self._refusals else None

    # --- to be written down by the service ---

    def admit(self, request: Request) -> str:
        """Why the service does not know this address; empty where it does."""
        raise NotImplementedError

    def authorised(self, request: Request) -> bool:
        raise NotImplementedError

    def fault_body(self, code: str) -> Mapping[str, Any]:
        """How a refusal over HTTP is said."""
        raise NotImplementedError

    def talk(self, socket: ServerConnection) -> "Talk":
        raise NotImplementedError

    # --- inside ---

    def _fate(self, fate: tuple[int, str, str], *, standing: bool) -> None:
        if standing:
            self._standing = fate
        else:
            self._fates.append(fate)

    async def _listen(self) -> None:
        self._server = await serve(
            self._converse,
            "127.0.0.1",
            self.port,
            process_request=self._admit,
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
        if self._hanging:
            self._hanging -= 1
            await socket.wait_closed()
        if self.breaks("handshake"):
            reset(socket)
            await asyncio.sleep(0.01)
        fate = self._fates.popleft() if self._fates else self._standing
        if fate is not None:
            return self._refusal(*fate)
        if not self.authorised(request):
            return self._refusal(401, "invalid_api_key", "")
        if trouble := self.admit(request):
            self.violations.append(trouble)
            return self._refusal(404, "not_found", "")
        return None

    def _refusal(self, status: int, code: str, retry_after: str) -> Response:
        body = json.dumps(self.fault_body(code)).encode()
        again = {"Retry-After": retry_after} if retry_after else {}
        named = Headers(
            {
                "Content-Type": "application/json",
                "Content-Length": str(len(body)),
                "Connection": "close",
                **again,
            }
        )
        return Response(status, HTTPStatus(status).phrase, named, body)

    async def _converse(self, socket: ServerConnection) -> None:
        talk = self.talk(socket)
        self.talks.append(talk)
        try:
            if self.breaks("open"):
                talk.reset()
            await talk.run()
        except ConnectionClosed:
            pass
        finally:
            talk.end()


class Talk:
    """One link."""

    def __init__(self, cloud: SpeechCloud, socket: ServerConnection) -> None:
        self.socket = socket
        self.live = True
        self.received: list[dict[str, Any]] = []
        self.contexts: dict[str, Spoken] = {}
        """Those that are open."""
        self._cloud = cloud
        self._stalled = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        while self.live:
            try:
                async with asyncio.timeout(self._cloud.idle):
                    raw = await self.socket.recv()
            except TimeoutError:
                if not self.contexts:
                    await self.socket.close(*self._cloud.idle_close)
                    return
                continue
            message = json.loads(raw)
            assert isinstance(message, dict)
            self.received.append(message)
            await self.take(message)

    async def take(self, message: dict[str, Any]) -> None:
        """To be written down by the service."""
        raise NotImplementedError

    def reset(self) -> None:
        if self.live:
            self.live = False
            reset(self.socket)

    def stall(self) -> None:
        self._stalled = True
        transport = self.socket.transport
        assert isinstance(transport, asyncio.Transport)
        if not transport.is_closing():
            transport.pause_reading()

    def end(self) -> None:
        self.live = False
        for task in self._tasks:
            task.cancel()

    def violate(self, what: str) -> None:
        self._cloud.violations.append(what)

    async def send(self, **message: Any) -> None:
        await self.send_raw(json.dumps(message))

    async def send_raw(self, raw: str | bytes) -> None:
        if not self._stalled:
            await self.socket.send(raw)

    def begin(self, job: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(self._run(job))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @staticmethod
    async def _run(job: Callable[[], Awaitable[None]]) -> None:
        try:
            await job()
        except ConnectionClosed:
            return


def reset(connection: ServerConnection) -> None:
    """RST, as a router sends it that has forgotten the connection."""
    raw: socket.socket | None = connection.transport.get_extra_info("socket")
    if raw is not None and raw.fileno() >= 0:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.transport.abort()
