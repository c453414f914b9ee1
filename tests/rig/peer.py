"""A program beside a test: in a directory of its own, on ports of its own, gone with the test."""

import asyncio
import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self


def _begin_as_a_child() -> None:
    """Dies with its parent, and heeds an interrupt also when the tests run in the background, which ignores it."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


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
            preexec_fn=_begin_as_a_child,  # noqa: PLW1509
        )


def end_process(process: subprocess.Popen[bytes], sign: signal.Signals = signal.SIGTERM) -> None:
    for kind in (sign, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, kind)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(3.0)
            return


async def until(
    condition: Callable[[], object], seconds: float = 10.0, what: str = "", *, every: float = 0.02
) -> None:
    """Wait for it, or fail; `every` is longer where it takes a while to look."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what or condition}"
        await asyncio.sleep(every)


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
