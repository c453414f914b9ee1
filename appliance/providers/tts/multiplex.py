"""Several pieces spoken at once: a socket for each key, kept for the next piece, dialled anew when it is gone."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from appliance.errors import ApplianceError, ProviderUnavailable
from appliance.providers.tts.link import Dialect, Link, Socket
from appliance.providers.tts.places import Places
from appliance.providers.tts.terms import Terms
from appliance.providers.tts.utterance import Utterance
from appliance.stages import Sound


@dataclass(slots=True)
class _Dial:
    """A dial that several wait for."""

    task: asyncio.Task[Link]
    waiting: int = 0


class Multiplex:
    """The links of one stage, at most one for each key that is not full. `dial` returns a socket for a key."""

    def __init__(
        self,
        dialect: Dialect,
        dial: Callable[[Any], Awaitable[Socket]],
        unreachable: Callable[[BaseException], ApplianceError],
        *,
        parallel: int,
        terms: Terms,
    ) -> None:
        self._dialect = dialect
        self._dialled = dial
        self._unreachable = unreachable
        self._terms = terms
        self._links: dict[Hashable, Link] = {}
        self._all: set[Link] = set()
        self._dials: dict[Hashable, _Dial] = {}
        self._past: Counter[str] = Counter()
        self._places = Places(dialect.name, parallel, terms.patience * 2)

    def counters(self) -> Mapping[str, int]:
        """What came and could not be used."""
        return sum((link.counts for link in self._all), self._past)

    async def speak(self, utterance: Utterance, key: Hashable) -> AsyncGenerator[Sound, None]:
        """Yield its sounds; closing cancels it. Raise its fault."""
        changed = asyncio.Event()
        utterance.changed = changed.set
        utterance.ended = await self._places.take()
        try:
            while True:
                link = await self._link(key)
                async with contextlib.aclosing(self._spoken(utterance, link, changed)) as sounds:
                    async for sound in sounds:
                        yield sound
                if not (utterance.lost and link.kept and not utterance.came):
                    break
                # The link was given up while it stood idle, and that was noticed only now: nothing was spoken yet.
                utterance.ask_again()
        finally:
            utterance.ended()
        if utterance.fault is not None:
            raise utterance.fault

    async def close(self) -> None:
        """Idempotent; at most 2 s."""
        for dial in self._dials.values():
            dial.task.cancel()
        await asyncio.gather(*(link.close() for link in self._all))

    # --- inside ---

    async def _spoken(
        self, utterance: Utterance, link: Link, changed: asyncio.Event
    ) -> AsyncGenerator[Sound, None]:
        context = link.begin(utterance)
        try:
            while True:
                while utterance.sounds:
                    yield utterance.sounds.popleft()
                if utterance.over:
                    break
                changed.clear()
                await self._next(changed, link, utterance)
        finally:
            link.leave(context)

    async def _next(self, changed: asyncio.Event, link: Link, utterance: Utterance) -> None:
        complete = utterance.complete
        try:
            async with asyncio.timeout(self._terms.ending if complete else self._terms.patience):
                await changed.wait()
        except TimeoutError:
            # Whatever holds up this context may hold up the next ones.
            link.retire()
            if not complete:
                raise ProviderUnavailable(f"{self._dialect.name} fell silent") from None
            utterance.counts["unended"] += 1
            utterance.end()

    async def _link(self, key: Hashable) -> Link:
        link = self._links.get(key)
        if link is not None and link.usable:
            return link
        if link is not None:
            link.retire()
        dial = self._dials.get(key)
        if dial is None:
            task = asyncio.get_running_loop().create_task(self._dial(key), name=f"{self._dialect.name} dial")
            task.add_done_callback(_known)
            dial = self._dials[key] = _Dial(task)
        dial.waiting += 1
        try:
            return await asyncio.shield(dial.task)
        except asyncio.CancelledError:
            if dial.task.cancelled() and not _cancelled():
                raise ProviderUnavailable(f"{self._dialect.name} was closed") from None
            raise
        finally:
            dial.waiting -= 1
            if not dial.waiting or dial.task.done():
                if self._dials.get(key) is dial:
                    del self._dials[key]
                dial.task.cancel()

    async def _dial(self, key: Hashable) -> Link:
        try:
            async with asyncio.timeout(self._terms.dial):
                socket = await self._dialled(key)
        except asyncio.CancelledError:
            raise
        except Exception as fault:
            raise self._unreachable(fault) from fault
        link = Link(socket, self._dialect, self._terms.keep, lambda gone: self._forget(key, gone))
        self._links[key] = link
        gone = {other for other in self._all if other.over}
        self._past.update(sum((other.counts for other in gone), Counter()))
        self._all = (self._all - gone) | {link}
        return link

    def _forget(self, key: Hashable, link: Link) -> None:
        if self._links.get(key) is link:
            del self._links[key]


def _known(task: asyncio.Task[Link]) -> None:
    """Whoever waited for it knows how it ended; perhaps nobody does any more."""
    if not task.cancelled():
        task.exception()


def _cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
