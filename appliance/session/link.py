"""The connection to a provider: dialled, kept up, renewed, dialled again, down the ladder and up again.

Every connection has a generation. Its reader and its writer die with it, so nothing of an old one reaches the session.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, Protocol

from appliance.errors import ApplianceError, ProviderUnavailable, SetupRejected, kind_and_place
from appliance.interfaces import (
    Capabilities,
    Connection,
    Provider,
    ProviderCommand,
    ProviderEvent,
    RenewalDue,
    ResumptionHandle,
    Setup,
)
from appliance.session.climb import Climb
from appliance.session.dialler import Dialler, reschedule
from appliance.session.ladder import Ladder
from appliance.session.renewal import Renewal
from appliance.session.sender import Sender
from appliance.session.tally import Tally

LOCAL_DIAL_SECONDS: Final = 30.0
QUIET_SECONDS: Final = 1.0
"""A moment to look for a better rung is quiet for so long."""
HOPELESS_SECONDS: Final = 20.0
HANDOVER_SECONDS: Final = 1.0
STOP_SECONDS: Final = 0.2
REASON_SECONDS: Final = 0.05
"""When sending fails first: how long the reader may take to learn why."""
RENEWAL: Final = "renewal"
CLIMB: Final = "climb"
logger = logging.getLogger(__name__)


class LinkListener(Protocol):
    """The session, as its link sees it. All calls come on the loop's thread."""

    def setup(self, *, bare: bool = False) -> Setup:
        """For a connection that begins now, `bare` without the history; the link puts in the handle."""
        ...

    def quiet(self) -> bool:
        """Nobody talks, nothing sounds, no answer is owed, no tool runs: the connection can be changed unnoticed."""
        ...

    def waited_for(self) -> bool:
        """Somebody talks, or waits for an answer."""
        ...

    def link_rose(self) -> None:
        """Connected: commands may be sent, what is unanswered first."""
        ...

    def link_fell(self, reason: str, fault: ApplianceError | None) -> None:
        """The connection that rose is gone; without a `fault` on purpose, `reason` being RENEWAL or CLIMB."""
        ...

    def dial_failed(self, provider: str, fault: ApplianceError, *, probe: bool) -> None:
        """`probe`: it was looked for while another one serves."""
        ...

    def nobody_left(self, code: str) -> None:
        """Nothing will be dialled for a long time. `code` is the fault of the rung that may be tried first."""
        ...

    def take(self, event: ProviderEvent) -> None: ...

    async def room(self) -> None:
        """Wait until a paced provider may go on."""
        ...


