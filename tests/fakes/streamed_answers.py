"""HTTP for the fakes of language models: one POST, one streamed answer, over real sockets; and all that can go wrong.

cloud.will_say("It is noon.", pieces=3)     # the next answer, in three pieces
cloud.will_call("get_time", {})             # ... is a tool call
cloud.break_at("text")                      # ... breaks off after its first piece
cloud.stall_at("head")                      # ... hangs before its first byte
cloud.refuse(2.0)                           # nothing listens for so long
cloud.asked[-1].left                        # whether the client went before the end
assert cloud.violations == []
"""

import asyncio
import contextlib
import json
from abc import abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.fakes.service import Listener, Service, reset

Where = Literal["accept", "request", "head", "start", "torn", "text", "end"]
"""Before anything is read; after the request; after the head; after events without text; within the first event that
has text; after it; before the last event."""
STEPS: tuple[Where, ...] = ("accept", "request", "head", "start", "torn", "text", "end")
BODY_BOUND = 4 * 1024 * 1024
Json = dict[str, Any]


class Refused(Exception):
    """The service does not take a request."""

    def __init__(self, message: str, *, status: int = 400, code: str = "invalid_request_error") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(frozen=True)
class Plan:
    """An answer. `reason` is stop, length, filter or other; `form` is the service's own way to write it."""

    pieces: Sequence[str] = ()
    calls: Sequence[tuple[str, Mapping[str, Any] | str]] = ()
    thoughts: str = ""
    reason: str = "stop"
    usage: tuple[int, int] | None = (12, 5)
    form: str = ""
    endless: bool = False
    error: str = ""
    raw: Sequence[bytes] | None = None
    content_type: str = "text/event-stream"


@dataclass
class Fate:
    """What happens to one request beside its answer."""

    where: Where | None = None
    stall: bool = False
    status: int = 0
    code: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Frame:
    """One event on the wire; `text` says that it is heard of."""

    data: bytes
    text: bool = False
    last: bool = False


@dataclass
class Asked:
    """A request that came."""

    path: str
    headers: Mapping[str, str]
    body: Json
    connection: int
    left: bool = False
    """The client went before the answer was complete."""
    complete: bool = False


