"""What the fakes of services over HTTP have in common: a server of one's own, refusals, and links that break.

It speaks HTTP/1.1 itself, without a task for a connection that nothing is asked on. A subclass answers in `serve`,
naming the steps of its protocol with `Exchange.at`.
"""

import asyncio
import email
import email.policy
import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

from tests.fakes.service import Cut, Listener, Service, reset

BODY_BOUND = 32 * 1024 * 1024


@dataclass
class Request:
    """Header names are lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""

    def json(self) -> Any:
        return json.loads(self.body)

    def form(self) -> dict[str, list["Part"]]:
        """The parts of a multipart form, by name."""
        head = b"Content-Type: " + self.headers.get("content-type", "").encode() + b"\r\n\r\n"
        message = email.message_from_bytes(head + self.body, policy=email.policy.HTTP)
        found: dict[str, list[Part]] = {}
        for part in message.iter_parts():
            name = str(part.get_param("name", "", header="content-disposition"))
            data = cast("bytes", part.get_payload(decode=True))
            found.setdefault(name, []).append(Part(data, part.get_filename() or "", part.get_content_type()))
        return found


@dataclass(frozen=True)
class Part:
    data: bytes
    filename: str
    kind: str

    @property
    def text(self) -> str:
        return self.data.decode()


@dataclass
class Exchange:
    """A request, and how it is answered: `json`, or `start`, `write` and `end`."""

    service: "HttpService"
    connection: "_Connection"
    request: Request
    done: bool = False

    def at(self, step: str) -> None:
        """The protocol has come to `step`."""
        if self.service.cuts(step):
            self.connection.reset()
            raise Cut

    async def json(self, body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        await self.whole(
            json.dumps(body).encode(), status, {"Content-Type": "application/json", **(headers or {})}
        )

    async def whole(self, body: bytes, status: int, headers: Mapping[str, str]) -> None:
        await self._head(status, {**headers, "Content-Length": str(len(body))})
        self.connection.write(body)
        self.done = True

    async def start(self, kind: str) -> None:
        """Begin an answer of unknown length."""
        await self._head(200, {"Content-Type": kind, "Transfer-Encoding": "chunked"})

    async def write(self, piece: bytes) -> None:
        await self.service.flowing()
        self.connection.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        await asyncio.sleep(0)

    def end(self) -> None:
        self.connection.write(b"0\r\n\r\n")
        self.done = True

    async def _head(self, status: int, headers: Mapping[str, str]) -> None:
        await self.service.flowing()
        lines = [
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
            *(f"{name}: {headers[name]}" for name in headers),
        ]
        self.connection.write("\r\n".join([*lines, "", ""]).encode())


class HttpService(Service):
    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Request] = []
        """Those that were not refused by a fate."""
        self.links = 0
        """Requests that are being answered."""
        self.connections: set[_Connection] = set()
        self._fates: deque[str] = deque()
        self._moving = asyncio.Event()
        self._moving.set()

    # --- what it is told ---

    def drop(self) -> None:
        for connection in list(self.connections):
            connection.reset()

    def stall(self) -> None:
        """Nothing is answered any more, until `go_on`."""
        self._moving.clear()

    def go_on(self) -> None:
        self._moving.set()

    def fail(self, status: int = 500) -> None:
        """The next request is answered with this status."""
        self._fates.append(str(status))

    def reject_credentials(self) -> None:
        """The next request finds its key refused."""
        self._fates.append("401")

    def quota(self) -> None:
        """The next request finds an account with nothing left."""
        self._fates.append("quota")

    def rate_limit(self, retry_after: float = 2.0) -> None:
        """The next request is to come again later."""
        self._fates.append(f"429 {retry_after}")

    # --- for its subclasses ---

    async def serve(self, exchange: Exchange) -> None:
        raise NotImplementedError

    async def refuse_exchange(
        self, exchange: Exchange, status: int, code: str, retry_after: str = ""
    ) -> None:
        """In the service's own form."""
        headers = {"Retry-After": retry_after} if retry_after else {}
        error = {"type": "invalid_request_error", "code": code, "message": f"{code}.", "param": None}
        await exchange.json({"error": error}, status, headers)

    async def flowing(self) -> None:
        await self._moving.wait()

    async def refuse_wrong(self, exchange: Exchange, what: str, status: int = 400) -> None:
        """As `refuse_exchange`, for what a client should know not to do."""
        self.violate(what)
        await self.refuse_exchange(exchange, status, what)

    # --- inside ---

    async def answer(self, connection: "_Connection", request: Request) -> None:
        exchange = Exchange(self, connection, request)
        self.links += 1
        try:
            fate, _, retry_after = self._fates.popleft().partition(" ") if self._fates else ("", "", "")
            if fate == "429":
                await self.refuse_exchange(exchange, 429, "rate_limit_exceeded", retry_after)
            elif fate == "quota":
                await self.refuse_exchange(exchange, 429, "insufficient_quota")
            elif fate:
                await self.refuse_exchange(
                    exchange, int(fate), "invalid_api_key" if fate == "401" else "failed"
                )
            else:
                self.requests.append(request)
                await self.serve(exchange)
            if not exchange.done:
                connection.reset()
        except Cut:
            pass
        finally:
            self.links -= 1

    async def listen(self) -> Listener:
        loop = asyncio.get_running_loop()
        return await loop.create_server(lambda: _Connection(self), "127.0.0.1", self.port)


@dataclass(eq=False)
class _Connection(asyncio.Protocol):
    service: HttpService
    transport: asyncio.Transport | None = None
    buffer: bytearray = field(default_factory=bytearray)
    answering: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.service.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.service.connections.discard(self)
        if self.answering is not None:
            self.answering.cancel()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        assert len(self.buffer) < BODY_BOUND
        request = _parsed(self.buffer)
        if request is not None:
            work = self.service.answer(self, request)
            self.answering = asyncio.get_running_loop().create_task(work, name="fake answer")

    def write(self, data: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def reset(self) -> None:
        assert self.transport is not None
        reset(self.transport)


def _parsed(buffer: bytearray) -> Request | None:
    """The request at the beginning of `buffer`, which is taken off it; None as long as there is more to come."""
    head, found, _ = bytes(buffer).partition(b"\r\n\r\n")
    if not found:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    assert "chunked" not in headers.get("transfer-encoding", ""), "not needed by any client so far"
    size = len(head) + 4 + int(headers.get("content-length", "0"))
    if len(buffer) < size:
        return None
    body = bytes(buffer[len(head) + 4 : size])
    del buffer[:size]
    parts = urlsplit(target)
    return Request(method, parts.path, dict(parse_qsl(parts.query)), headers, body)
