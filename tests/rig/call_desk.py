"""The call controller with all that it touches, a telephone without SIP among it."""

from typing import Any

from appliance.bus import EventBus
from appliance.call.call import Call
from appliance.call.controller import Calls
from appliance.config.schema import Limits, Sip
from appliance.events import CallChanged, Event, Warned
from appliance.store.store import CallRecord
from tests.fakes.telephone import FakeTelephone


class CallDesk:
    """The controller with all that it touches."""

    def __init__(self, *, limits: Limits | None = None, **settings: Any) -> None:
        self.telephone = FakeTelephone()
        self.events: list[Event] = []
        self.records: list[CallRecord] = []
        self.connected: list[str] = []
        self.over: list[str] = []
        bus = EventBus()
        bus.listen(self.events.append)
        self.calls = Calls(
            self.telephone,
            Sip(enabled=True, **settings),
            bus,
            self,
            lambda call: self.connected.append(call.id),
            lambda call: self.over.append(call.id),
            contacts={"Kitchen": "201"},
            limits=limits,
        )

    def add_call(self, record: CallRecord) -> None:
        self.records.append(record)

    def states(self, call: str) -> list[str]:
        return [event.state for event in self.events if isinstance(event, CallChanged) and event.call == call]

    def of(self, name: str) -> Call:
        return self.calls.call(name)

    def warnings(self) -> list[str]:
        return [event.code for event in self.events if isinstance(event, Warned)]
