"""An event loop whose clock jumps: a wait of an hour takes no time, and everything happens in the same order each run.

@virtual_time
async def test_...(): ...
"""

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

REAL_PATIENCE_SECONDS = 5.0
"""For threads, which know no virtual time: how long the loop waits for one when it has nothing else to wait for."""

THREAD_PERIOD_SECONDS = 0.05


class NothingWillHappen(RuntimeError):
    """Every task waits for something that nobody is going to do."""


class _Selector(selectors.SelectSelector):
    """Instead of waiting, turns the clock."""

    def __init__(self, turn: Callable[[float], None], threads_busy: Callable[[], bool]) -> None:
        super().__init__()
        self.woken = False
        """A thread has written to the loop's own socket. Where no other is watched, nothing else can have happened."""
        self._turn = turn
        self._threads_busy = threads_busy

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._ready()
        if ready or timeout == 0:
            return ready
        if self._threads_busy():
            return super().select(THREAD_PERIOD_SECONDS)
        if timeout is not None:
            self._turn(timeout)
            return []
        ready = super().select(REAL_PATIENCE_SECONDS)
        if not ready:
            raise NothingWillHappen
        return ready

    def _ready(self) -> list[tuple[selectors.SelectorKey, int]]:
        if not self.woken and len(self.get_map()) == 1:
            return []
        self.woken = False
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time()` starts at 1000 s, so that a zero is never mistaken for a time."""

    def __init__(self) -> None:
        self._virtual_now = 1000.0
        self._in_threads = 0
        self._own_selector = _Selector(self._turn_clock, lambda: self._in_threads > 0)
        super().__init__(self._own_selector)

    def time(self) -> float:
        return self._virtual_now

    def _write_to_self(self) -> None:
        super()._write_to_self()  # type: ignore[misc]
        self._own_selector.woken = True

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*_Ts], _T], *args: *_Ts
    ) -> asyncio.Future[_T]:
        """The clock stands still while a thread works for the loop."""
        self._in_threads += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._thread_done)
        return future

    def _thread_done(self, _: asyncio.Future[Any]) -> None:
        self._in_threads -= 1

    def _turn_clock(self, seconds: float) -> None:
        self._virtual_now += seconds


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run `work` on a virtual loop of its own; return what it returns."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)


def virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Make a plain test of an async one, on a virtual loop."""

    @functools.wraps(test)
    def in_virtual_time(*args: Any, **kwargs: Any) -> None:
        run(test(*args, **kwargs))

    return in_virtual_time
