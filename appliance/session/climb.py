"""The way up the ladder: better rungs are dialled while another one serves, and gone over to where nobody notices."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final, Protocol

from appliance.errors import ApplianceError, kind_and_place
from appliance.interfaces import Connection, Provider, Setup
from appliance.session.dialler import Dialler
from appliance.session.ladder import Ladder

PROBE_SECONDS: Final = 5.0
logger = logging.getLogger(__name__)


class ClimbOwner(Protocol):
    """The link, as its climb sees it."""

    def setup_for(self, provider: Provider) -> Setup:
        """For a connection that begins now."""
        ...

    def unnoticed(self) -> bool:
        """The present connection serves, and can be left without anybody's noticing."""
        ...

    def probe_failed(self, provider: str, fault: ApplianceError) -> None: ...

    def go_over(self) -> None:
        """End the present connection: a better one is there, to be taken."""
        ...


class Climb:
    """All methods belong to the loop's thread."""

    def __init__(
        self, providers: Sequence[Provider], ladder: Ladder, dialler: Dialler, owner: ClimbOwner
    ) -> None:
        self._providers = providers
        self._ladder = ladder
        self._dialler = dialler
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._probe: asyncio.Task[None] | None = None
        self._found: tuple[int, Connection] | None = None

    @property
    def looking(self) -> bool:
        return self._probe is not None

    def look_for(self, rungs: Sequence[int]) -> None:
        """Begin to dial them, the best first."""
        self._probe = self._loop.create_task(self._look_for(rungs), name="link probe")
        self._probe.add_done_callback(self._probed)

    def take(self) -> tuple[int, Connection] | None:
        """The rung that was found, and its connection, which is the caller's from now on."""
        found, self._found = self._found, None
        return found

    def stop(self) -> None:
        """Look no further."""
        if self._probe is not None:
            self._probe.cancel()

    def close(self) -> set[asyncio.Task[None]]:
        """Let go what was found; return what is still to end."""
        found = self.take()
        if found is not None:
            self._dialler.let_go(found[1])
        return {self._probe} if self._probe is not None else set()

    async def _look_for(self, rungs: Sequence[int]) -> None:
        for rung in rungs:
            provider = self._providers[rung]
            try:
                await self._dialler.warm(provider)
                setup = self._owner.setup_for(provider)
                connection = await self._dialler.dial(provider, setup, PROBE_SECONDS, probe=True)
            except ApplianceError as fault:
                self._ladder.unreached(rung, fault, self._loop.time())
                self._owner.probe_failed(provider.name, fault)
                continue
            if self._owner.unnoticed() and self._owner.setup_for(provider) == setup:
                self._found = rung, connection
                self._owner.go_over()
            else:
                self._dialler.let_go(connection)
                self._ladder.missed_moment(self._loop.time())
            return
        self._ladder.looked_in_vain(self._loop.time())

    def _probed(self, probe: asyncio.Task[None]) -> None:
        self._probe = None
        if not probe.cancelled() and (fault := probe.exception()) is not None:
            logger.error("looking for a better provider broke: %s", kind_and_place(fault))
            self._ladder.looked_in_vain(self._loop.time())
