"""The calls: what may be done with them, one short method a command, and what the telephone reports of them.

Media is joined by whoever listens to `on_connected`.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from appliance.bus import EventBus
from appliance.call.call import ROOM, Call
from appliance.call.machine import ANSWERED, CallState, follow
from appliance.call.outgoing import Outgoing
from appliance.call.progress import Progress
from appliance.call.reception import Reception
from appliance.call.registration import Registrations
from appliance.call.room import NoRoom, RoomPort
from appliance.call.routing import Routed
from appliance.call.table import CallJournal, CallTable
from appliance.config.schema import FIRST_ACCOUNT, Limits, Sip
from appliance.errors import LineBusy, NotPossible, RequestInvalid, TelephoneUnavailable, UnknownName
from appliance.events import Failed, MailboxChanged
from appliance.interfaces import (
    CallReport,
    DtmfReport,
    IncomingCall,
    MailboxReport,
    MediaReport,
    NoticeReport,
    QualityReport,
    RegistrationReport,
    SentReport,
    SoundReport,
    StrangersReport,
    Telephone,
    TelephoneEvent,
    TelephoneLost,
    TelephoneReady,
)

_DTMF: Final = frozenset("0123456789*#ABCD")
logger = logging.getLogger(__name__)


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
        limits: Limits | None = None,
        agents: Callable[[], Mapping[str, Routed]] = dict,
    ) -> None:
        self._telephone = telephone
        self._settings = settings
        self._bus = bus
        self._on_connected = on_connected
        self._on_ended = on_ended
        self._on_record = on_record
        limits = limits or Limits()
        self.outgoing = Outgoing(settings, limits, contacts or {}, bus, self.hang_up)
        self._table = CallTable(bus, journal, self._ended)
        self.outgoing.on_spent = self._bar
        parts = (telephone, settings, bus, self._table, self._is_free)
        self._reception = Reception(*parts, calls_per_minute=limits.calls_per_minute, agents=agents)
        self._registrations = Registrations(_servers(settings), bus)
        self._progress = Progress(settings, bus, self._table, self._connected, self._pressed)
        self._counters = {"calls_out": 0, "lost": 0}
        self.address = ""
        self.fault = "the SIP process is starting"
        self.on_condition: Callable[[str], None] = lambda _: None
        """Told, after each change, why calls cannot be taken or made; empty when they can."""
        self.on_digit: Callable[[str, str], None] = lambda _, __: None
        """Told of each digit that the far end of a call keyed in."""
        self.on_pause: Callable[[str, bool], None] = lambda _, __: None
        """Told that what is said on a call is to be recorded as silence, or no longer."""
        self.on_tones: Callable[[str, str], None] = lambda _, __: None
        """Told of digits that are to sound on a call, where the far end takes them in no other way."""
        self.on_attended: Callable[[Call, str, str], None] | None = None
        """Begins an attended transfer of a call to a number, with a summary for who takes it."""
        self.room: RoomPort = NoRoom()
        """Set by the daemon, where there is a room."""
        self.free: Callable[[], bool] = lambda: True
        """Whether there is somebody to talk to one more caller: else they hear the busy tone."""

    async def start(self) -> None:
        """Start the telephone, which reports from now on. Raise DriverMissing where there is no library for it."""
        await self._telephone.start(self.handle)
        self._reception.open()
        self._registrations.doubt(self._settings)

    async def stop(self) -> None:
        """Hang up everything and end the telephone; at most 5 s."""
        for call in self._table:
            call.cancel_timer()
        try:
            await self._telephone.stop()
        finally:
            for call in self._table:
                self._table.end(call, 0, "shutdown")
            self.outgoing.close()
            await self._reception.close()

    @property
    def do_not_disturb(self) -> bool:
        """Callers hear the busy tone."""
        return self._reception.do_not_disturb

    def set_do_not_disturb(self, on: bool) -> None:
        self._reception.do_not_disturb = on

    def set_contacts(self, contacts: Mapping[str, str]) -> None:
        """Names that `dial` and `transfer` take for numbers, whatever their case."""
        self.outgoing.set_contacts(contacts)

    def set_accounts(self, settings: Sip, plain: Mapping[str, Any]) -> None:
        """Other accounts from now on; no call ends. `plain` is what the telephone is told: config/accounts.py."""
        self._settings = settings
        self._registrations.set_servers(_servers(settings))
        self._reception.renew(settings)
        self.outgoing.renew(settings)
        self._progress.renew(settings)
        self._telephone.renew(plain)
        self.on_condition(self.condition())

    def handle(self, event: TelephoneEvent) -> None:
        """Take one report of the telephone."""
        match event:
            case IncomingCall():
                self._reception.take(event)
            case (
                CallReport() | MediaReport() | DtmfReport() | QualityReport() | SoundReport() | NoticeReport()
            ):
                self._progress.take(event)
            case RegistrationReport():
                self._reception.found(event.addresses)
                self._registrations.take(event)
            case TelephoneReady(address=address):
                self.address, self.fault = address, ""
                logger.info("the telephone listens at %s", address)
                self._reception.listen()
                self._bar()
            case MailboxReport(account=account, waiting=waiting, new=new, old=old):
                self._bus.publish(MailboxChanged(account=account, waiting=waiting, new=new, old=old))
            case SentReport() if self._table.get(event.call) is not None:
                self.outgoing.sent(event)
            case StrangersReport():
                self._reception.strangers()
            case TelephoneLost():
                self._lose(event)
        self.on_condition(self.condition())

    def condition(self) -> str:
        """Why calls cannot be taken or made now; empty when they can."""
        return self.fault or self._registrations.missing()

    @property
    def registration(self) -> Mapping[str, Any]:
        """The first account's, as the control API shows it: account, state, code, reason, server, hint."""
        return self._registrations.first

    def registrations(self) -> list[dict[str, Any]]:
        """Those of all accounts, the first one first."""
        return self._registrations.all()

    def dial(
        self, to: str, *, agent: str = "", account: str = "", by_agent: bool = False, line: str = ""
    ) -> str:
        """Call a contact, extension, number or SIP URI; return the call's id.

        With `line` "room" the person there talks on it. Without `account` it is the one at the URI's domain, else the
        first. Raise UnknownName, and Forbidden as the dial plan says.
        """
        if not to.strip():
            raise RequestInvalid(
                "there is nothing to dial", hint='for example "100" or "sip:100@pbx.example.org"'
            )
        if len(self._table) >= self._settings.max_calls:
            raise LineBusy(
                f"{len(self._table)} calls are up already", hint="hang one up, or raise sip.max_calls"
            )
        if line == ROOM:
            self.room.require_ready()
        call = self._dial(to, agent=agent, by_agent=by_agent, account=account, place=line)
        if line == ROOM:
            self.room.dialled(call)
        return call.id

    def consult(self, call: Call, to: str, *, by_agent: bool = False) -> Call:
        """Call `to` beside `call`, to ask whether they take it: one call more than `max_calls` may be up for that."""
        if len(self._table) > self._settings.max_calls:
            raise LineBusy("All lines are taken.", hint="raise sip.max_calls")
        return self._dial(to, beside=call.id, by_agent=by_agent, account=call.account)

    def _dial(
        self, to: str, *, by_agent: bool, account: str, agent: str = "", beside: str = "", place: str = ""
    ) -> Call:
        target = self.outgoing.target(to, by_agent=by_agent)
        name = self._telephone.dial(target, account=account)
        if by_agent:
            self.outgoing.dialled(target)
        self._counters["calls_out"] += 1
        call = Call(name, "out", target, CallState.DIALING, time.time(), agent, account or FIRST_ACCOUNT)
        call.by_agent, call.beside = by_agent, beside
        call.place = place if place == ROOM else ""
        loop = asyncio.get_running_loop()
        call.answer_timer = loop.call_later(self._settings.dial_time, self.give_up, call)
        self._table.add(call)
        return call

    def give_up(self, call: Call) -> None:
        """It has rung for long enough."""
        if call.state in ANSWERED or self._table.get(call.id) is not call:
            return
        call.given_up = True
        call.cancel_timer()
        with contextlib.suppress(UnknownName, TelephoneUnavailable):
            self._telephone.hang_up(call.id)

    def mark(self, call: Call, state: CallState, code: int = 0, reason: str = "") -> None:
        """Say how a call stands that a transfer is about, where its SIP dialogue does not know of it."""
        if self._table.get(call.id) is call and follow(call.state, state) is not None:
            call.state, call.code, call.reason = state, code, reason
            self._table.tell(call)

    def join(self, call: Call, other: Call) -> None:
        """Have the two talk to each other without us, where both phones can; the outcome is told as a call's state."""
        self._telephone.join(call.id, other.id)

    def answer(self, call: str | None = None, line: str = "") -> str:
        """Answer a call, or without a name the one that rings; with `line` "room" or "agent", who is to talk on it.

        One that is answered goes from one to the other.
        """
        named = self._table.get(call) if call else None
        if line and named is not None and named.state in ANSWERED:
            self.room.place(named, line)
            return named.id
        found = self._table.find(call, _asks, "no call is ringing")
        if found.state in ANSWERED:
            raise NotPossible(f"call {found.id} is {found.state} already", hint="line room or agent moves it")
        if line == ROOM:
            self.room.require_ready()
        found.cancel_timer()
        if line:
            found.place = line if line == ROOM else ""
        self._telephone.answer(found.id)
        return found.id

    def admit(self, call: Call) -> None:
        """Who calls need not give a PIN, or has: they may transfer us."""
        if call.direction == "in" and not call.locked:
            with contextlib.suppress(UnknownName, TelephoneUnavailable):
                self._telephone.lock(call.id, False)

    def reject(self, call: str | None = None, code: int = 603) -> str:
        """Refuse an incoming call that is not answered yet, or without a name the one that rings; `code` 400 to 699."""
        if not 400 <= code <= 699:
            raise RequestInvalid(f"{code} does not refuse a call", hint="use 486, 480 or 603")
        found = self._table.find(call, _asks, "no call is ringing")
        if not _asks(found):
            raise NotPossible(f"call {found.id} is {found.state}", hint="use call.hangup")
        found.cancel_timer()
        self._telephone.reject(found.id, code)
        return found.id

    def hang_up(self, call: str | None = None) -> str:
        """End a call, or without a name the only one there is."""
        found = self._table.find(call, lambda _: True, "no call is up")
        found.cancel_timer()
        self._telephone.hang_up(found.id)
        return found.id

    def hold(self, call: str | None = None) -> str:
        """As all below: that call, or without a name the only one that fits."""
        found = self._table.in_state(call, CallState.CONNECTED)
        self._telephone.hold(found.id)
        return found.id

    def resume(self, call: str | None = None) -> str:
        found = self._table.in_state(call, CallState.HELD)
        self._telephone.resume(found.id)
        return found.id

    def transfer(
        self, call: str | None, to: str, mode: str = "blind", summary: str = "", *, by_agent: bool = False
    ) -> str:
        """Hand the far side over to `to`: at once (REFER), or "attended", when somebody has taken the call there.

        Raise Forbidden as the dial plan says.
        """
        if not to.strip():
            raise RequestInvalid("there is nobody to transfer to", hint='for example "201"')
        found = self._table.in_state(call, CallState.CONNECTED, CallState.HELD)
        if mode == "attended":
            if self.on_attended is None:
                raise NotPossible("attended transfer is not there", hint="mode blind is")
            self.on_attended(found, to.strip(), summary)
            return found.id
        target = self.outgoing.target(to, by_agent=by_agent)
        self._telephone.transfer(found.id, target)
        if by_agent:
            self.outgoing.dialled(target)
        return found.id

    def send_dtmf(self, call: str | None, digits: str) -> str:
        wrong = sorted(set(digits.upper()) - _DTMF)
        if wrong or not digits or len(digits) > 64:
            raise RequestInvalid(f"{digits!r} are no DTMF digits", hint="0-9, *, #, A-D; at most 64")
        found = self._table.in_state(call, CallState.CONNECTED)
        if found.digits_by == "inband":
            self.on_tones(found.id, digits.upper())
        else:
            self._telephone.send_dtmf(found.id, digits.upper())
        return found.id

    def record(self, call: str | None, on: bool, paused: bool | None = None) -> str:
        """Begin or end to record that call; `paused` keeps silence in the place of both sides, or no longer."""
        found = self._table.in_state(call, CallState.CONNECTED, CallState.HELD)
        if self._on_record is None:
            raise NotPossible("recording is not there", hint="this telephone has no recorder")
        if paused is not None:
            self.on_pause(found.id, paused)
        self._on_record(found.id, on)
        return found.id

    def call(self, name: str) -> Call:
        """Raise UnknownName."""
        return self._table.named(name)

    def on_line(self, line: str) -> Call | None:
        """The call whose audio is on that line."""
        return self._table.on_line(line)

    def status(self) -> list[dict[str, Any]]:
        return self._table.wire()

    def counters(self) -> Mapping[str, float]:
        own = {
            **self._reception.counters(),
            **self._counters,
            **self.outgoing.counters(),
            **self._progress.counters(),
            "up": not self.fault,
        }
        return {**own, **self._telephone.counters()}

    def _connected(self, call: Call) -> None:
        self.outgoing.connected(call)
        self._on_connected(call)
        self.admit(call)

    def _bar(self) -> None:
        with contextlib.suppress(TelephoneUnavailable):  # it is told when it is ready
            self._telephone.bar(*self.outgoing.spent())

    def _pressed(self, call: Call, digit: str) -> None:
        """`on_digit` is set after this is built."""
        self.on_digit(call.id, digit)

    def _ended(self, call: Call) -> None:
        self.outgoing.ended(call)
        self._on_ended(call)

    def _is_free(self) -> bool:
        """`free` is set after this is built."""
        return self.free()

    def _lose(self, event: TelephoneLost) -> None:
        logger.error("the SIP process was lost (%s) with %d calls", event.reason, len(self._table))
        self.fault = event.reason
        self._counters["lost"] += len(self._table)
        for call in self._table:
            self._table.end(call, 0, "lost")
        self._bus.publish(
            Failed(
                code="telephone_lost",
                message=f"the SIP process ended: {event.reason}",
                hint="it is being restarted",
            )
        )


def _asks(call: Call) -> bool:
    """Somebody calls, and nobody has answered."""
    return call.direction == "in" and call.state not in ANSWERED


def _servers(settings: Sip) -> dict[str, str]:
    return {name: account.server for name, account in settings.each().items()}
