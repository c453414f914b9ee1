"""What the fakes of text-to-speech services have in common: links, fates, and the sound of a text.

The sound of a text is noise of its own, `MS_PER_CHARACTER` long for each character, so that a test can tell which text
it hears, and where in it.
"""

import asyncio
import functools
import json
import zlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from tests.fakes.socket_service import SocketLink, SocketService

MS_PER_CHARACTER = 20
CHUNK_MS = 100
STEPS = ("dial", "open", "asked", "first sound", "last sound")
"""For `drop_at`."""


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


async def paced(
    text: str, rate: int, span: int, speed: float, at: Callable[[str], None]
) -> AsyncIterator[tuple[int, bytes]]:
    """The sound of `text` in pieces of `span` ms with their numbers, each when it is due; `at` is told of two steps.

    `speed` times real time; 0: as fast as it goes.
    """
    loop = asyncio.get_running_loop()
    due = loop.time()
    pieces = chunks_of(sound_of(text, rate), rate, span)
    for number, piece in enumerate(pieces):
        if number == len(pieces) - 1:
            at("last sound")
        yield number, piece
        if number == 0:
            at("first sound")
        due += span / 1000 / speed if speed else 0.0
        await asyncio.sleep(max(0.0, due - loop.time()))


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


class SpeechOrders:
    """The pieces that a service was asked for, and what it was told to do with the next ones."""

    def __init__(self) -> None:
        super().__init__()
        self.spoken: list[Spoken] = []
        """Every piece, in the order in which they were asked for."""
        self.speed = 0.0
        """Times real time; 0: as fast as it goes."""
        self.chunk_ms = CHUNK_MS
        self._silent = 0
        self._refusals: deque[tuple[int, str]] = deque()

    def will_be_silent(self) -> None:
        """The next piece is taken, and nothing comes of it."""
        self._silent += 1

    def will_refuse(self, status: int, code: str) -> None:
        """The next piece is answered with an error."""
        self._refusals.append((status, code))

    def find(self, text: str) -> Spoken:
        """The newest piece with this text."""
        return next(spoken for spoken in reversed(self.spoken) if spoken.text.strip() == text)

    def next_silent(self) -> bool:
        if not self._silent:
            return False
        self._silent -= 1
        return True

    def next_refusal(self) -> tuple[int, str] | None:
        return self._refusals.popleft() if self._refusals else None


class SpeechCloud(SpeechOrders, SocketService["Talk"]):
    """Its service is written down in a subclass."""

    key = "key-test-000000000000"
    refusals: ClassVar[Mapping[str, tuple[int, str]]] = {
        **SocketService.refusals,
        "quota": (402, "quota_exceeded"),
    }
    idle_close = (1000, "connection idle timeout")

    def __init__(self) -> None:
        super().__init__()
        self.think = 0.0
        self.idle: float | None = None
        """A link without contexts is closed after so long."""
        self.tells_words = True
        self.forgets_ends = False
        """It does not say when a piece has ended."""
        self.garbled = False
        """Among what is sent are things that no client can use."""
        self.late_chunks = 2
        """What still comes of a piece that was cancelled."""

    # --- what it is told ---

    def drop_at(self, step: str) -> None:
        assert step in STEPS
        super().drop_at(step)

    def garbage(self) -> None:
        """From now on, what no client can use is among what it sends."""
        self.garbled = True

    # --- to be written down by the service ---

    def admit(self, request: Request) -> str:
        """Why the service does not know this address; empty where it does."""
        raise NotImplementedError

    def authorised(self, request: Request) -> bool:
        raise NotImplementedError

    def refuse_request(self, request: Request) -> Response | None:
        if not self.authorised(request):
            return self.refusal(401, "invalid_api_key")
        if trouble := self.admit(request):
            self.violate(trouble)
            return self.refusal(404, "not_found")
        return None


class Talk(SocketLink):
    """One link."""

    def __init__(self, cloud: SpeechCloud, socket: ServerConnection) -> None:
        super().__init__(cloud, socket)
        self.received: list[dict[str, Any]] = []
        self.contexts: dict[str, Spoken] = {}
        """Those that are open."""
        self._cloud = cloud

    async def run(self) -> None:
        self.at("open")
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
