"""What the fakes of cloud services have in common: a server of one's own that comes and goes, and links that break.

`socket_service.py` is for services with a WebSocket, `http_service.py` and `streamed_answers.py` are for those without.
"""

import asyncio
import socket
import ssl
import struct
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, Self

from tests.fakes.certificate import loopback_certificate


class Cut(Exception):
    """The link is gone, as `drop_at` had it."""


class Listener(Protocol):
    """A server that is open."""

    @property
    def sockets(self) -> Sequence[Any]: ...

    def close(self) -> None: ...

    async def wait_closed(self) -> None: ...


class Service(ABC):
    """All of it belongs to one loop."""

    key = "key-of-a-test"
    path = ""
    """What its address ends with."""

    def __init__(self, *, tls: bool = False) -> None:
        self.port = 0
        self.violations: list[str] = []
        """Whatever was refused that a client should know not to do."""
        self._tls = tls
        self._step = ""
        self._listener: Listener | None = None
        self._back: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._back is not None:
            self._back.cancel()
        self.drop()
        if self._listener is not None:
            self._listener.close()
            await self._listener.wait_closed()

    @property
    def base_url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}{self.path}"

    @property
    def certificate(self) -> Path:
        """Of a server with `tls`: what SSL_CERT_FILE must name."""
        return loopback_certificate()[0]

    # --- what it is told ---

    @abstractmethod
    def drop(self) -> None:
        """Every link is reset."""

    def refuse(self, seconds: float) -> None:
        """Nothing listens for so long. The links that are stay."""
        self.close_listener()
        self._back = asyncio.get_running_loop().create_task(self._come_back(seconds))

    def drop_at(self, step: str) -> None:
        """The link is reset the next time that the protocol comes to `step`."""
        self._step = step

    # --- for its links ---

    def cuts(self, step: str) -> bool:
        """Whether the link is to be reset now, since the protocol has come to `step`; once."""
        if self._step != step:
            return False
        self._step = ""
        return True

    def violate(self, what: str) -> None:
        self.violations.append(what)

    # --- for its subclasses ---

    @abstractmethod
    async def listen(self) -> Listener:
        """Listen at `port`, or anywhere where that is 0; with `security()`."""

    def close_listener(self) -> None:
        """Listen no more; the links that are stay."""
        assert self._listener is not None
        self._listener.close()

    def security(self) -> ssl.SSLContext | None:
        if not self._tls:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*loopback_certificate())
        return context

    # --- inside ---

    async def _open(self) -> None:
        self._listener = await self.listen()
        self.port = next(iter(self._listener.sockets)).getsockname()[1]

    async def _come_back(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self._open()


def reset(transport: asyncio.WriteTransport) -> None:
    """RST, as a router sends it that has forgotten the connection."""
    raw: socket.socket | None = transport.get_extra_info("socket")
    if raw is not None and raw.fileno() >= 0:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
