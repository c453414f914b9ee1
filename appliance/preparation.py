"""What takes a small device seconds and is needed once: a library imported, a client or a model built."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

Built = TypeVar("Built")


class Preparation(Generic[Built]):
    """Built in a thread, once, however many wait for it and give up meanwhile; anew when it failed."""

    def __init__(self, build: Callable[[], Built], name: str) -> None:
        self._build = build
        self._name = name
        self._task: asyncio.Task[Built] | None = None

    async def ready(self) -> Built:
        """Raise what `build` raises."""
        if self._task is None or _failed(self._task):
            work = asyncio.to_thread(self._build)
            self._task = asyncio.get_running_loop().create_task(work, name=self._name)
            # When nobody waits any more, its failure is told to the next who asks.
            self._task.add_done_callback(_failed)
        return await asyncio.shield(self._task)

    async def taken_back(self) -> Built | None:
        """What was built, to be closed; the next `ready` builds anew. At most 1 s."""
        task, self._task = self._task, None
        if task is None:
            return None
        if not task.done():
            await asyncio.wait({task}, timeout=1.0)
        return None if not task.done() or _failed(task) else task.result()


def _failed(task: asyncio.Task[Built]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
