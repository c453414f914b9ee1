"""The calls that are not over: found by name, told on the bus, written down when they end."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

from appliance.bus import EventBus
from appliance.call.call import Call
from appliance.call.machine import CallState
from appliance.call.outcome import NO_ANSWER_CODE, outcome_of
from appliance.errors import NotPossible, RequestInvalid, UnknownName
from appliance.events import CallChanged
from appliance.store.store import CallRecord

CANCELLED: Final = 487
_LOOK: Final = "status lists the calls and how they stand"


class CallJournal(Protocol):
    """Where finished calls are kept."""

    def add_call(self, record: CallRecord) -> None: ...


class CallTable:
    """Belongs to the loop's thread. `on_ended` is told once of each answered call, before the bus is."""

    def __init__(self, bus: EventBus, journal: CallJournal, on_ended: Callable[[Call], None]) -> None:
        self._bus = bus
        self._journal = journal
        self._on_ended = on_ended
        self._calls: dict[str, Call] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[Call]:
        """Those of this moment: they may end while they are gone through."""
        return iter(tuple(self._calls.values()))

    def get(self, name: str) -> Call | None:
        return self._calls.get(name)

    def on_line(self, line: str) -> Call | None:
        """The call whose audio is on that line."""
        return next((call for call in self if call.line == line), None)

    def wire(self) -> list[dict[str, Any]]:
        """As `status` shows them."""
        return [call.wire() for call in self]

    def find(self, name: str | None, fits: Callable[[Call], bool], none_fits: str) -> Call:
        """The call of that name, or without a name the only one that fits.

        Raise UnknownName, NotPossible with `none_fits`, or RequestInvalid where several fit.
        """
        if name:
            return self.named(name)
        fitting = [call for call in self if fits(call)]
        if not fitting:
            raise NotPossible(none_fits, hint=_LOOK)
        if len(fitting) > 1:
            names = ", ".join(call.id for call in fitting)
            raise RequestInvalid(f"which call? {names}", hint="name one of them")
        return fitting[0]

    def named(self, name: str) -> Call:
        """Raise UnknownName."""
        if name not in self._calls:
            raise UnknownName(f"there is no call {name}", hint="status lists the calls")
        return self._calls[name]

    def in_state(self, name: str | None, *states: CallState) -> Call:
        """The call of that name, or without a name the only one in one of `states`.

        Raise UnknownName, NotPossible where it is in none of them, or RequestInvalid where several are.
        """
        call = self.find(name, lambda one: one.state in states, f"no call is {' or '.join(states)}")
        if call.state not in states:
            raise NotPossible(f"call {call.id} is {call.state}", hint=first(call.state, call.direction))
        return call

    def add(self, call: Call) -> None:
        self._calls[call.id] = call
        self.tell(call)

    def end(self, call: Call, code: int, reason: str) -> None:
        """Take it out, once: a call that is not in the table has ended already."""
        if self._calls.pop(call.id, None) is None:
            return
        call.cancel_timer()
        if call.given_up and code in (0, CANCELLED):
            code, reason = NO_ANSWER_CODE, "no answer"
        call.state, call.code, call.reason = CallState.ENDED, code, reason
        if call.connected_at is not None:
            self._on_ended(call)
        self.tell(call)
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
                by_agent=call.by_agent,
                quality=json.dumps(summary) if (summary := call.quality.summary()) is not None else "",
            )
        )

    def tell(self, call: Call) -> None:
        """Say on the bus how it stands."""
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
                display_name=call.display_name or None,
                called=call.called or None,
                outcome=_outcome(call),
            )
        )


def first(state: CallState, direction: str) -> str:
    """What has to come before what was asked for, for a call that stands so."""
    if state is CallState.HELD:
        return "resume it first"
    if state is CallState.TRANSFERRING:
        return "wait until the transfer is over: events `call` tell"
    if state is CallState.CONNECTED:
        return "it is up already"
    return "answer it first" if direction == "in" else "wait until it is answered: events `call` tell"


def _outcome(call: Call) -> str | None:
    over = call.state is CallState.ENDED and call.connected_at is None
    return str(outcome_of(call.code)) if over and call.direction == "out" else None
