"""Bounded byte ring between one producer thread and one consumer thread, without a lock that either could hold."""

import threading
import time
from collections import deque
from typing import Final, NamedTuple

NO_TIME: Final = 0.0


class Block(NamedTuple):
    """What one `write` put in, or the rest of it: `at` is the monotonic second of the last sample."""

    pcm: bytes
    at: float


class Ring:
    """Keeps the newest `capacity` bytes.

    One thread writes, one thread reads; `write` never waits. When the ring is full the oldest block goes, and
    `overruns` and `overrun_bytes` count it; a `read` that finds less than it asked for adds one to `underruns`.
    Each counter has one writing thread and may be read by any.
    """

    def __init__(self, capacity: int) -> None:
        if capacity <= 0:
            raise ValueError("a ring needs a capacity above zero")
        self.capacity = capacity
        self.overruns = 0
        self.overrun_bytes = 0
        self.underruns = 0
        self._blocks: deque[Block] = deque()
        self._written = 0
        self._taken = 0
        self._awaited = 1
        self._woken = False
        # A bare lock serves as a binary semaphore: release() never waits; Event.set() may wait for its inner lock.
        self._signal = threading.Lock()
        self._signal.acquire()

    @property
    def available(self) -> int:
        """Bytes that can be read; exact on the reading thread, a lower bound on others."""
        return max(0, self._written - self.overrun_bytes - self._taken)

    def write(self, pcm: bytes, at: float = NO_TIME) -> None:
        """Producer's thread: add `pcm`; drop the oldest blocks beyond the capacity."""
        size = len(pcm)
        if not size:
            return
        if size > self.capacity:
            self.overruns += 1
            self.overrun_bytes += size - self.capacity
            pcm = pcm[size - self.capacity :]
        self._blocks.append(Block(pcm, at))
        self._written += size
        while self.available > self.capacity and self._drop_oldest():
            pass
        # A reader says how much it waits for before it looks how much there is: it misses nothing.
        if self.available >= self._awaited:
            self._notify()

    def _drop_oldest(self) -> bool:
        try:
            block = self._blocks.popleft()
        except IndexError:
            return False
        self.overruns += 1
        self.overrun_bytes += len(block.pcm)
        return True

    def wake(self) -> None:
        """Any thread: end the reader's present or next `wait`, so that it looks at other things."""
        self._woken = True
        self._notify()

    def _notify(self) -> None:
        if self._signal.locked():
            try:
                self._signal.release()
            except RuntimeError:
                # Two threads woke the reader at the same moment; once is enough.
                return

    def next_block(self) -> Block | None:
        """Consumer's thread: the oldest block, or None."""
        try:
            block = self._blocks.popleft()
        except IndexError:
            return None
        self._taken += len(block.pcm)
        return block

    def next_blocks(self, size: int) -> Block | None:
        """Consumer's thread: the oldest blocks, together `size` bytes or more where there are so many; or None."""
        first = self.next_block()
        if first is None or len(first.pcm) >= size:
            return first
        parts, at, missing = [first.pcm], first.at, size - len(first.pcm)
        while missing > 0 and (block := self.next_block()) is not None:
            parts.append(block.pcm)
            at, missing = block.at, missing - len(block.pcm)
        return Block(b"".join(parts), at)

    def read(self, size: int) -> bytes:
        """Consumer's thread: at most `size` bytes, oldest first."""
        parts: list[bytes] = []
        missing = size
        while missing > 0:
            block = self.next_block()
            if block is None:
                self.underruns += 1
                break
            if len(block.pcm) > missing:
                rest = Block(block.pcm[missing:], block.at)
                self._blocks.appendleft(rest)
                self._taken -= len(rest.pcm)
                block = Block(block.pcm[:missing], block.at)
            parts.append(block.pcm)
            missing -= len(block.pcm)
        return b"".join(parts)

    def discard(self, size: int) -> int:
        """Consumer's thread: drop at most `size` of the oldest bytes; return how many."""
        return len(self.read(min(size, self.available)))

    def wait(self, size: int, timeout: float) -> bool:
        """Consumer's thread: wait until `size` bytes can be read or `wake` is called, at most `timeout` seconds.

        Return whether `size` bytes can be read. The thread sleeps on while there are fewer.
        """
        self._awaited = size
        deadline = time.monotonic() + timeout
        while self.available < size and not self._woken:
            left = deadline - time.monotonic()
            if left <= 0 or not self._signal.acquire(timeout=left):
                break
        self._woken = False
        return self.available >= size