class StreamedAnswers(Service):
    """Without instructions it answers "Yes."."""

    key = "sk-test-key"

    def __init__(self, *, keyless: bool = False) -> None:
        super().__init__()
        self.keyless = keyless
        self.asked: list[Asked] = []
        self.listed = 0
        """How often it was asked for its models."""
        self.connections = 0
        self.chop = 0
        """Bytes of each write; 0: an event at a time."""
        self.pace = 0.0
        self.think = 0.0
        """Seconds before an answer's head."""
        self.garbage = False
        """Between the events come such as no client knows, and such as are none."""
        self.answering: Callable[[Asked], Plan] = lambda _: Plan(["Yes."])
        """What is answered where nothing else was told."""
        self._plans: deque[Plan] = deque()
        self._fates: deque[Fate] = deque()
        self._links: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aexit__(self, *_: object) -> None:
        for link in list(self._links):
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)
        await super().__aexit__()

    # --- what it is told ---

    def will_say(self, text: str, *, pieces: int = 3, **how: Any) -> None:
        size = max(1, -(-len(text) // pieces))
        self._plans.append(Plan([text[at : at + size] for at in range(0, len(text), size)], **how))

    def will_call(self, tool: str, arguments: Mapping[str, Any] | str, **how: Any) -> None:
        self._plans.append(Plan(calls=[(tool, arguments)], **how))

    def will_answer(self, plan: Plan) -> None:
        self._plans.append(plan)

    def will_be_silent(self) -> None:
        """A complete answer with nothing in it."""
        self._plans.append(Plan())

    def never_end(self, text: str = "and then ") -> None:
        self._plans.append(Plan([text], endless=True))

    def will_send(self, *raw: bytes, content_type: str = "text/event-stream") -> None:
        """The body of the next answer, as it is."""
        self._plans.append(Plan(raw=raw, content_type=content_type))

    def break_at(self, where: Where) -> None:
        """The next request finds its socket reset there."""
        self._fates.append(Fate(where))

    def stall_at(self, where: Where) -> None:
        """The next request waits there for ever."""
        self._fates.append(Fate(where, stall=True))

    def reject_credentials(self) -> None:
        self._fates.append(Fate(status=401, code="invalid_api_key"))

    def quota(self) -> None:
        self._fates.append(Fate(status=429, code="insufficient_quota"))

    def rate_limit(self, retry_after: float | None = None) -> None:
        headers = {} if retry_after is None else {"retry-after": f"{retry_after:g}"}
        self._fates.append(Fate(status=429, code="rate_limit_exceeded", headers=headers))

    def fail(self, status: int, code: str = "") -> None:
        self._fates.append(Fate(status=status, code=code))

    def drop(self) -> None:
        for writer in list(self._writers):
            reset(writer.transport)

    def refuse(self, seconds: float) -> None:
        """Nothing listens for so long, and every connection is reset."""
        super().refuse(seconds)
        self.drop()

    @property
    def last(self) -> Asked:
        return self.asked[-1]

    # --- a service's own ---

    @abstractmethod
    def check(self, asked: Asked) -> None:
        """Raise Refused for what the service refuses."""

    def listing(self, asked: Asked) -> tuple[int, Json] | None:
        """What is told to who asks for the models; None where it asks for something else."""
        return None

    @abstractmethod
    def frames(self, plan: Plan, asked: Asked) -> Iterator[Frame]:
        """The events of an answer. Those of an endless one never end."""

    @abstractmethod
    def told_key(self, headers: Mapping[str, str]) -> str:
        """The key that a request has."""

    @abstractmethod
    def error(self, status: int, code: str) -> Json:
        """The body of a refusal."""

    # --- inside ---

    async def listen(self) -> Listener:
        return await asyncio.start_server(self._link, "127.0.0.1", self.port)

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._links.add(task)
        self._writers.add(writer)
        self.connections += 1
        number = self.connections
        try:
            if self._fates and self._fates[0].where == "accept":
                await self._befall(self._fates.popleft(), "accept", reader, writer)
            while await self._serve(number, reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, _Broken):
            pass
        finally:
            self._links.discard(task)
            self._writers.discard(writer)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _serve(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        asked = await _request(reader, number)
        if asked is None:
            return False
        if (found := self.listing(asked)) is not None:
            self.listed += 1
            _write_whole(writer, *found, {})
            await writer.drain()
            return True
        self.asked.append(asked)
        fate = self._fates.popleft() if self._fates else Fate()
        try:
            await self._befall(fate, "request", reader, writer)
            if (refusal := self._refusal(asked, fate)) is not None:
                _write_whole(writer, *refusal)
                asked.complete = True
                await writer.drain()
                return True
            plan = self._plans.popleft() if self._plans else self.answering(asked)
            await self._stream(plan, asked, fate, reader, writer)
            asked.complete = True
        except (_Broken, ConnectionError):
            asked.left = _gone(reader, writer)
            raise
        return True

    def _refusal(self, asked: Asked, fate: Fate) -> tuple[int, Json, Mapping[str, str]] | None:
        told = self.told_key(asked.headers)
        if fate.status:
            return fate.status, self.error(fate.status, fate.code), fate.headers
        if self.keyless and told:
            self.violations.append("a key was told to a server that has none")
        if not self.keyless and told != self.key:
            return 401, self.error(401, "invalid_api_key"), {}
        try:
            if asked.headers.get("content-type", "").partition(";")[0] != "application/json":
                raise Refused("no JSON", status=415)
            self.check(asked)
        except Refused as refused:
            self.violations.append(f"{asked.path}: {refused}")
            return refused.status, self.error(refused.status, refused.code), {}
        return None

    async def _stream(
        self,
        plan: Plan,
        asked: Asked,
        fate: Fate,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        await asyncio.sleep(self.think)
        head = f"HTTP/1.1 200 OK\r\ncontent-type: {plan.content_type}\r\ntransfer-encoding: chunked\r\n\r\n"
        writer.write(head.encode())
        await writer.drain()
        await self._befall(fate, "head", reader, writer)
        heard = False
        frames = (Frame(raw) for raw in plan.raw) if plan.raw is not None else self._framed(plan, asked)
        for frame in frames:
            if frame.text and not heard:
                await self._befall(fate, "start", reader, writer)
                if fate.where == "torn":
                    await self._write(writer, frame.data[: len(frame.data) // 2])
                    await self._befall(fate, "torn", reader, writer)
            if frame.last:
                await self._befall(fate, "end", reader, writer)
            await self._write(writer, frame.data)
            if frame.text and not heard:
                heard = True
                await self._befall(fate, "text", reader, writer)
            await asyncio.sleep(self.pace)
            if _gone(reader, writer):
                raise _Broken
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    def _framed(self, plan: Plan, asked: Asked) -> Iterator[Frame]:
        for frame in self.frames(plan, asked):
            if self.garbage:
                yield from (Frame(junk) for junk in GARBAGE)
            yield frame

    async def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        size = self.chop or len(data) or 1
        for at in range(0, len(data), size):
            part = data[at : at + size]
            writer.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            await writer.drain()
            if self.chop:
                await asyncio.sleep(0)

    async def _befall(
        self, fate: Fate, where: Where, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if fate.where != where:
            return
        if fate.stall:
            await until(lambda: _gone(reader, writer), 60.0)
        else:
            reset(writer.transport)
        raise _Broken


GARBAGE = (
    b": a comment\n\n",
    b"event: unheard.of\ndata: not json at all {\n\n",
    b'data: {"type": "response.unheard_of", "choices": [], "candidates": [], "delta": 7}\n\n',
    b'data: ["a", "list"]\n\n',
    b"retry: 10\nid: 7\n\n",
)


class _Broken(Exception):
    """The connection ends here."""


def _gone(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    return reader.at_eof() or reader.exception() is not None or writer.transport.is_closing()


def _write_whole(writer: asyncio.StreamWriter, status: int, body: Json, headers: Mapping[str, str]) -> None:
    data = json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Refused", "content-type: application/json", f"content-length: {len(data)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + data)


async def _request(reader: asyncio.StreamReader, number: int) -> Asked | None:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").strip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = int(headers.get("content-length", "0"))
    assert length <= BODY_BOUND
    body = await reader.readexactly(length)
    try:
        value = json.loads(body) if method == "POST" else {}
    except ValueError:
        value = {}
    return Asked(path, headers, value if isinstance(value, dict) else {}, number)


async def until(happened: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait for `happened()`; raise TimeoutError when it does not."""
    async with asyncio.timeout(seconds):
        while not happened():  # noqa: ASYNC110 # what it waits for is the state of a socket, and has no event
            await asyncio.sleep(0.005)


async def all_of(parts: AsyncIterator[Any]) -> list[Any]:
    return [part async for part in parts]
