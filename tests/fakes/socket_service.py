"""What the fakes of services with a WebSocket have in common: dials, refusals, and links that break.

A subclass says in `refuse_request` what a handshake must look like, and in `converse` what is said on a link, naming
the steps of its protocol with `SocketLink.at`.
"""

import asyncio
import json
import socket
import struct
from collections import deque
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response


class Cut(Exception):
    """The link is gone, as `drop_at` had it."""


class SocketLink:
    """One connection of a client. `received`: its messages without the audio; `pcm`: the audio."""

    def __init__(self, service: "SocketService", socket: ServerConnection) -> None:
        self.service = service
        self.socket = socket
        self.live = True
        self.received: list[dict[str, Any]] = []
        self.pcm = bytearray()
        self._stalled = False

    async def say(self, **message: Any) -> None:
        """Where the link is stalled it never arrives."""
        if self._stalled:
            await self.socket.wait_closed()
        await self.socket.send(json.dumps(message))

    def at(self, step: str) -> None:
        """The protocol has come to `step`."""
        if self.service.cut_at == step:
            self.service.cut_at = ""
            self.reset()
            raise Cut

    def reset(self) -> None:
        """RST, as a router sends it that has forgotten the connection."""
        if self.live:
            self.live = False
            _reset(self.socket)

    def stall(self) -> None:
        """It stays open, and nothing moves on it any more, no pong either."""
        self._stalled = True
        transport = self.socket.transport
        assert isinstance(transport, asyncio.Transport)
        if not transport.is_closing():
            transport.pause_reading()


class SocketService:
    """All of it belongs to one loop."""

    key = "key-of-a-test"

    def __init__(self) -> None:
        self.port = 0
        self.sessions: list[Any] = []
        """A SocketLink each, the newest last."""
        self.violations: list[str] = []
        """Whatever was refused that a client should know not to do."""
        self.dials = 0
        self.cut_at = ""
        self._fates: deque[str] = deque()
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
    def links(self) -> int:
        """Those that are open."""
        return sum(1 for _ in self._live())

    # --- what it is told ---

    def drop(self) -> None:
        """Every link is reset."""
        for link in self._live():
            link.reset()

    async def close(self, code: int, reason: str = "") -> None:
        """Every link is closed with `code`."""
        for link in list(self._live()):
            await link.socket.close(code, reason)

    def stall(self) -> None:
        """Every link stays open, and nothing moves on it any more."""
        for link in self._live():
            link.stall()

    async def send_raw(self, *messages: bytes | str) -> None:
        """Every link gets these, as they are."""
        for link in list(self._live()):
            for message in messages:
                await link.socket.send(message)

    async def garbage(self) -> None:
        """Every link gets what no client can use."""
        await self.send_raw(
            "{", "[]", "null", '"x"', "[" * 5_000, b"\xff\x00", "{}", '{"type": 7}', '{"message_type": []}'
        )

    def refuse(self, seconds: float) -> None:
        """Nothing listens for so long. The links that are stay."""
        assert self._server is not None
        self._server.close(close_connections=False)
        self._back = asyncio.get_running_loop().create_task(self._come_back(seconds))

    def drop_at(self, step: str) -> None:
        """The link is reset the next time that the protocol comes to `step`; "dial" is the handshake."""
        self.cut_at = step

    def hang_in_dial(self) -> None:
        """The next handshake is never answered."""
        self._fates.append("hang_in_dial")

    def hang_in_setup(self) -> None:
        """The next link never says that it is ready."""
        self._fates.append("hang_in_setup")

    def reject_credentials(self) -> None:
        """The next dial finds its key refused."""
        self._fates.append("401")

    def quota(self) -> None:
        """The next dial finds an account with nothing left."""
        self._fates.append("quota")

    def rate_limit(self, retry_after: float = 2.0) -> None:
        """The next dial is to come again later."""
        self._fates.append(f"429 {retry_after}")

    # --- for its subclasses ---

    def next_fate(self, kind: str) -> bool:
        """Whether the next fate is of this kind; it is used up then."""
        if self._fates and self._fates[0].partition(" ")[0] == kind:
            self._fates.popleft()
            return True
        return False

    def violate(self, what: str) -> None:
        self.violations.append(what)

    def refuse_request(self, request: Request) -> Response | None:
        """What is wrong with a handshake."""
        raise NotImplementedError

    async def converse(self, socket: ServerConnection) -> None:
        """Serve a link until it ends; it is among `sessions` from the beginning."""
        raise NotImplementedError

    # --- inside ---

    def _live(self) -> Iterator[Any]:
        return (link for link in self.sessions if link.live)

    async def _listen(self) -> None:
        self._server = await serve(
            self._serve,
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
        if self.cut_at == "dial":
            self.cut_at = ""
            _reset(socket)
        if self.next_fate("hang_in_dial"):
            await socket.wait_closed()
        retry_after = self._fates[0].partition(" ")[2] if self._fates else ""
        if self.next_fate("429"):
            return refusal(429, "rate_limit_exceeded", {"Retry-After": retry_after})
        if self.next_fate("quota"):
            return refusal(429, "insufficient_quota")
        if self.next_fate("401"):
            return refusal(401, "invalid_api_key")
        return self.refuse_request(request)

    async def _serve(self, socket: ServerConnection) -> None:
        try:
            await self.converse(socket)
        except (ConnectionClosed, Cut):
            pass
        finally:
            for link in self.sessions:
                if link.socket is socket:
                    link.live = False


def _reset(connection: ServerConnection) -> None:
    raw: socket.socket | None = connection.transport.get_extra_info("socket")
    if raw is not None and raw.fileno() >= 0:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.transport.abort()


def refusal(status: int, code: str, headers: Mapping[str, str] | None = None) -> Response:
    """An HTTP answer that is no upgrade."""
    body = json.dumps(
        {"error": {"type": "invalid_request_error", "code": code, "message": f"{code}."}}
    ).encode()
    named = Headers({"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})})
    return Response(status, HTTPStatus(status).phrase, named, body)
