"""Programs that speak: text goes in by standard input, samples come out, and none of them outlives its piece."""

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import AsyncGenerator, Sequence
from typing import Final

_PHONEMES: Final = re.compile(r"\[(?=\[)")


async def start(command: Sequence[str]) -> asyncio.subprocess.Process:
    """Run `command` with pipes at both ends. Raise OSError where it cannot be run."""
    pipe, quiet = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    return await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=quiet)


def tell(process: asyncio.subprocess.Process, text: str) -> None:
    """Give it all of its text. As an argument it would show in the process list, and could be an option.

    What stands between [[ and ]] engines take for phonemes, unless a blank keeps the brackets apart.
    """
    stdin = process.stdin
    if stdin is not None:
        with contextlib.suppress(OSError, RuntimeError):  # it has ended already: so does what it says
            stdin.write(_PHONEMES.sub("[ ", text).encode("utf-8", "replace"))
            stdin.close()


async def read(process: asyncio.subprocess.Process, size: int, seconds: float) -> bytes:
    """The next `size` bytes that it says; fewer at its end. Raise TimeoutError when they do not come."""
    if process.stdout is None:
        return b""
    try:
        # Not wait_for: before Python 3.12 it forgets a cancellation that meets a result.
        async with asyncio.timeout(seconds):
            return await process.stdout.readexactly(size)
    except asyncio.IncompleteReadError as rest:
        return rest.partial


async def samples(
    process: asyncio.subprocess.Process, size: int, seconds: float
) -> AsyncGenerator[bytes, None]:
    """What it says from now on, in pieces of `size` bytes, whole samples of 16 bits."""
    while pcm := await read(process, size, seconds):
        yield pcm[: len(pcm) & ~1]


async def end(process: asyncio.subprocess.Process) -> None:
    """At once; at most 2 s."""
    if process.returncode is None:
        # Not process.kill(): it would reap a child that has just ended, and asyncio's watcher complain of the loss.
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(2.0):
            if process.stdout is not None:
                # As long as something is unread, a process does not count as ended.
                await process.stdout.read()
            await process.wait()
