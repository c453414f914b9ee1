"""Dials: a provider's library loaded first, one deadline over each dial, and what comes too late closed, never used."""

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from typing import Any, Final, TypeVar

from appliance.errors import ApplianceError, ProviderUnavailable, kind_and_place
from appliance.interfaces import Connection, Provider, Setup

WARM_SECONDS: Final = 60.0
"""What loading a provider's library may take; a small device needs a fifth of that for the largest."""
NOTICEABLE_SECONDS: Final = 0.05
CLOSE_SECONDS: Final = 1.5
logger = logging.getLogger(__name__)
T = TypeVar("T")


class Dialler:
    """One per link, on the loop's thread. Whatever a provider's own code does, a dial is answered or has failed."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loaded: set[str] = set()
        self._bugs: set[str] = set()
        """What went wrong in a provider's own code, and was logged."""
        self._late: set[asyncio.Task[Any]] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._deadline: asyncio.Timeout | None = None
        self._counters = {"dials": 0, "probes": 0}

    def counters(self) -> Mapping[str, int]:
        return self._counters

    @property
    def hurriable(self) -> bool:
        """A dial is under way whose deadline `hurry` may bring forward."""
        return self._deadline is not None

    def hurry(self, until: float) -> None:
        reschedule(self._deadline, until)

    async def warm(self, provider: Provider) -> bool:
        """Have the library loaded, which no dial's deadline is for; return whether that took time, the first time."""
        began = self._loop.time()
        loading = self._begin(provider.warm(), f"load {provider.name}")
        await asyncio.wait({loading}, timeout=WARM_SECONDS)
        if not loading.done():
            loading.cancel()
            raise ProviderUnavailable(f"{provider.name} did not load in time")
        self._outcome(loading, provider.name)
        # On a busy device the look whether it is loaded takes time too, and must not put off the next rung for ever.
        first = provider.name not in self._loaded
        self._loaded.add(provider.name)
        return first and self._loop.time() - began > NOTICEABLE_SECONDS

    async def dial(
        self, provider: Provider, setup: Setup, patience: float, *, probe: bool = False
    ) -> Connection:
        """One deadline over all of it. `probe`: another one serves meanwhile. Raise what `Provider.connect` raises."""
        self._counters["probes" if probe else "dials"] += 1
        dial = self._begin(provider.connect(setup), f"dial {provider.name}")
        try:
            async with asyncio.timeout(patience) as deadline:
                if not probe and not provider.capabilities.local:
                    self._deadline = deadline
                await asyncio.wait({dial})
        except TimeoutError:
            pass
        except asyncio.CancelledError:
            self._drop(dial)
            raise
        finally:
            if not probe:
                self._deadline = None
        if not dial.done():
            self._drop(dial)
            raise ProviderUnavailable(f"{provider.name} did not answer in time")
        return self._outcome(dial, provider.name)

    def let_go(self, connection: Connection) -> asyncio.Task[None]:
        """Close it beside what goes on: a path that is dead keeps nobody waiting."""
        closing = self._loop.create_task(_close(connection), name="close connection")
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        return closing

    def stop(self) -> set[asyncio.Task[Any]]:
        """Give up what is under way; return the tasks that have yet to end."""
        for late in self._late:
            late.cancel()
        return {*self._late, *self._closing}

    def _begin(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """As a task that does not outlive the link."""
        task = self._loop.create_task(work, name=name)
        self._late.add(task)
        task.add_done_callback(self._late.discard)
        return task

    def _drop(self, dial: asyncio.Task[Connection]) -> None:
        dial.add_done_callback(self._close_late)
        dial.cancel()

    def _close_late(self, dial: asyncio.Task[Connection]) -> None:
        if not dial.cancelled() and dial.exception() is None:
            self.let_go(dial.result())

    def _outcome(self, task: asyncio.Task[T], provider: str) -> T:
        """What a finished task came to; a bug of the provider's, or a stray cancellation, is a dial that failed."""
        try:
            return task.result()
        except ApplianceError:
            raise
        except asyncio.CancelledError as fault:
            raise ProviderUnavailable(f"{provider} broke off") from fault
        except Exception as fault:
            bug = f"{provider}: {type(fault).__name__}"
            if bug not in self._bugs:
                self._bugs.add(bug)
                logger.warning("provider %s failed to connect: %s", provider, kind_and_place(fault))
            raise ProviderUnavailable(bug) from fault


async def _close(connection: Connection) -> None:
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await connection.close()
    except Exception as fault:  # noqa: BLE001 - it is being left
        logger.warning("a provider's connection did not close: %s", kind_and_place(fault))


def reschedule(timeout: asyncio.Timeout | None, when: float) -> None:
    """Move it, unless it is over."""
    if timeout is not None and not timeout.expired():
        timeout.reschedule(when)
