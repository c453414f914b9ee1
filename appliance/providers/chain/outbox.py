"""The events of a connection on their way to the session: in order, bounded, withdrawn when an answer is cancelled."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from appliance.errors import ApplianceError
from appliance.interfaces import ProviderEvent, ResponseAudio, ResponseText

BOUND: Final = 64
_REMEMBERED: Final = 16
_SPOKEN: Final = (ResponseAudio, ResponseText)


class Outbox:
    """Belongs to the loop's thread. Text and sound wait for room; what must be known at once overtakes them."""

    def __init__(self, bound: int = BOUND) -> None:
        self._bound = bound
        self._spoken: deque[ProviderEvent] = deque()
        self._urgent: deque[ProviderEvent] = deque()
        self._withdrawn: deque[str] = deque(maxlen=_REMEMBERED)
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._fault: ApplianceError | None = None
        self._closed = False

    async def put(self, event: ProviderEvent) -> None:
        """Wait until the session has read on, then add: that is how a voice is held back."""
        while len(self._spoken) >= self._bound and not self._closed:
            self._room.clear()
            await self._room.wait()
        self.add(event)

    def add(self, event: ProviderEvent) -> None:
        """In order with what is spoken, without waiting: for the few events that frame an answer."""
        if not self._closed and not self._is_withdrawn(event):
            self._spoken.append(event)
            self._news.set()

    def tell(self, event: ProviderEvent) -> None:
        """Before all that is to be spoken: what was understood, calls, troubles."""
        if not self._closed:
            self._urgent.append(event)
            self._news.set()

    def withdraw(self, response: str) -> None:
        """Drop what is left of an answer's sound and text, and what is still put in of it."""
        self._withdrawn.append(response)
        self._spoken = deque(event for event in self._spoken if not self._is_withdrawn(event))
        self._room.set()

    def close(self, fault: ApplianceError | None = None) -> None:
        """Nothing more is given out; whoever reads learns of `fault`."""
        if self._closed:
            return
        self._closed = True
        self._fault = fault
        self._spoken.clear()
        self._urgent.clear()
        self._news.set()
        self._room.set()

    async def events(self) -> AsyncIterator[ProviderEvent]:
        while not self._closed:
            if self._urgent:
                yield self._urgent.popleft()
            elif self._spoken:
                event = self._spoken.popleft()
                self._room.set()
                yield event
            else:
                self._news.clear()
                await self._news.wait()
        if self._fault is not None:
            raise self._fault

    def _is_withdrawn(self, event: ProviderEvent) -> bool:
        return isinstance(event, _SPOKEN) and event.response in self._withdrawn
