"""One socket on which a service speaks several pieces at once, each in a context of its own.

A service is described by its Dialect, which is pure. One task reads the socket and never waits for those who listen,
one writes, so that asking and cancelling wait for nothing.
"""

import asyncio
import contextlib
import itertools
import json
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from websockets.exceptions import ConnectionClosed

from appliance import link_faults
from appliance.errors import ApplianceError, ProviderUnavailable
from appliance.providers.tts.utterance import Utterance

Message = Mapping[str, Any]

CLOSE_SECONDS: Final = 1.0
DYING_SECONDS: Final = 10.0
"""A cancelled context counts for so long as open at the service, unless it says otherwise."""
OUTBOX_BOUND: Final = 1_000
MESSAGE_BOUND: Final = 4 * 1024 * 1024
_REMEMBERED: Final = 64

SOCKET: Final[Mapping[str, Any]] = {
    # A path that fell silent is noticed within the sum of the first two.
    "ping_interval": 0.5,
    "ping_timeout": 1.1,
    "close_timeout": 0.2,
    "open_timeout": None,
    # Beyond MESSAGE_BOUND a message is counted and not read; beyond this the connection ends.
    "max_size": 16 * 1024 * 1024,
    "max_queue": 256,
    "compression": None,
}


class Socket(Protocol):
    """What is used of a service's connection."""

    async def send(self, message: Message) -> None: ...

    async def recv(self) -> bytes: ...

    async def close(self) -> None: ...


class Dialect(Protocol):
    """How a service is spoken to. Pure."""

    name: str
    contexts: int
    """Contexts that may be open at once on a socket."""
    lingering: bool
    """A cancelled context stays open until the service says that it has ended."""

    def ask(self, context: str, utterance: Utterance) -> Sequence[Message]:
        """The messages that have it spoken."""
        ...

    def cancel(self, context: str) -> Sequence[Message]: ...

    def context(self, message: Message) -> str | None:
        """The context that a message is of; None for the socket's."""
        ...

    def ends(self, message: Message) -> bool:
        """The context of this message exists no more."""
        ...

    def read(self, context: str, message: Message, utterance: Utterance) -> Sequence[Message]:
        """Tell the utterance what came of it; return what is to be sent in answer."""
        ...

    def fault(self, message: Message) -> ApplianceError | None:
        """What a message of the socket itself means for all that is spoken over it."""
        ...


