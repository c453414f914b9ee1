"""What goes to a provider over one connection: in order, at its rate, and no faster than it can follow."""

import asyncio
import logging
from collections import deque
from typing import Final

from appliance.audio.resample import Resampler
from appliance.errors import ApplianceError, ProviderUnavailable, kind_and_place
from appliance.frames import Frame
from appliance.interfaces import Capabilities, CommitTurn, Connection, DiscardTurn, ProviderCommand, SendAudio

WORKING_RATE: Final = 16_000
SEND_SECONDS: Final = 2.0
QUEUE_BOUND: Final = 6_000
RESEND_SPEED: Final = 4.0
BURST_MS: Final = 600.0
"""Sent without pacing: the pre-roll is no replay."""
logger = logging.getLogger(__name__)


class Sender:
    """Of one connection, and gone with it."""

    def __init__(self, connection: Connection, provider: str, capabilities: Capabilities) -> None:
        self._connection = connection
        self._provider = provider
        self._queue: deque[ProviderCommand] = deque()
        self._queued = asyncio.Event()
        self._pace = _Pace(unlimited=capabilities.local)
        rate = capabilities.input_rate
        self._resampler = Resampler(WORKING_RATE, rate) if rate != WORKING_RATE else None

    @property
    def waiting(self) -> int:
        """Commands that were put and are not sent."""
        return len(self._queue)

    def put(self, command: ProviderCommand) -> bool:
        """Send it after all that was put before; False, and it is dropped, when too much waits."""
        if len(self._queue) >= QUEUE_BOUND:
            return False
        self._queue.append(command)
        self._queued.set()
        return True

    async def run(self) -> ApplianceError:
        """Until the connection takes nothing any more; return why."""
        while True:
            while self._queue:
                command = self._queue.popleft()
                if isinstance(command, SendAudio):
                    await self._pace.wait(command.frame.duration_ms)
                try:
                    async with asyncio.timeout(SEND_SECONDS):
                        for encoded in self._at_provider_rate(command):
                            await self._connection.send(encoded)
                except TimeoutError:
                    return ProviderUnavailable("the provider takes nothing")
                except ApplianceError as fault:
                    return fault
                except Exception as fault:  # noqa: BLE001 - whatever a provider raises, it is dialled again
                    logger.warning("provider %s failed: %s", self._provider, kind_and_place(fault))
                    return ProviderUnavailable(type(fault).__name__)
            self._queued.clear()
            await self._queued.wait()

    def _at_provider_rate(self, command: ProviderCommand) -> tuple[ProviderCommand, ...]:
        if self._resampler is None:
            return (command,)
        if isinstance(command, SendAudio):
            frame = command.frame
            pcm = self._resampler.process(frame.pcm)
            return (SendAudio(command.turn, Frame(pcm, self._resampler.to_rate, frame.at)),) if pcm else ()
        if isinstance(command, CommitTurn) and (tail := self._resampler.flush()):
            at = asyncio.get_running_loop().time()
            return (SendAudio(command.turn, Frame(tail, self._resampler.to_rate, at)), command)
        if isinstance(command, DiscardTurn):
            self._resampler.flush()
        return (command,)


class _Pace:
    """Lets BURST_MS through at once, and then RESEND_SPEED times real time."""

    def __init__(self, *, unlimited: bool) -> None:
        self._unlimited = unlimited
        self._free_at = 0.0

    async def wait(self, milliseconds: float) -> None:
        if self._unlimited:
            return
        now = asyncio.get_running_loop().time()
        self._free_at = max(self._free_at, now - BURST_MS / 1000 / RESEND_SPEED)
        self._free_at += milliseconds / 1000 / RESEND_SPEED
        if self._free_at > now:
            await asyncio.sleep(self._free_at - now)
