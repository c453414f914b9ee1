"""One appliance for the tests of a file: each of them finds it idle, and sees only what happens in its own time.

    @pytest_asyncio.fixture(scope="module", loop_scope="module")
    async def shared():
        async with Shared(lambda: Handset(sip={})) as shared:
            yield shared

    @pytest_asyncio.fixture(loop_scope="module")
    async def handset(shared):
        async with shared.lent() as handset:
            yield handset

What a test leaves behind, calls, sessions and a configuration, is put right before the next one; an appliance that
does not come to rest, has ended, or has written a log that it must not, is replaced by a new one. Its log is part of
each test, how it ends part of the last.
"""

import asyncio
import contextlib
import copy
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Self

from tests.rig.appliance import Handset
from tests.rig.control_client import Refused

_REST_SECONDS = 10.0
_LET_ALONE_SECONDS = 0.5


class Shared:
    """`make` builds an appliance that is not started yet; it is called again where one has become unfit."""

    def __init__(self, make: Callable[[], Handset]) -> None:
        self._make = make
        self._handset: Handset | None = None
        self._sections: dict[str, dict[str, Any]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        handset, self._handset = self._handset, None
        if handset is not None:
            await handset.__aexit__(kind, error, trace)

    @contextlib.asynccontextmanager
    async def lent(self) -> AsyncIterator[Handset]:
        """The appliance, started and idle. At the end its log is checked, and shown where the test has failed."""
        handset = self._handset
        if handset is None or not await self._at_rest(handset):
            await self._discard()
            handset = self._handset = await self._make().__aenter__()
            self._sections = copy.deepcopy(handset.sections)
        handset.forget()
        begin = len(handset.text())
        try:
            yield handset
        finally:
            print(f"--- the appliance's log:\n{handset.text()[begin:][-6000:]}")
        try:
            handset.check_log()
        except AssertionError:
            await self._discard()
            raise

    async def _discard(self) -> None:
        handset, self._handset = self._handset, None
        if handset is not None:
            await handset.discard()

    async def _at_rest(self, handset: Handset) -> bool:
        """Whether it is ready and idle, as it was at first."""
        if handset.process is None or handset.process.poll() is not None:
            return False
        try:
            if not await _idle(handset, _LET_ALONE_SECONDS):
                await _end_what_is_left(handset)
            if not await _idle(handset, _REST_SECONDS):
                return False
            if handset.sections != self._sections:
                await handset.restore(copy.deepcopy(self._sections))
            await handset.ready(_REST_SECONDS)
        except (AssertionError, OSError, TimeoutError):
            return False
        return True


async def _idle(handset: Handset, seconds: float) -> bool:
    for _ in range(round(seconds / 0.05)):
        state = await handset.client.state()
        if not state["calls"] and not state["sessions"]:
            return True
        await asyncio.sleep(0.05)
    return False


async def _end_what_is_left(handset: Handset) -> None:
    state = await handset.client.state()
    for call in state["calls"]:
        with contextlib.suppress(Refused):
            await handset.client.ask("call.hangup", call=call["call"])
    for session in state["sessions"]:
        with contextlib.suppress(Refused):
            await handset.client.ask("session.close", session=session["id"])