class Link:
    """One socket. `gone` is called once, when nothing can be spoken over it any more."""

    def __init__(self, socket: Socket, dialect: Dialect, keep: float, gone: Callable[["Link"], None]) -> None:
        self.kept = False
        """It stood idle before: the service may have closed it unnoticed."""
        self.counts: Counter[str] = Counter()
        self._socket = socket
        self._dialect = dialect
        self._keep = keep
        self._gone = gone
        self._live: dict[str, Utterance] = {}
        self._dying: dict[str, float] = {}
        self._past: deque[str] = deque(maxlen=_REMEMBERED)
        self._outbox: deque[Message] = deque()
        self._posted = asyncio.Event()
        self._over = False
        self._retired = False
        self._fault: ApplianceError = ProviderUnavailable(f"{dialect.name}: the connection is gone")
        self._numbers = itertools.count(1)
        self._loop = asyncio.get_running_loop()
        self._idle: asyncio.TimerHandle | None = None
        self._reader = self._loop.create_task(self._read(), name=f"{dialect.name} reader")
        self._writer = self._loop.create_task(self._write(), name=f"{dialect.name} writer")
        self._ending: asyncio.Task[None] | None = None
        self._rest()

    @property
    def usable(self) -> bool:
        """A piece can be spoken over it now."""
        now = self._loop.time()
        self._dying = {context: until for context, until in self._dying.items() if until > now}
        return (
            not self._over
            and not self._retired
            and len(self._live) + len(self._dying) < self._dialect.contexts
        )

    @property
    def over(self) -> bool:
        return self._over

    def begin(self, utterance: Utterance) -> str:
        """Ask for it; return the name of its context."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        context = f"piece-{next(self._numbers)}"
        if self._over:
            utterance.lose(self._fault)
            return context
        self._live[context] = utterance
        self._post(self._dialect.ask(context, utterance))
        return context

    def leave(self, context: str) -> None:
        """Nobody listens to it any more. It is cancelled where it is not over."""
        utterance = self._live.pop(context, None)
        if utterance is None:
            return
        self._past.append(context)
        self.counts.update(utterance.counts)
        if not utterance.over and not self._over:
            self._post(self._dialect.cancel(context))
            if self._dialect.lingering:
                self._dying[context] = self._loop.time() + DYING_SECONDS
        self._rest()

    def retire(self) -> None:
        """Nothing new is spoken over it; it closes when what is spoken now has ended."""
        if not self._retired:
            self._retired = True
            self._gone(self)
            self._rest()

    async def close(self) -> None:
        """At most 2 s. Idempotent; all that is spoken over it fails."""
        self._end(ProviderUnavailable(f"{self._dialect.name}: the connection was closed"))
        if self._ending is not None:
            await asyncio.shield(self._ending)

    # --- inside ---

    async def _read(self) -> None:
        """Until the socket ends. It waits for nothing else: unread messages hold up the answers to our pings."""
        try:
            while not self._over:
                self._take(await self._socket.recv())
        except ConnectionClosed as fault:
            self._end(link_faults.closed(self._dialect.name, fault))
        except OSError as fault:
            self._end(ProviderUnavailable(f"{self._dialect.name}: {type(fault).__name__}"))
        finally:
            self._end(None)  # nothing can be spoken over a link that nobody reads

    async def _write(self) -> None:
        try:
            while True:
                await self._posted.wait()
                self._posted.clear()
                while self._outbox:
                    await self._socket.send(self._outbox.popleft())
        except ConnectionClosed:
            return  # the reader learns it from the same socket, with the reason
        except OSError as fault:
            self._end(ProviderUnavailable(f"{self._dialect.name}: {type(fault).__name__}"))

    def _post(self, messages: Sequence[Message]) -> None:
        if not messages:
            return
        self._outbox.extend(messages)
        self._posted.set()
        if len(self._outbox) > OUTBOX_BOUND:
            self._end(ProviderUnavailable(f"{self._dialect.name} does not read what is sent"))

    def _take(self, raw: bytes) -> None:
        message = self._decoded(raw)
        if message is None:
            return
        context = self._dialect.context(message)
        utterance = self._live.get(context) if context is not None else None
        if context is not None and utterance is not None:
            self._post(self._dialect.read(context, message, utterance))
            if utterance.over:
                self._ended(context)
        elif context is not None and (context in self._past or context in self._dying):
            self.counts["late"] += 1
            if self._dialect.ends(message):
                self._dying.pop(context, None)
        elif fault := self._dialect.fault(message):
            self._end(fault)
        else:
            self.counts["unknown"] += 1

    def _decoded(self, raw: bytes) -> Message | None:
        if len(raw) > MESSAGE_BOUND:
            self.counts["message_too_big"] += 1
            return None
        try:
            message = json.loads(raw)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            self.counts["malformed"] += 1
            return None
        return message

    def _ended(self, context: str) -> None:
        utterance = self._live.pop(context)
        self._past.append(context)
        self.counts.update(utterance.counts)
        self._rest()

    def _rest(self) -> None:
        """Where nothing is spoken: wait for the next piece, but not for ever."""
        if self._live or self._over:
            return
        self.kept = bool(self._past)
        if self._retired:
            self._end(None)
            return
        if self._idle is not None:
            self._idle.cancel()
        self._idle = self._loop.call_later(self._keep, self._end, None)

    def _end(self, fault: ApplianceError | None) -> None:
        if self._over:
            return
        self._over = True
        self._fault = fault or self._fault
        if self._idle is not None:
            self._idle.cancel()
        if not self._retired:
            self._retired = True
            self._gone(self)
        live, self._live = self._live, {}
        for utterance in live.values():
            utterance.lose(self._fault)
        self._ending = self._loop.create_task(self._hang_up(), name=f"{self._dialect.name} end")

    async def _hang_up(self) -> None:
        self._writer.cancel()
        with contextlib.suppress(TimeoutError, OSError, ConnectionClosed):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._socket.close()
        self._reader.cancel()
        await asyncio.wait({self._reader, self._writer}, timeout=0.2)
