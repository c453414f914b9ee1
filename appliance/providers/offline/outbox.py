"""The events on their way to the session: in order, bounded, and withdrawn when an answer is cancelled."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from appliance.interfaces import ProviderEvent, ResponseAudio, ResponseText

BOUND: Final = 64


class Outbox:
    """Belongs to the loop's thread."""

    def __init__(self, bound: int = BOUND) -> None:
        self._bound = bound
        self._events: deque[ProviderEvent] = deque()
        self._ready = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._closed = False

    async def put(self, event: ProviderEvent) -> None:
        """Wait until the session has read on, then add: that is how the provider is held back."""
        while len(self._events) >= self._bound and not self._closed:
            self._room.clear()
            await self._room.wait()
        self.add(event)

    def add(self, event: ProviderEvent) -> None:
        """Add without waiting: for the few events that frame an answer."""
        if not self._closed:
            self._events.append(event)
            self._ready.set()

    def withdraw(self, response: str) -> None:
        """Drop what is left of the answer's sound and text."""
        kinds = (ResponseAudio, ResponseText)
        kept = [
            event for event in self._events if not (isinstance(event, kinds) and event.response == response)
        ]
        self._events = deque(kept)
        self._room.set()

    def close(self) -> None:
        """Nothing more is given out."""
        self._closed = True
        self._events.clear()
        self._ready.set()
        self._room.set()

    async def events(self) -> AsyncIterator[ProviderEvent]:
        """What is put in, until `close`."""
        while not self._closed:
            if self._events:
                event = self._events.popleft()
                self._room.set()
                yield event
            else:
                self._ready.clear()
                await self._ready.wait()
