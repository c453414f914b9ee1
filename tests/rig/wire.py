"""A wire between a provider's SDK and its service, which can be cut, be closed for a while, or fall silent.

    async with Wire(host, port) as wire:
        provider = OpenAiRealtime({"base_url": f"http://127.0.0.1:{wire.port}/v1", ...})
        wire.cut(seconds=3.0)      # reset what is open, and refuse what comes for so long
        wire.stall()               # nothing goes through any more, and nobody hangs up

It carries bytes and looks at none: TLS goes through it as it is.
"""

import asyncio
import contextlib
import socket
import struct
from typing import Any, Self

CHUNK = 65_536
_RESET = struct.pack("ii", 1, 0)


class Wire:
    """`opened` are the moments (loop time) at which a connection was let through; `refused` counts the others."""

    def __init__(self, host: str, port: int) -> None:
        self.opened: list[float] = []
        self.refused = 0
        self._target = (host, port)
        self._dead_until = 0.0
        self._silent = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._jobs: set[asyncio.Task[Any]] = set()
        self._ways: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self._reset_all()
        # The copying ends, not who waits for it: a cancelled handler of a stream server is reported as a fault.
        for way in tuple(self._ways):
            way.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    def cut(self, seconds: float = 0.0) -> None:
        """Reset what is open now, and whatever is dialled in the next `seconds`."""
        self._dead_until = asyncio.get_running_loop().time() + seconds
        self._reset_all()

    @property
    def back_at(self) -> float:
        """The loop's second at which the newest cut is over."""
        return self._dead_until

    def stall(self) -> None:
        """From now on nothing goes through, in either direction, also of what is dialled; nobody hangs up."""
        self._silent = True

    def restore(self) -> None:
        """What is dialled from now on goes through."""
        self._silent = False
        self._dead_until = 0.0
        self._reset_all()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() < self._dead_until:
            self.refused += 1
            _reset(writer)
            return
        job = asyncio.current_task()
        assert job is not None
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            self.refused += 1
            _reset(writer)
            return
        self.opened.append(loop.time())
        self._writers |= {writer, far_writer}
        try:
            ways = {
                loop.create_task(self._copy(reader, far_writer)),
                loop.create_task(self._copy(far_reader, writer)),
            }
            self._ways |= ways
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._ways -= ways
        finally:
            self._writers -= {writer, far_writer}
            for end in (writer, far_writer):
                end.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                if self._silent:
                    await asyncio.Event().wait()
                writer.write(data)
                await writer.drain()

    def _reset_all(self) -> None:
        for writer in tuple(self._writers):
            _reset(writer)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Hang up with RST, as a router does that has lost its memory."""
    channel = writer.get_extra_info("socket")
    if channel is not None:
        with contextlib.suppress(OSError):
            channel.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
