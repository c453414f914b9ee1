"""Incoming calls: taken or refused, answered at once, after the ring time, or left ringing for somebody to answer."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

from appliance.bus import EventBus
from appliance.call.admission import (
    BUSY_HERE,
    DENIED,
    FORBIDDEN,
    TOO_OFTEN,
    Pace,
    Refusal,
    admit,
    is_allowed,
    is_denied,
    networks,
)
from appliance.call.call import Call
from appliance.call.machine import CallState
from appliance.call.routing import Identity, Routed, agent_for, asks_to_be_answered, identity
from appliance.call.server import Server
from appliance.call.table import CallTable
from appliance.config.schema import Sip
from appliance.dialplan import caller, is_caller
from appliance.errors import TelephoneUnavailable, UnknownName
from appliance.events import CallChanged, Warned
from appliance.interfaces import IncomingCall, Telephone

_RING_LIMIT_SECONDS: Final = 180.0
_WAITING_SECONDS: Final = 0.5
_STRANGERS_SECONDS: Final = 600.0
logger = logging.getLogger(__name__)


class Reception:
    """Belongs to the loop's thread. `free` says whether there is somebody to talk to one more caller."""

    def __init__(
        self,
        telephone: Telephone,
        settings: Sip,
        bus: EventBus,
        table: CallTable,
        free: Callable[[], bool],
        *,
        calls_per_minute: int = 0,
        agents: Callable[[], Mapping[str, Routed]] = dict,
    ) -> None:
        self._telephone = telephone
        self._settings = settings
        self._bus = bus
        self._table = table
        self._free = free
        self._agents = agents
        self.do_not_disturb = settings.do_not_disturb
        """Callers hear the busy tone, until it is taken back."""
        self._strangers_told = float("-inf")
        self._pace = Pace(calls_per_minute)
        self._server = Server(_names(settings))
        self._tasks: set[asyncio.Task[None]] = set()
        self._counters = {"calls_in": 0, "refused": 0}

    def open(self) -> None:
        """Look up where calls through the server come from; returns at once."""
        if _names(self._settings):
            self._spawn(self._look_up())

    def listen(self) -> None:
        """Tell the telephone whom it may answer at all: at each of its starts, and when the server has moved."""
        settings = self._settings
        known = networks(
            server=next(iter(_names(settings)), ""),
            server_addresses=self._server.addresses,
            allow=settings.allow,
        )
        try:
            self._telephone.listen_to(known)
        except TelephoneUnavailable:
            logger.info("the telephone is told later whom it may answer")

    def found(self, addresses: Sequence[str]) -> None:
        """Calls through a server may come from these, too."""
        if not self._server.addresses.issuperset(addresses):
            self._server.addresses.update(addresses)
            self.listen()

    def strangers(self) -> None:
        """Somebody was not answered: it may be the server, at an address not looked up yet, and will ask again."""
        if time.monotonic() >= self._strangers_told + _STRANGERS_SECONDS:
            self._strangers_told = time.monotonic()
            logger.info("requests of strangers get no answer; see strangers_ignored in the metrics")
        if self._server.stale():
            self._spawn(self._look_up())

    async def _look_up(self) -> None:
        await self._server.resolve()
        self.listen()

    def renew(self, settings: Sip) -> None:
        """Other accounts."""
        self._settings = settings
        self._server = Server(_names(settings))
        self.open()

    async def close(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def counters(self) -> Mapping[str, int]:
        return self._counters

    def take(self, event: IncomingCall) -> None:
        """Have it ring or answered, or refuse it. A stranger may be the server at an address not looked up yet."""
        refusal = self._judge(event)
        if refusal is not None and refusal.code == FORBIDDEN and self._server.stale():
            self._spawn(self._take_after_resolving(event))
            return
        if refusal is not None:
            self._refuse(event, refusal)
            return
        settings = self._settings
        known = self._identity(event)
        intercom = asks_to_be_answered(event.headers) and any(
            pattern == "*" or is_caller(pattern, known.peer, settings.server) for pattern in settings.intercom
        )
        call = Call(
            event.call,
            "in",
            known.peer,
            CallState.INCOMING,
            time.time(),
            agent_for(self._agents(), known, settings.server) or settings.of(event.account).agent,
            event.account,
            display_name=known.name,
            called=known.called[0] if known.called else "",
            about=known.told(),
            intercom=intercom,
        )
        self._counters["calls_in"] += 1
        self._table.add(call)
        self._ring(call)

    async def _take_after_resolving(self, event: IncomingCall) -> None:
        await self._look_up()
        self.take(event)

    def _judge(self, event: IncomingCall) -> Refusal | None:
        settings = self._settings
        stranger = not self._is_allowed(event)
        peer = self._identity(event).peer
        if not stranger and self._is_denied(event, peer):
            return DENIED
        if not stranger and not self._pace.allows(caller(peer, settings.server), time.monotonic()):
            return TOO_OFTEN
        if not stranger and (self.do_not_disturb or (settings.call_waiting == "busy" and len(self._table))):
            return Refusal(BUSY_HERE, "Busy Here")
        return admit(
            event.source,
            calls=len(self._table),
            max_calls=settings.max_calls if self._free() or settings.call_waiting == "ring" else 0,
            server=self._home(event),
            server_addresses=self._server.addresses,
            allow=settings.allow,
        )

    def _is_denied(self, event: IncomingCall, peer: str) -> bool:
        """By who the server says it is, who alone may be let in, and by who the caller says."""
        settings = self._settings
        lists = [(peer, settings.callers), (event.peer, ("*",))]
        return any(
            is_denied(event.source, name, server=settings.server, deny=settings.deny, callers=callers)
            for name, callers in lists
        )

    def _identity(self, event: IncomingCall) -> Identity:
        return identity(event.peer, event.display_name, event.headers, trusted=self._is_trusted(event))

    def _is_trusted(self, event: IncomingCall) -> bool:
        """Whether the sender's word is taken for who calls: the server, and who stands in `sip.allow`."""
        addresses = self._server.addresses if _names(self._settings) else ()
        allow = self._settings.allow
        return is_allowed(event.source, server="-", server_addresses=addresses, allow=allow)

    def _is_allowed(self, event: IncomingCall) -> bool:
        return is_allowed(
            event.source,
            server=self._home(event),
            server_addresses=self._server.addresses,
            allow=self._settings.allow,
        )

    def _refuse(self, event: IncomingCall, refusal: Refusal) -> None:
        """Only a caller who is allowed here is told of on the bus: scanners are not."""
        code, reason = refusal.code, refusal.reason
        self._counters["refused"] += 1
        logger.info("call %s refused with %d %s", event.call, code, refusal.warning)
        if self._is_allowed(event):
            self._bus.publish(
                CallChanged(
                    call=event.call, direction="in", state="ended", peer=event.peer, code=code, reason=reason
                )
            )
            if refusal.warning:
                self._bus.publish(
                    Warned(
                        code=refusal.warning, message=f"a call of {event.peer} was refused", hint=refusal.hint
                    )
                )
        try:
            self._telephone.reject(event.call, code, reason)
        except (UnknownName, TelephoneUnavailable):
            logger.info("call %s had gone before it was refused", event.call)

    def _ring(self, call: Call) -> None:
        settings, loop = self._settings.of(call.account), asyncio.get_running_loop()
        call.waiting = settings.call_waiting == "ring" and self._is_taken(call)
        at_once = call.intercom or (settings.auto_answer and settings.ring_time <= 0)
        try:
            # Until it is known whether they must give a PIN.
            self._telephone.lock(call.id, True)
            if at_once and not call.waiting:
                self._telephone.answer(call.id)
                return
            self._telephone.ring(call.id)
        except (UnknownName, TelephoneUnavailable):
            logger.info("call %s had gone before it could ring", call.id)
            return
        if call.waiting and (settings.auto_answer or call.intercom):
            call.answer_timer = loop.call_later(_WAITING_SECONDS, self._look_for_room, call, loop.time())
        elif settings.auto_answer:
            call.answer_timer = loop.call_later(settings.ring_time, self._answer_due, call)
        else:
            call.answer_timer = loop.call_later(_RING_LIMIT_SECONDS, self._ring_over, call)

    def _home(self, event: IncomingCall) -> str:
        """The server of the account that was called, or any: without one, only strangers could call."""
        return self._settings.of(event.account).server or next(iter(_names(self._settings)), "")

    def _is_taken(self, call: Call) -> bool:
        """Another call is up, or nobody has time for one more."""
        return not self._free() or any(other is not call and not other.waiting for other in self._table)

    def _look_for_room(self, call: Call, since: float) -> None:
        loop = asyncio.get_running_loop()
        if not self._is_taken(call):
            call.waiting = False
            self._answer_due(call)
        elif loop.time() - since > _RING_LIMIT_SECONDS:
            self._ring_over(call)
        else:
            call.answer_timer = loop.call_later(_WAITING_SECONDS, self._look_for_room, call, since)

    def _answer_due(self, call: Call) -> None:
        self._late(call, lambda: self._telephone.answer(call.id))

    def _ring_over(self, call: Call) -> None:
        self._late(call, lambda: self._telephone.reject(call.id, 480, "Temporarily Unavailable"))

    def _late(self, call: Call, act: Callable[[], None]) -> None:
        """Run a timer's act on a call that may have gone meanwhile."""
        if call.state not in (CallState.INCOMING, CallState.RINGING):
            return
        try:
            act()
        except (UnknownName, TelephoneUnavailable):
            logger.info("call %s had gone", call.id)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _names(settings: Sip) -> tuple[str, ...]:
    """The registrars and proxies of all accounts."""
    accounts = [account for account in settings.each().values() if account.server]
    return tuple(name for account in accounts for name in (account.server, *account.outbound_proxy))
