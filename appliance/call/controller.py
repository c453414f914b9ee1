"""The calls: admits, rings, answers, dials and ends them, and tells the bus.

Media is joined by whoever listens to `on_connected`.
"""
# Longer than other files: one short method a command and a report, all on the same table of calls.

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from appliance.call.admission import Refusal, admit, is_allowed
from appliance.call.call import Call
from appliance.call.machine import ANSWERED, CallState, follow
from appliance.call.server import Server
from appliance.config.schema import Sip
from appliance.errors import LineBusy, NotPossible, RequestInvalid, TelephoneUnavailable, UnknownName
from appliance.events import CallChanged, DtmfReceived, EventBus, Failed, RegistrationChanged, Warned
from appliance.interfaces import (
    CallReport,
    DtmfReport,
    IncomingCall,
    MediaReport,
    RegistrationReport,
    Telephone,
    TelephoneEvent,
    TelephoneLost,
    TelephoneReady,
)
from appliance.store.store import CallRecord

_RING_LIMIT_SECONDS: Final = 180.0
_DTMF: Final = frozenset("0123456789*#ABCD")
logger = logging.getLogger(__name__)


class CallJournal(Protocol):
    """Where finished calls are kept."""

    def add_call(self, record: CallRecord) -> None: ...


class Calls:
    """All methods belong to the loop's thread. `on_connected` and `on_ended` are told of answered calls, once each."""

    def __init__(
        self,
        telephone: Telephone,
        settings: Sip,
        bus: EventBus,
        journal: CallJournal,
        on_connected: Callable[[Call], None],
        on_ended: Callable[[Call], None],
        contacts: Mapping[str, str] | None = None,
        on_record: Callable[[str, bool], None] | None = None,
    ) -> None:
        self._telephone = telephone
        self._settings = settings
        self._bus = bus
        self._journal = journal
        self._on_connected = on_connected
        self._on_ended = on_ended
        self._on_record = on_record
        self.set_contacts(contacts or {})
        self._calls: dict[str, Call] = {}
        self._server = Server((settings.server, *settings.outbound_proxy) if settings.server else ())
        self._tasks: set[asyncio.Task[None]] = set()
        self._counters = {"calls_in": 0, "calls_out": 0, "refused": 0, "lost": 0, "late_reports": 0}
        self.registration: dict[str, Any] = {
            "state": "off",
            "code": 0,
            "reason": "",
            "server": settings.server,
        }
        self.address = ""
        self.fault = "the SIP process is starting"
        self.on_condition: Callable[[str], None] = lambda _: None
        """Told, after each change, why calls cannot be taken or made; empty when they can."""
        self.free: Callable[[], bool] = lambda: True
        """Whether there is somebody to talk to one more caller: else they hear the busy tone."""

    async def start(self) -> None:
        """Start the telephone; it reports from now on. Raise DriverMissing where its library is not installed."""
        await self._telephone.start(self.handle)
        if self._settings.server:
            self._spawn(self._server.resolve())

    async def stop(self) -> None:
        """Hang up everything and end the telephone; at most 5 s."""
        for call in list(self._calls.values()):
            self._cancel_timer(call)
        try:
            await self._telephone.stop()
        finally:
            for call in list(self._calls.values()):
                self._end(call, 0, "shutdown")
            for task in tuple(self._tasks):
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def set_contacts(self, contacts: Mapping[str, str]) -> None:
        """Names that `dial` and `transfer` take for numbers, whatever their case."""
        self._contacts = {name.casefold(): target for name, target in contacts.items()}

    def handle(self, event: TelephoneEvent) -> None:
        """Take one report of the telephone."""
        match event:
            case IncomingCall():
                self._take(event)
            case CallReport():
                self._move(event)
            case MediaReport(call=name, codec=codec):
                if name in self._calls:
                    self._calls[name].codec = codec
            case DtmfReport(call=name, digit=digit, duration_ms=duration_ms):
                if call := self._calls.get(name):
                    self._bus.publish(
                        DtmfReceived(
                            call=name,
                            digit=digit,
                            duration_ms=duration_ms,
                            session=call.session,
                            line=call.line,
                        )
                    )
            case RegistrationReport():
                self._register(event)
            case TelephoneReady(address=address):
                self.address, self.fault = address, ""
                logger.info("the telephone listens at %s", address)
            case TelephoneLost():
                self._lose(event)
        self.on_condition(self.condition())

    def condition(self) -> str:
        """Why calls cannot be taken or made now; empty when they can."""
        if self.fault or not self._settings.server or self.registration["state"] == "registered":
            return self.fault
        code, reason = self.registration["code"], self.registration["reason"]
        return f"not registered: {self.registration['state']} {code or ''} {reason}".strip()

    def dial(self, to: str, *, agent: str = "") -> str:
        """Call a contact, extension, number or SIP URI; return the call's id."""
        if not to.strip():
            raise RequestInvalid(
                "there is nothing to dial", hint='for example "100" or "sip:100@pbx.example.org"'
            )
        if len(self._calls) >= self._settings.max_calls:
            raise LineBusy(
                f"{len(self._calls)} calls are up already", hint="hang one up, or raise sip.max_calls"
            )
        target = self._contacts.get(to.strip().casefold(), to.strip())
        name = self._telephone.dial(target)
        self._counters["calls_out"] += 1
        self._add(Call(name, "out", target, CallState.DIALING, time.time(), agent))
        return name

    def answer(self, call: str | None = None) -> str:
        """Answer a call, or without a name the one that rings."""
        found = self._find(
            call, lambda c: c.direction == "in" and c.state not in ANSWERED, "no call is ringing"
        )
        if found.state in ANSWERED:
            raise NotPossible(f"call {found.id} is {found.state} already")
        self._cancel_timer(found)
        self._telephone.answer(found.id)
        return found.id

    def reject(self, call: str, code: int = 603) -> str:
        """Refuse an incoming call that is not answered yet; `code` is 400 to 699."""
        if not 400 <= code <= 699:
            raise RequestInvalid(f"{code} does not refuse a call", hint="use 486, 480 or 603")
        found = self._find(call)
        if found.direction != "in" or found.state in ANSWERED:
            raise NotPossible(f"call {found.id} is {found.state}", hint="use call.hangup")
        self._cancel_timer(found)
        self._telephone.reject(found.id, code)
        return found.id

    def hang_up(self, call: str | None = None) -> str:
        """End a call, or without a name the only one there is."""
        found = self._find(call, lambda _: True, "no call is up")
        self._cancel_timer(found)
        self._telephone.hang_up(found.id)
        return found.id

    def hold(self, call: str) -> str:
        found = self._in_state(call, CallState.CONNECTED)
        self._telephone.hold(found.id)
        return found.id

    def resume(self, call: str) -> str:
        found = self._in_state(call, CallState.HELD)
        self._telephone.resume(found.id)
        return found.id

    def transfer(self, call: str, to: str, mode: str = "blind") -> str:
        """Hand the far side over to `to` (REFER)."""
        if mode != "blind":
            raise NotPossible(f"{mode} transfer is not there yet", hint='use mode "blind"')
        if not to.strip():
            raise RequestInvalid("there is nobody to transfer to", hint='for example "201"')
        found = self._in_state(call, CallState.CONNECTED, CallState.HELD)
        self._telephone.transfer(found.id, self._contacts.get(to.strip().casefold(), to.strip()))
        return found.id

    def send_dtmf(self, call: str, digits: str) -> str:
        wrong = sorted(set(digits.upper()) - _DTMF)
        if wrong or not digits or len(digits) > 64:
            raise RequestInvalid(f"{digits!r} are no DTMF digits", hint="0-9, *, #, A-D; at most 64")
        found = self._in_state(call, CallState.CONNECTED)
        self._telephone.send_dtmf(found.id, digits.upper())
        return found.id

    def record(self, call: str, on: bool) -> str:
        found = self._in_state(call, CallState.CONNECTED, CallState.HELD)
        if self._on_record is None:
            raise NotPossible("recording is not there")
        self._on_record(found.id, on)
        return found.id

    def call(self, name: str) -> Call:
        """Raise UnknownName."""
        return self._find(name)

    def on_line(self, line: str) -> Call | None:
        """The call whose audio is on that line."""
        return next((call for call in self._calls.values() if call.line == line), None)

    def status(self) -> list[dict[str, Any]]:
        return [call.wire() for call in self._calls.values()]

    def counters(self) -> Mapping[str, int]:
        return {**self._counters, "up": len(self._calls), **self._telephone.counters()}

    def _take(self, event: IncomingCall) -> None:
        refusal = self._judge(event)
        if refusal is not None and refusal.code == 403 and self._server.stale():
            self._spawn(self._take_after_resolving(event))
            return
        if refusal is not None:
            self._refuse(event, refusal.code, refusal.reason)
            return
        call = Call(
            event.call, "in", event.peer, CallState.INCOMING, time.time(), display_name=event.display_name
        )
        self._counters["calls_in"] += 1
        self._add(call)
        self._ring(call)

    async def _take_after_resolving(self, event: IncomingCall) -> None:
        await self._server.resolve()
        self._take(event)

    def _judge(self, event: IncomingCall) -> Refusal | None:
        settings = self._settings
        return admit(
            event.source,
            calls=len(self._calls),
            max_calls=settings.max_calls if self.free() else 0,
            server=settings.server,
            server_addresses=self._server.addresses,
            allow=settings.allow,
        )

    def _refuse(self, event: IncomingCall, code: int, reason: str) -> None:
        self._counters["refused"] += 1
        logger.info("call %s refused with %d", event.call, code)
        if is_allowed(
            event.source,
            server=self._settings.server,
            server_addresses=self._server.addresses,
            allow=self._settings.allow,
        ):
            self._bus.publish(
                CallChanged(
                    call=event.call, direction="in", state="ended", peer=event.peer, code=code, reason=reason
                )
            )
        try:
            self._telephone.reject(event.call, code, reason)
        except (UnknownName, TelephoneUnavailable):
            logger.info("call %s had gone before it was refused", event.call)

    def _ring(self, call: Call) -> None:
        settings, loop = self._settings, asyncio.get_running_loop()
        try:
            if settings.auto_answer and settings.ring_time <= 0:
                self._telephone.answer(call.id)
                return
            self._telephone.ring(call.id)
        except (UnknownName, TelephoneUnavailable):
            logger.info("call %s had gone before it could ring", call.id)
            return
        if settings.auto_answer:
            call.answer_timer = loop.call_later(settings.ring_time, self._answer_due, call)
        else:
            call.answer_timer = loop.call_later(_RING_LIMIT_SECONDS, self._ring_over, call)

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

    def _move(self, report: CallReport) -> None:
        call = self._calls.get(report.call)
        state = follow(call.state, CallState(report.state)) if call else None
        if call is None or state is None:
            self._counters["late_reports"] += 1
            return
        if state is CallState.ENDED:
            self._end(call, report.code, report.reason)
            return
        call.state, call.code, call.reason = state, report.code, report.reason
        if state is CallState.CONNECTED and call.connected_at is None:
            call.connected_at = time.time()
            self._cancel_timer(call)
            self._on_connected(call)
        if call.state is state:
            self._tell(call)

    def _end(self, call: Call, code: int, reason: str) -> None:
        if self._calls.pop(call.id, None) is None:
            return
        self._cancel_timer(call)
        call.state, call.code, call.reason = CallState.ENDED, code, reason
        if call.connected_at is not None:
            self._on_ended(call)
        self._tell(call)
        self._journal.add_call(
            CallRecord(
                call.id,
                call.direction,
                call.peer,
                call.started_at,
                call.connected_at,
                time.time(),
                code,
                reason,
                call.session,
            )
        )

    def _lose(self, event: TelephoneLost) -> None:
        logger.error("the SIP process was lost (%s) with %d calls", event.reason, len(self._calls))
        self.fault = event.reason
        self._counters["lost"] += len(self._calls)
        for call in list(self._calls.values()):
            self._end(call, 0, "lost")
        self._bus.publish(
            Failed(
                code="telephone_lost",
                message=f"the SIP process ended: {event.reason}",
                hint="it is being restarted",
            )
        )

    def _register(self, report: RegistrationReport) -> None:
        seen = {"state": report.state, "code": report.code, "reason": report.reason, "server": report.server}
        if seen == self.registration:
            return
        self.registration = seen
        logger.info("registration %s %d", report.state, report.code)
        self._bus.publish(
            RegistrationChanged(
                state=report.state, code=report.code, reason=report.reason, server=report.server
            )
        )
        if report.state == "failed":
            hint = (
                "check sip.user, sip.auth_user and sip.password"
                if report.code in (401, 403, 407)
                else "check sip.server"
            )
            self._bus.publish(
                Warned(code="registration_failed", message=f"{report.code} {report.reason}", hint=hint)
            )

    def _add(self, call: Call) -> None:
        self._calls[call.id] = call
        self._tell(call)

    def _tell(self, call: Call) -> None:
        self._bus.publish(
            CallChanged(
                call=call.id,
                direction=call.direction,
                state=str(call.state),
                peer=call.peer,
                code=call.code,
                reason=call.reason,
                session=call.session,
                line=call.line,
            )
        )

    def _find(
        self, name: str | None, fits: Callable[[Call], bool] | None = None, none_fits: str = ""
    ) -> Call:
        if name:
            if name not in self._calls:
                raise UnknownName(f"there is no call {name}", hint="status lists the calls")
            return self._calls[name]
        fitting = [call for call in self._calls.values() if fits is None or fits(call)]
        if not fitting:
            raise NotPossible(none_fits)
        if len(fitting) > 1:
            names = ", ".join(call.id for call in fitting)
            raise RequestInvalid(f"which call? {names}", hint="name one of them")
        return fitting[0]

    def _in_state(self, name: str, *states: CallState) -> Call:
        call = self._find(name)
        if call.state not in states:
            raise NotPossible(f"call {call.id} is {call.state}")
        return call

    def _cancel_timer(self, call: Call) -> None:
        if call.answer_timer is not None:
            call.answer_timer.cancel()
            call.answer_timer = None

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
