"""What a connection tells its one listener: events in order, and at the end why it ended."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

from appliance.errors import ApplianceError, ProviderUnavailable, kind_and_place

Event = TypeVar("Event")
logger = logging.getLogger(__name__)


class Feed(Generic[Event]):
    """Belongs to the loop's thread.

    Iterating gives out what was said until the connection ended, then raises the fault if that is why; once it is
    closed on our side, nothing more.
    """

    def __init__(self, service: str, events: deque[Event] | None = None) -> None:
        """`service` names it in faults. `events` may be filled by somebody else, who says so with `wake`."""
        self.events: deque[Event] = deque() if events is None else events
        self.over = False
        self._service = service
        self._fault: ApplianceError | None = None
        self._closed = False
        self._news = asyncio.Event()

    def add(self, event: Event) -> None:
        self.events.append(event)
        self.wake()

    def keep(self, wanted: Callable[[Event], bool]) -> None:
        """Take back the others, as far as they were not given out."""
        kept = [event for event in self.events if wanted(event)]
        self.events.clear()
        self.events.extend(kept)

    def wake(self) -> None:
        """There is something new in `events`."""
        self._news.set()

    def check(self) -> None:
        """Raise ProviderUnavailable once the connection has ended."""
        if self.over:
            raise ProviderUnavailable(f"{self._service}: the connection is gone")

    def end(self, fault: ApplianceError | None) -> bool:
        """The connection has ended, with a fault or as it was asked to. False where it had before: the first counts."""
        if self.over:
            return False
        self.over = True
        self._fault = fault
        self._news.set()
        return True

    def close(self) -> bool:
        """Give nothing out any more. False where it was closed before."""
        if self._closed:
            return False
        self._closed = True
        self._news.set()
        return True

    def fault_of(self, task: asyncio.Task[None]) -> ApplianceError | None:
        """What a task of the connection that is done died of; None where it ended well, or was cancelled."""
        fault = None if task.cancelled() else task.exception()
        if fault is None or isinstance(fault, ApplianceError):
            return fault
        logger.error("%s failed: %s", task.get_name(), kind_and_place(fault))
        return ProviderUnavailable(f"{self._service}: {type(fault).__name__}")

    async def __aiter__(self) -> AsyncIterator[Event]:
        while not self._closed:
            if self.events:
                yield self.events.popleft()
            elif self.over:
                break
            else:
                self._news.clear()
                await self._news.wait()
        if self._fault is not None and not self._closed:
            raise self._fault
