"""Appliances that stand for a whole file of tests, one for each service: each test holds talks of its own with them.

    async with Clouds(lambda name: cloud(name, sip={})) as clouds:
        await clouds.each(a_phone_asks)             # with all services side by side
        await clouds.each(a_phone_hangs_up, "gemini")

An appliance of which something failed is not used again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, Self

from tests.rig.appliance import Handset
from tests.rig.peer import until
from tests.rig.services import SERVICES, Service

Story = Callable[[Any, Handset], Awaitable[None]]
"""It is given the service and its appliance."""


class Clouds:
    """`begin` is given a service's name."""

    def __init__(self, begin: Callable[[str], AbstractAsyncContextManager[tuple[Service, Handset]]]) -> None:
        self._begin = begin
        self._standing: dict[str, tuple[Service, Handset, AsyncExitStack]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Each ends as `begin` wants it to."""
        standing, self._standing = self._standing, {}
        async with asyncio.TaskGroup() as ends:
            for appliance in standing.values():
                ends.create_task(appliance[-1].aclose())

    async def each(self, story: Story, *names: str) -> None:
        """With those services, or all realtime ones, side by side; at its end nobody talks any more."""
        async with asyncio.TaskGroup() as stories:
            for name in names or SERVICES:
                stories.create_task(self._tell(name, story))

    async def _tell(self, name: str, story: Story) -> None:
        if name not in self._standing:
            stack = AsyncExitStack()
            service, handset = await stack.enter_async_context(self._begin(name))
            self._standing[name] = service, handset, stack
        service, handset, stack = self._standing[name]
        try:
            await story(service, handset)
            await until(lambda: service.links == 0, 20, "the service's sessions end")
        except BaseException as fault:
            del self._standing[name]
            await stack.__aexit__(type(fault), fault, fault.__traceback__)
            raise
