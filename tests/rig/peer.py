"""A program beside a test: in a directory of its own, on ports of its own, gone with the test."""

import asyncio
import contextlib
import ctypes
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

_given_out = itertools.count(0)


def free_port() -> int:
    """A port free for UDP and TCP on 127.0.0.1, outside the kernel's ephemeral range, not given out twice."""
    for _ in range(2000):
        port = 10_000 + (os.getpid() * 97 + next(_given_out) * 2) % 20_000
        with socket.socket(type=socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            try:
                udp.bind(("127.0.0.1", port))
                tcp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port")


def free_range(size: int) -> int:
    """The first of `size` ports in a row that are free now."""
    while True:
        first = free_port() & ~1
        if all(_is_free(port) for port in range(first, first + size)):
            next_free = size // 2
            for _ in range(next_free):
                next(_given_out)
            return first


def _is_free(port: int) -> bool:
    with socket.socket(type=socket.SOCK_DGRAM) as udp:
        try:
            udp.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def start_process(
    arguments: list[str], directory: Path, log: str, *, stdin: int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    with (directory / log).open("ab") as output:
        return subprocess.Popen(
            arguments,
            cwd=directory,
            stdin=stdin,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # Popen's thread is the test's main thread, which outlives every peer.
            preexec_fn=_die_with_parent,  # noqa: PLW1509
        )


def end_process(process: subprocess.Popen[bytes], sign: signal.Signals = signal.SIGTERM) -> None:
    for kind in (sign, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, kind)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(3.0)
            return


async def until(condition: Callable[[], object], seconds: float = 10.0, what: str = "") -> None:
    """Wait for it, or fail."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what or condition}"
        await asyncio.sleep(0.02)


class Peer:
    """A directory and a process; subclasses say how it starts and put it into `process`."""

    def __init__(self, name: str) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix=f"handset-{name}-"))
        self.process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        raise NotImplementedError

    async def stop(self, sign: signal.Signals = signal.SIGTERM) -> None:
        process, self.process = self.process, None
        if process is not None:
            await asyncio.to_thread(end_process, process, sign)

    def log(self) -> str:
        return "".join(
            path.read_text(errors="replace")[-4000:] for path in sorted(self.directory.glob("*.log"))
        )

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self._leave()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._leave()

    async def _leave(self) -> None:
        await self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)
