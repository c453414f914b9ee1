"""How an answer is waited for: nothing without a deadline, and nothing left behind when nobody wants it any more."""

import asyncio
import contextlib
import ipaddress
import ssl
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Annotated, Final, Protocol
from urllib.parse import urlsplit

from pydantic import Field

from appliance.config.services import ServiceSettings
from appliance.errors import ApplianceError
from appliance.name_lookup import look_up
from appliance.stages import AnswerPart

TAIL_SECONDS: Final = 1.0
"""For what comes after a finished answer: the usage."""
CLOSE_SECONDS: Final = 1.0
IDLE_SECONDS: Final = 30.0
"""A connection is kept for the next turn so long, unless the server ends it."""
CONNECTIONS: Final = 16
Seconds = Annotated[float, Field(gt=0, le=600)]


class ModelSettings(ServiceSettings):
    """What the settings of all language models have in common."""

    model: str = ""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    max_output_tokens: Annotated[int, Field(ge=16, le=1_000_000)] | None = None
    """Thoughts count too."""
    first_timeout: Seconds = 20.0
    """From the request, also from the dial, to the first word or call: thinking included."""
    next_timeout: Seconds = 15.0
    """From one piece of the answer to the next."""

    def tellable(self, variables: tuple[str, ...]) -> tuple[str, ...]:
        """The account's key stands in `variables` of the environment: it is not told to a network in the clear."""
        parts = urlsplit(self.base_url)
        return () if parts.scheme == "http" and not _is_loopback(parts.hostname or "") else variables


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Address:
    """The name that an SDK will dial, looked up where a name server that answers nothing holds up nobody else."""

    def __init__(self, base_url: str, host: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._host = urlsplit(base_url).hostname or host
        self._clock = clock
        self._known_until = 0.0

    async def found(self) -> None:
        """Raise OSError where the name has no address. Not asked while a connection is kept."""
        if self._clock() >= self._known_until:
            await look_up(self._host)

    def used(self) -> None:
        """A connection to it has just served."""
        self._known_until = self._clock() + IDLE_SECONDS


def certificates(base_url: str) -> ssl.SSLContext:
    """Loading them takes a tenth of a second of a PC: not for a server that has none. Nothing is trusted then."""
    if base_url.startswith("http://"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return ssl.create_default_context()


class Exchange(Protocol):
    """One request and its answer. Each method may be cancelled, and raises ApplianceErrors only."""

    @property
    def finished(self) -> bool:
        """The answer is complete; only its usage may be to come."""
        ...

    async def open(self) -> None:
        """Send the request; return when the answer begins."""
        ...

    async def read(self) -> Sequence[AnswerPart] | None:
        """Wait for the answer to get on; return what came of it, perhaps nothing to tell yet; None at its end."""
        ...

    async def close(self) -> None:
        """Break off what is under way. Idempotent."""
        ...


async def paced(
    exchange: Exchange, settings: ModelSettings, late: Callable[[], ApplianceError]
) -> AsyncGenerator[AnswerPart, None]:
    """Yield the parts of an answer as they come; `late()` is raised when they do not.

    The time in which nobody asks for the next part does not count. Closing this, or cancelling who waits for it, closes
    the exchange.
    """
    try:
        parts: Sequence[AnswerPart] | None
        try:
            async with asyncio.timeout(settings.first_timeout):
                await exchange.open()
                parts = await exchange.read()
        except TimeoutError as fault:
            raise late() from fault
        while parts is not None:
            for part in parts:
                yield part
            try:
                async with asyncio.timeout(TAIL_SECONDS if exchange.finished else settings.next_timeout):
                    parts = await exchange.read()
            except TimeoutError as fault:
                if exchange.finished:
                    return
                raise late() from fault
    finally:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await exchange.close()
