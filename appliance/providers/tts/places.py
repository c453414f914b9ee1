"""How many pieces a stage speaks at once."""

import asyncio
from collections.abc import Callable

from appliance.errors import RateLimited


class Places:
    """`count` of them. Whoever waits longer than `patience` seconds for one is told to come again later."""

    def __init__(self, service: str, count: int, patience: float) -> None:
        self._service = service
        self._patience = patience
        self._free = asyncio.Semaphore(count)

    async def take(self) -> Callable[[], None]:
        """Return what gives it back, however often it is called."""
        try:
            async with asyncio.timeout(self._patience):
                await self._free.acquire()
        except TimeoutError:
            raise RateLimited(f"{self._service}: too much is spoken at once") from None
        taken = True

        def give_back() -> None:
            nonlocal taken
            if taken:
                taken = False
                self._free.release()

        return give_back
