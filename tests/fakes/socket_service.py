"""What the fakes of services with a WebSocket have in common: dials, refusals, and links that break.

A subclass says in `refuse_request` what a handshake must look like, and gives in `link` what is said on a connection: a
SocketLink, which names the steps of its protocol with `at`.
"""

import asyncio
import json
from abc import abstractmethod
from collections import deque
from collections.abc import Coroutine, Mapping
from http import HTTPStatus
from typing import Any, ClassVar, Generic, TypeVar

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from tests.fakes.service import Cut, Listener, Service, reset

GARBAGE = ("{", "[]", "null", '"x"', "[" * 5_000, b"\xff\x00", "{}", '{"type": 7}', '{"message_type": []}')
"""What no client can use."""


class SocketLink:
    """One connection of a client."""

    def __init__(self, service: "SocketService[Any]", socket: ServerConnection) -> None:
        self.service = service
        self.socket = socket
        self.live = True
        self._stalled = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve the link until it ends. To be written down by the service."""
        raise NotImplementedError

    async def say(self, **message: Any) -> None:
        """Where the link is stalled it never arrives."""
        await self.say_raw(json.dumps(message))

    async def say_raw(self, raw: str | bytes) -> None:
        if self._stalled:
            await self.socket.wait_closed()
        await self.socket.send(raw)

    def at(self, step: str) -> None:
        """The protocol has come to `step`."""
        if self.service.cuts(step):
            self.reset()
            raise Cut

    def violate(self, what: str) -> None:
        self.service.violate(what)

    def begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do it beside, until the link ends."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def reset(self) -> None:
        """RST, as a router sends it that has forgotten the connection."""
        if self.live:
            self.live = False
            reset(self.socket.transport)

    def stall(self) -> None:
        """It stays open, and nothing moves on it any more, no pong either."""
        self._stalled = True
        transport = self.socket.transport
        assert isinstance(transport, asyncio.Transport)
        if not transport.is_closing():
            transport.pause_reading()

    def end(self) -> None:
        """It is gone."""
        self.live = False
        for task in self._tasks:
            task.cancel()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        fault = None if task.cancelled() else task.exception()
        if fault is not None and not isinstance(fault, ConnectionClosed | Cut):
            self.violate(f"the fake failed: {fault!r}")


Link = TypeVar("Link", bound=SocketLink)


class SocketService(Service, Generic[Link]):
    """`drop_at("dial")` is about the handshake; what else there is, its links say."""

    max_size: int | None = 1024 * 1024
    """Bytes of a message."""
    refusals: ClassVar[Mapping[str, tuple[int, str]]] = {
        "key": (401, "invalid_api_key"),
        "quota": (429, "insufficient_quota"),
        "rate": (429, "rate_limit_exceeded"),
    }
    """With which status and code it refuses a dial."""

    def __init__(self, *, tls: bool = False) -> None:
        super().__init__(tls=tls)
        self.sessions: list[Link] = []
        """The newest last."""
        self.dials = 0
        self._fates: deque[str] = deque()
        self._closes: deque[tuple[int, str]] = deque()
        self._standing = ""
        self._retry_after = 0.0

    @property
    def session(self) -> Link:
        """The newest."""
        return self.sessions[-1]

    @property
    def live(self) -> list[Link]:
        return [link for link in self.sessions if link.live]

    @property
    def links(self) -> int:
        """How many are open."""
        return len(self.live)

    # --- what it is told ---

    def drop(self) -> None:
        for link in self.live:
            link.reset()

    async def close(self, code: int, reason: str = "") -> None:
        """Every link is closed with `code`."""
        for link in self.live:
            await link.socket.close(code, reason)

    def stall(self) -> None:
        """Every link stays open, and nothing moves on it any more."""
        for link in self.live:
            link.stall()

    async def send_raw(self, *messages: bytes | str) -> None:
        """Every link gets these, as they are."""
        for link in self.live:
            for message in messages:
                await link.socket.send(message)

    def hang_in_dial(self, times: int = 1) -> None:
        """The next handshakes are never answered."""
        self._fates.extend(["hang_in_dial"] * times)

    def hang_in_setup(self, times: int = 1) -> None:
        """The next links never say that they are ready."""
        self._fates.extend(["hang_in_setup"] * times)

    def close_in_setup(self, code: int, reason: str = "") -> None:
        """The next link is opened and closed with this at once, as where the key is looked at only then."""
        self._closes.append((code, reason))

    def reject_credentials(self, *, standing: bool = False) -> None:
        """The next dial, or every one, finds its key refused."""
        self._fate("key", standing=standing)

    def quota(self, *, standing: bool = False) -> None:
        """The next dial, or every one, finds an account with nothing left."""
        self._fate("quota", standing=standing)

    def rate_limit(self, retry_after: float = 2.0, *, standing: bool = False) -> None:
        """The next dial, or every one, is to come again later."""
        self._retry_after = retry_after
        self._fate("rate", standing=standing)

    def accept(self) -> None:
        """End what was `standing`."""
        self._standing = ""

    # --- for its links ---

    def next_fate(self, *kinds: str) -> str:
        """The next fate where it is of these; it is used up then."""
        return self._fates.popleft() if self._fates and self._fates[0] in kinds else ""

    # --- for its subclasses ---

    @abstractmethod
    def refuse_request(self, request: Request) -> Response | None:
        """What is wrong with a handshake: a `refusal`."""

    @abstractmethod
    def link(self, socket: ServerConnection) -> Link:
        """What serves a connection."""

    def fault_body(self, code: str) -> Mapping[str, Any]:
        """How a refusal of a handshake is said."""
        return {"error": {"type": "invalid_request_error", "code": code, "message": f"{code}."}}

    def refusal(self, status: int, code: str, headers: Mapping[str, str] | None = None) -> Response:
        """An HTTP answer that is no upgrade."""
        return http_answer(status, json.dumps(self.fault_body(code)), headers)

    async def listen(self) -> Listener:
        return await serve(
            self._serve,
            "127.0.0.1",
            self.port,
            process_request=self._admit,
            ssl=self.security(),
            ping_interval=None,
            close_timeout=0.2,
            max_size=self.max_size,
            compression=None,
        )

    def close_listener(self) -> None:
        assert isinstance(self._listener, Server)
        self._listener.close(close_connections=False)

    # --- inside ---

    def _fate(self, kind: str, *, standing: bool) -> None:
        if standing:
            self._standing = kind
        else:
            self._fates.append(kind)

    async def _admit(self, socket: ServerConnection, request: Request) -> Response | None:
        self.dials += 1
        if self.next_fate("hang_in_dial"):
            await socket.wait_closed()
            return None
        if self.cuts("dial"):
            reset(socket.transport)
            return None
        if fate := self.next_fate(*self.refusals) or self._standing:
            again = {"Retry-After": f"{self._retry_after:g}"} if fate == "rate" else None
            return self.refusal(*self.refusals[fate], again)
        return self.refuse_request(request)

    async def _serve(self, socket: ServerConnection) -> None:
        link = self.link(socket)
        self.sessions.append(link)
        try:
            if self._closes:
                await socket.close(*self._closes.popleft())
                return
            await link.run()
        except (ConnectionClosed, Cut):
            pass
        finally:
            link.end()


def http_answer(status: int, body: str, headers: Mapping[str, str] | None = None) -> Response:
    data = body.encode()
    named = {"Content-Type": "application/json", "Content-Length": str(len(data)), "Connection": "close"}
    return Response(status, HTTPStatus(status).phrase, Headers({**named, **(headers or {})}), data)
