"""Something slow that is made once, in the background, however many wait for it and give up meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Loading(Generic[T]):
    """`make` is begun at the first need, and anew when it failed."""

    def __init__(self, name: str, make: Callable[[], Awaitable[T]]) -> None:
        self._name = name
        self._make = make
        self._task: asyncio.Task[T] | None = None

    async def done(self) -> T:
        """Raise what `make` raised."""
        if self._task is None or _failed(self._task):
            self._task = asyncio.get_running_loop().create_task(self._run(), name=self._name)
        return await asyncio.shield(self._task)

    def forget(self) -> T | None:
        """What was made, if it was; the next need makes it anew."""
        task, self._task = self._task, None
        if task is None or not task.done() or _failed(task):
            return None
        return task.result()

    async def _run(self) -> T:
        return await self._make()


def _failed(task: "asyncio.Task[T]") -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
