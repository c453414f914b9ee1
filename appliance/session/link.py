"""The connection to a provider: dialled, kept up, dialled again, down the ladder where one cannot be reached.

Every connection has a generation. Its reader and its writer die with it, so nothing of an old one reaches the session.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from appliance.audio.resample import Resampler
from appliance.errors import ApplianceError, ProviderUnavailable
from appliance.frames import Frame
from appliance.interfaces import (
    Capabilities,
    CommitTurn,
    Connection,
    Provider,
    ProviderCommand,
    ProviderEvent,
    SendAudio,
    Setup,
)
from appliance.session.ladder import Ladder

DIAL_SECONDS: Final = 10.0
LOCAL_DIAL_SECONDS: Final = 30.0
HOPELESS_SECONDS: Final = 20.0
SEND_SECONDS: Final = 2.0
CLOSE_SECONDS: Final = 1.5
QUEUE_BOUND: Final = 6_000
RESEND_SPEED: Final = 4.0
BURST_MS: Final = 600.0
"""Sent without pacing: the pre-roll is no replay."""
logger = logging.getLogger(__name__)


class LinkListener(Protocol):
    """The session, as its link sees it. All calls come on the loop's thread."""

    def setup(self) -> Setup: ...

    def link_rose(self) -> None:
        """Connected: commands may be sent, what is unanswered first."""
        ...

    def link_fell(self, reason: str) -> None:
        """The connection that rose is gone."""
        ...

    def dial_failed(self, provider: str, fault: ApplianceError) -> None: ...

    def take(self, event: ProviderEvent) -> None: ...

    async def room(self) -> None:
        """Wait until a paced provider may go on."""
        ...