class Link:
    """One per session. `start` dials; from then on it dials again whenever the connection is lost, until `close`.

    `look` is to be called ten times a second: it renews, climbs, and hurries when somebody begins to wait.
    """

    def __init__(self, providers: Sequence[Provider], listener: LinkListener, ladder: Ladder) -> None:
        self.up = False
        self.hopeless = False
        """No provider will be dialled for a long time: all have refused."""
        self.generation = 0
        self._providers = providers
        self._listener = listener
        self._ladder = ladder
        self._dialler = Dialler()
        self._climb = Climb(providers, ladder, self._dialler, self)
        self._loop = asyncio.get_running_loop()
        self._handles: dict[str, str] = {}
        self._sender: Sender | None = None
        self._connection: Connection | None = None
        self._tally = Tally()
        self._broken = asyncio.Event()
        self._planned = ""
        self._useless: ApplianceError | None = None
        self._renewal = Renewal(0.0)
        self._task: asyncio.Task[None] | None = None
        self._delay: asyncio.Timeout | None = None
        self._dial_began = 0.0
        self._waited_for = False
        self._quiet_since: float | None = None
        self._counters = dict.fromkeys(
            ("dials_failed", "link_drops", "renewals", "climbs", "uplink_dropped"), 0
        )

    @property
    def provider(self) -> Provider:
        """The rung in use or being dialled."""
        return self._providers[self._ladder.rung]

    @property
    def rung(self) -> int:
        return self._ladder.rung

    @property
    def capabilities(self) -> Capabilities:
        return self.provider.capabilities

    @property
    def exhausted(self) -> bool:
        """There is no other rung to go down to."""
        return self._ladder.exhausted(self._loop.time())

    def handle(self) -> tuple[str, str]:
        """The provider in use, and the newest handle by which it takes this conversation up again, or ""."""
        name = self.provider.name
        return name, self._handles.get(name, "")

    def resume(self, provider: str, handle: str) -> None:
        """Before `start`: `provider` gave `handle` for the conversation that goes on here."""
        self._handles = {provider: handle}

    def counters(self) -> Mapping[str, int]:
        present = self._connection.counters() if self._connection is not None else {}
        queued = self._sender.waiting if self._sender is not None else 0
        own = {**self._dialler.counters(), **self._counters, "uplink_queued": queued}
        return {**own, **self._tally.total(present)}

    def start(self) -> asyncio.Task[None]:
        """Begin to dial. The task ends only by `close` or by a bug of ours, which it raises."""
        self._task = self._loop.create_task(self._run(), name="link")
        return self._task

    def send(self, command: ProviderCommand) -> None:
        """Queue `command` for the present connection; without one it is dropped: the journal holds what matters."""
        if self._sender is not None and not self._sender.put(command):
            self._counters["uplink_dropped"] += 1
            self._broken.set()

    def look(self) -> None:
        """See whether anything is to be done about the connection."""
        now = self._loop.time()
        if self._quiet():
            self._quiet_since = now if self._quiet_since is None else self._quiet_since
        else:
            self._quiet_since = None
        before, self._waited_for = self._waited_for, self._listener.waited_for()
        if self.up and not self._planned:
            self._consider(now)
        elif self._waited_for and not before:
            self._hurry(now)

    def drop(self, fault: ApplianceError) -> None:
        """The connection is there and of no use: go on as if it had broken with `fault`, on the next rung if any."""
        if self.up and not self._planned:
            self._useless = fault
            self._broken.set()

    def redial(self) -> None:
        """The configuration was read again: refusals count no more."""
        now = self._loop.time()
        if self._delay is not None:
            reschedule(self._delay, now + self._ladder.start(now))
        else:
            self._ladder.look_up(now)

    async def close(self) -> None:
        """Hang up, for good; at most 2 s."""
        task, self._task = self._task, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()
            await asyncio.wait({task}, timeout=1.0)
        probing = self._climb.close()
        left = {*self._dialler.stop(), *probing}
        if left:
            await asyncio.wait(left, timeout=0.9)

    # --- for its climb ---

    def setup_for(self, provider: Provider, *, bare: bool = False) -> Setup:
        alone = len(self._providers) == 1
        return replace(
            self._listener.setup(bare=bare), handle=self._handles.get(provider.name, ""), alone=alone
        )

    def unnoticed(self) -> bool:
        return self._quiet() and not self._planned

    def probe_failed(self, provider: str, fault: ApplianceError) -> None:
        self._listener.dial_failed(provider, fault, probe=True)

    def go_over(self) -> None:
        self._end(CLIMB)

    # --- dialling ---

    async def _run(self) -> None:
        pause = self._ladder.start(self._loop.time())
        while True:
            await self._wait(pause)
            provider = self.provider
            try:
                connection = await self._dial(provider)
            except ApplianceError as fault:
                self._counters["dials_failed"] += 1
                now = self._loop.time()
                pause = self._ladder.failed(fault, now, waited_for=self._listener.waited_for())
                self._listener.dial_failed(provider.name, fault, probe=False)
            else:
                pause = await self._serve_on(connection)

    async def _wait(self, pause: float) -> None:
        """Until the next dial is due; `_hurry` and `redial` may bring it forward."""
        if pause <= 0:
            await asyncio.sleep(0)
            return
        self.hopeless = pause > HOPELESS_SECONDS
        if self.hopeless:
            self._listener.nobody_left(self._ladder.standing.code)
        try:
            async with asyncio.timeout_at(self._loop.time() + pause) as self._delay:
                await asyncio.Event().wait()
        except TimeoutError:
            pass
        finally:
            self._delay = None
            self.hopeless = False

    def _hurry(self, now: float) -> None:
        if self._delay is not None:
            pause = self._ladder.hurry(now)
            if pause is not None:
                reschedule(self._delay, now + pause)
        elif self._dialler.hurriable:
            patience = self._ladder.patience(self._dial_began, waited_for=True)
            self._dialler.hurry(max(now, self._dial_began + patience))

    async def _dial(self, provider: Provider) -> Connection:
        """Dial the present rung. A handle that it does not take is forgotten, and it is dialled once more."""
        if await self._dialler.warm(provider):
            self._ladder.loaded(self._loop.time())
        self._dial_began = now = self._loop.time()
        waited_for = self._waited_for = self._listener.waited_for()
        patience = self._ladder.patience(now, waited_for=waited_for)
        if provider.capabilities.local:
            patience = LOCAL_DIAL_SECONDS
        setup = self.setup_for(provider, bare=self._ladder.bare)
        try:
            return await self._dialler.dial(provider, setup, patience)
        except SetupRejected:
            if not setup.handle:
                raise
            self._handles.pop(provider.name, None)
            return await self._dialler.dial(provider, replace(setup, handle=""), patience)

    # --- serving ---

    async def _serve_on(self, connection: Connection) -> float:
        """Until it is lost, changing over to better rungs meanwhile; return the seconds until the next dial."""
        while True:
            self._ladder.rose(self._loop.time())
            fault = await self._serve(connection)
            self._planned = ""
            now = self._loop.time()
            if (better := self._climb.take()) is not None:
                rung, connection = better
                self._counters["climbs"] += 1
                self._listener.link_fell(CLIMB, None)
                self._ladder.climb(rung)
                continue
            if fault is None:
                self._counters["renewals"] += 1
                self._listener.link_fell(RENEWAL, None)
                return self._ladder.renewed(now)
            self._counters["link_drops"] += 1
            waited_for = self._listener.waited_for()
            self._listener.link_fell(fault.message, fault)
            pause = self._ladder.fell(fault, now, waited_for=waited_for, useless=fault is self._useless)
            if self._ladder.flapping:
                # What a handle brings back may be what breaks the connection each time.
                self._handles.clear()
            return pause

    async def _serve(self, connection: Connection) -> ApplianceError | None:
        """Until it is lost; return why, None when it was ended on purpose."""
        self.generation += 1
        self._useless = None
        self._broken.clear()
        self._renewal = Renewal(self._loop.time())
        self._handles = {name: self._handles[name] for name in self._handles if name == self.provider.name}
        sender = self._sender = Sender(connection, self.provider.name, self.capabilities)
        self._connection = connection
        self.up = True
        self._listener.link_rose()
        reader = self._loop.create_task(self._read(connection, self.generation), name="link reader")
        writer = self._loop.create_task(sender.run(), name="link writer")
        jobs = {reader, writer, self._loop.create_task(self._watch(), name="link watch")}
        try:
            done, _ = await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
            if writer in done:
                await asyncio.wait({reader}, timeout=REASON_SECONDS)
            first = reader if reader.done() else next(iter(done))
            return _ending(first)
        finally:
            self.up = False
            self._sender = self._connection = None
            self._tally.close(connection.counters())
            self._climb.stop()
            for job in jobs:
                job.cancel()
            closing = self._dialler.let_go(connection)
            await asyncio.wait(jobs, timeout=STOP_SECONDS)
            if self._planned == RENEWAL:
                # Two sockets on one handle at once are nothing that a provider provides for.
                await asyncio.wait({closing}, timeout=HANDOVER_SECONDS)

    def _consider(self, now: float) -> None:
        """A connection is up: renew it, or look for a better one."""
        quiet_for = -1.0 if self._quiet_since is None else now - self._quiet_since
        if self._renewal.now(quiet_for, now):
            self._end(RENEWAL)
        elif quiet_for >= QUIET_SECONDS and not self._climb.looking and (rungs := self._ladder.higher(now)):
            self._climb.look_for(rungs)

    def _quiet(self) -> bool:
        return self._listener.quiet() and (self._sender is None or not self._sender.waiting)

    def _end(self, planned: str) -> None:
        self._planned = planned
        self._broken.set()

    async def _read(self, connection: Connection, generation: int) -> ApplianceError | None:
        events = aiter(connection)
        while True:
            try:
                event = await anext(events)
            except StopAsyncIteration:
                return ProviderUnavailable("the provider hung up")
            except ApplianceError as fault:
                return fault
            except Exception as fault:  # noqa: BLE001 - whatever a provider raises, it is dialled again
                logger.warning("provider %s failed: %s", self.provider.name, kind_and_place(fault))
                return ProviderUnavailable(type(fault).__name__)
            if generation != self.generation or not self.up:
                return None
            match event:
                case RenewalDue():
                    self._renewal.due(event.seconds, self._loop.time())
                case ResumptionHandle():
                    self._handles[self.provider.name] = event.handle
                case _:
                    self._listener.take(event)
            if self.capabilities.paced:
                await self._listener.room()

    async def _watch(self) -> ApplianceError | None:
        await self._broken.wait()
        if self._planned:
            return None
        return self._useless or ProviderUnavailable("the provider takes less than is said")


def _ending(job: asyncio.Task[ApplianceError | None]) -> ApplianceError | None:
    """Why a finished job of a connection is over. A bug of ours is raised."""
    return ProviderUnavailable("the provider broke off") if job.cancelled() else job.result()
