"""Where calls through the SIP server come from."""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Final

from appliance.call.admission import host_of

_RESOLVE_SECONDS: Final = 2.0
_FRESH_SECONDS: Final = 300.0
logger = logging.getLogger(__name__)


class Server:
    """The addresses of the registrar and the proxies, looked up by name, kept as they were when a look-up fails."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._resolved_at = float("-inf")
        self.addresses: set[str] = set()

    def stale(self) -> bool:
        """True when a new look-up could tell something new."""
        return bool(self._names) and time.monotonic() - self._resolved_at > _FRESH_SECONDS

    async def resolve(self) -> None:
        """Look the names up; at most 2 s each."""
        self._resolved_at = time.monotonic()
        loop = asyncio.get_running_loop()
        for name in self._names:
            try:
                async with asyncio.timeout(_RESOLVE_SECONDS):
                    found = await loop.getaddrinfo(host_of(name), None)
            except (OSError, TimeoutError) as error:
                logger.warning("the address of %s is not known: %s", host_of(name), error)
                continue
            self.addresses.update(str(entry[4][0]) for entry in found)