class Link:
    """One per session. `start` dials; from then on it dials again whenever the connection is lost, until `close`."""

    def __init__(self, providers: Sequence[Provider], listener: LinkListener, ladder: Ladder) -> None:
        self.up = False
        self.hopeless = False
        """No provider will be dialled for a long time: all have refused."""
        self.generation = 0
        self._providers = providers
        self._listener = listener
        self._ladder = ladder
        self._queue: deque[ProviderCommand] = deque()
        self._queued = asyncio.Event()
        self._broken = asyncio.Event()
        self._resampler: Resampler | None = None
        self._task: asyncio.Task[None] | None = None
        self._late: set[asyncio.Task[Connection]] = set()
        self._counters = {"dials": 0, "dials_failed": 0, "link_drops": 0, "uplink_dropped": 0}

    @property
    def provider(self) -> Provider:
        """The rung in use or being dialled."""
        return self._providers[self._ladder.rung]

    @property
    def capabilities(self) -> Capabilities:
        return self.provider.capabilities

    def counters(self) -> Mapping[str, int]:
        return {**self._counters, "uplink_queued": len(self._queue)}

    def start(self) -> asyncio.Task[None]:
        """Begin to dial. The task ends only by `close` or by a bug of ours, which it raises."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="link")
        return self._task

    def send(self, command: ProviderCommand) -> None:
        """Queue `command` for the present connection; without one it is dropped: the journal holds what matters."""
        if not self.up:
            return
        if len(self._queue) >= QUEUE_BOUND:
            self._counters["uplink_dropped"] += 1
            self._broken.set()
            return
        self._queue.append(command)
        self._queued.set()

    async def close(self) -> None:
        """Hang up, for good; at most 2 s."""
        task, self._task = self._task, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()
            await asyncio.wait({task}, timeout=2.0)
        for late in tuple(self._late):
            late.cancel()
        if self._late:
            await asyncio.wait(tuple(self._late), timeout=0.2)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._ladder.dialling(loop.time())
            provider = self.provider
            try:
                connection = await self._dial(provider)
            except ApplianceError as fault:
                now = loop.time()
                pause = self._ladder.failed(now) if fault.retryable else self._ladder.refused(now)
                self._counters["dials_failed"] += 1
                self._listener.dial_failed(provider.name, fault)
            else:
                self._ladder.rose(loop.time())
                reason = await self._serve(connection)
                pause = self._ladder.fell(loop.time())
                self._listener.link_fell(reason)
            self.hopeless = pause > HOPELESS_SECONDS
            await asyncio.sleep(pause)
            self.hopeless = False

    async def _dial(self, provider: Provider) -> Connection:
        """One deadline over all of it. A connection that comes later is closed, not used."""
        longest = LOCAL_DIAL_SECONDS if provider.capabilities.local else DIAL_SECONDS
        loop = asyncio.get_running_loop()
        patience = longest if provider.capabilities.local else self._ladder.patience(loop.time(), longest)
        self._counters["dials"] += 1
        dial = loop.create_task(provider.connect(self._listener.setup()), name=f"dial {provider.name}")
        self._late.add(dial)
        dial.add_done_callback(self._late.discard)
        try:
            await asyncio.wait({dial}, timeout=patience)
            if not dial.done():
                raise ProviderUnavailable(f"{provider.name} did not answer within {patience:.1f} s")
            return dial.result()
        except ApplianceError:
            raise
        except Exception as fault:
            logger.warning("provider %s failed to connect", provider.name, exc_info=True)
            raise ProviderUnavailable(f"{provider.name}: {type(fault).__name__}") from fault
        finally:
            if not dial.done():
                dial.add_done_callback(_close_late)
                dial.cancel()

    async def _serve(self, connection: Connection) -> str:
        """Until it is lost; return why."""
        self.generation += 1
        self._queue.clear()
        self._broken.clear()
        rate = self.capabilities.input_rate
        self._resampler = Resampler(16_000, rate) if rate != 16_000 else None
        self.up = True
        self._listener.link_rose()
        loop = asyncio.get_running_loop()
        jobs = {
            loop.create_task(self._read(connection), name="link reader"),
            loop.create_task(self._write(connection), name="link writer"),
            loop.create_task(self._watch(), name="link watch"),
        }
        try:
            done, _ = await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
            self._counters["link_drops"] += 1
            return "; ".join(sorted(job.result() for job in done))
        finally:
            self.up = False
            self._queue.clear()
            for job in jobs:
                job.cancel()
            await asyncio.wait(jobs, timeout=CLOSE_SECONDS)
            await _close(connection)

    async def _read(self, connection: Connection) -> str:
        events = aiter(connection)
        while True:
            try:
                event = await anext(events)
            except StopAsyncIteration:
                return "the provider hung up"
            except ProviderUnavailable as fault:
                return fault.message
            except Exception as fault:
                logger.warning("provider %s failed", self.provider.name, exc_info=True)
                return type(fault).__name__
            self._listener.take(event)
            if self.capabilities.paced:
                await self._listener.room()

    async def _write(self, connection: Connection) -> str:
        pace = _Pace(unlimited=self.capabilities.local)
        while True:
            while self._queue:
                command = self._queue.popleft()
                if isinstance(command, SendAudio):
                    await pace.wait(command.frame.duration_ms)
                try:
                    async with asyncio.timeout(SEND_SECONDS):
                        for encoded in self._at_provider_rate(command):
                            await connection.send(encoded)
                except TimeoutError:
                    return "the provider takes nothing"
                except ProviderUnavailable as fault:
                    return fault.message
                except Exception as fault:
                    logger.warning("provider %s failed", self.provider.name, exc_info=True)
                    return type(fault).__name__
            self._queued.clear()
            await self._queued.wait()

    async def _watch(self) -> str:
        await self._broken.wait()
        return "the provider takes less than is said"

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


async def _close(connection: Connection) -> None:
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await connection.close()
    except Exception:
        logger.warning("a provider's connection did not close", exc_info=True)


def _close_late(dial: asyncio.Task[Connection]) -> None:
    if not dial.cancelled() and dial.exception() is None:
        closing = asyncio.get_running_loop().create_task(_close(dial.result()), name="close late dial")
        _closing.add(closing)
        closing.add_done_callback(_closing.discard)


_closing: Final[set[asyncio.Task[None]]] = set()
