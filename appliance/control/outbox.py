"""What waits to be sent to one client: bounded by number, bytes and age."""

import asyncio
from collections import deque

from appliance.control.limits import Limits

Message = str | bytes


class Outbox:
    """A queue that never blocks whoever fills it. Past its bounds it is `overfull`, and its client is to be let go."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._messages: deque[tuple[Message, float]] = deque()
        self._sending: tuple[Message, float] | None = None
        self._bytes = 0
        self.audio_bytes = 0
        """Audio among what waits: it has not been heard yet."""
        self._filled = asyncio.Event()
        self.dropped = 0

    def put(self, message: Message, now: float, *, lossy: bool = False) -> None:
        """Queue `message`; a lossy one is dropped, and counted, once the client lags behind."""
        if lossy and len(self._messages) >= self._limits.lossy_above:
            self.dropped += 1
            return
        if self.overfull(now):
            self.dropped += 1
            return
        self._messages.append((message, now))
        self._bytes += len(message)
        if isinstance(message, bytes):
            self.audio_bytes += len(message)
        self._filled.set()

    async def take(self) -> Message:
        """The next message, as soon as there is one."""
        self._sending = None
        while not self._messages:
            self._filled.clear()
            await self._filled.wait()
        self._sending = self._messages.popleft()
        message = self._sending[0]
        self._bytes -= len(message)
        if isinstance(message, bytes):
            self.audio_bytes -= len(message)
        return message

    def overfull(self, now: float) -> bool:
        """True when the client reads too slowly to be kept."""
        oldest = self._sending or (self._messages[0] if self._messages else None)
        return (
            len(self._messages) >= self._limits.outbox_messages
            or self._bytes >= self._limits.outbox_bytes
            or (oldest is not None and now - oldest[1] > self._limits.stalled_after)
        )

    def waiting(self) -> int:
        return len(self._messages)
