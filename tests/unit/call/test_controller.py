"""Calls: rings, answers, refuses, dials, ends; driven at the telephone, seen on the bus."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from appliance.call.call import Call
from appliance.call.controller import Calls
from appliance.call.progress import way_of_digits
from appliance.config.schema import Limits, Sip
from appliance.errors import (
    ApplianceError,
    DialBudgetUsed,
    DialForbidden,
    EmergencyForbidden,
    LineBusy,
    NotPossible,
    RequestInvalid,
    UnknownName,
)
from appliance.events import CallChanged, DtmfReceived, Event, EventBus, Failed, Warned
from appliance.interfaces import DtmfReport, MediaReport, NoticeReport
from appliance.store.store import CallRecord
from tests.fakes.telephone import FakeTelephone


class Office:
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


Opened = Callable[..., Any]


@pytest_asyncio.fixture
async def office() -> AsyncIterator[Office]:
    office = Office()
    await office.calls.start()
    yield office
    await office.calls.stop()


async def test_an_allowed_call_is_answered_and_told(office: Office) -> None:
    call = office.telephone.rings_in()
    assert office.states(call) == ["incoming", "connected"]
    assert office.connected == [call]
    assert office.of(call).codec == "PCMU/8000"
    office.telephone.ends(call)
    assert office.over == [call]
    assert office.states(call)[-1] == "ended"
    assert office.records[0].connected_at is not None


async def test_it_rings_for_the_ring_time_before_it_answers() -> None:
    office = Office(ring_time=0.02)
    await office.calls.start()
    call = office.telephone.rings_in()
    assert office.states(call) == ["incoming", "ringing"]
    await asyncio.sleep(0.2)
    assert office.states(call) == ["incoming", "ringing", "connected"]


async def test_without_auto_answer_it_rings_until_somebody_answers() -> None:
    office = Office(auto_answer=False)
    await office.calls.start()
    call = office.telephone.rings_in()
    assert office.states(call) == ["incoming", "ringing"]
    office.calls.answer()
    assert office.states(call)[-1] == "connected"
    await office.calls.stop()


async def test_a_caller_who_gives_up_is_never_answered() -> None:
    office = Office(ring_time=0.01)
    await office.calls.start()
    call = office.telephone.rings_in()
    office.telephone.ends(call, 487, "Request Terminated")
    await asyncio.sleep(0.05)
    assert ("answer", call) not in office.telephone.told
    assert office.records[0].connected_at is None


async def test_the_third_call_hears_busy_and_a_stranger_forbidden(office: Office) -> None:
    for _ in range(2):
        office.telephone.rings_in()
    third = office.telephone.rings_in()
    stranger = office.telephone.rings_in(source="203.0.113.9:5060")
    assert ("reject", third, "486") in office.telephone.told
    assert ("reject", stranger, "403") in office.telephone.told
    assert office.states(stranger) == []


async def test_a_name_that_is_no_contacts_is_told_as_such_and_a_contacts_number_is_dialled_whatever_it_is(
    office: Office,
) -> None:
    with pytest.raises(RequestInvalid, match="no contact has that name"):
        office.calls.dial("kitchn")
    call = office.calls.dial("KITCHEN")
    assert ("dial", call, "201") in office.telephone.told


async def test_dialling_a_contact_calls_its_number_and_follows_the_far_phone(office: Office) -> None:
    call = office.calls.dial("kitchen", agent="porter")
    assert ("dial", call, "201") in office.telephone.told
    for state in ("ringing", "early", "connected"):
        office.telephone.reports(call, state)
    assert office.states(call) == ["dialing", "ringing", "early", "connected"]
    assert office.of(call).agent == "porter"


async def test_a_late_or_doubled_report_changes_nothing(office: Office) -> None:
    call = office.telephone.rings_in()
    seen = office.states(call)
    office.telephone.reports(call, "ringing")
    office.telephone.reports(call, "connected")
    office.telephone.reports("call-99", "connected")
    assert office.states(call) == seen
    assert office.connected == [call]
    assert office.calls.counters()["late_reports"] == 3


async def test_a_crash_of_the_sip_process_ends_all_calls_as_lost(office: Office) -> None:
    calls = [office.telephone.rings_in(), office.calls.dial("100")]
    office.telephone.crashes()
    assert office.calls.status() == []
    assert {record.reason for record in office.records} == {"lost"}
    assert office.over == calls[:1]
    assert any(isinstance(event, Failed) and event.code == "telephone_lost" for event in office.events)


async def test_hold_resume_transfer_and_digits_reach_the_telephone(office: Office) -> None:
    call = office.telephone.rings_in()
    office.calls.send_dtmf(call, "12#")
    office.calls.hold(call)
    with pytest.raises(NotPossible, match="held"):
        office.calls.send_dtmf(call, "1")
    office.calls.resume(call)
    office.calls.transfer(call, "Kitchen")
    assert office.telephone.told[-1] == ("transfer", call, "201")
    assert office.states(call)[-1] == "transferring"


async def test_digits_of_the_far_side_are_told(office: Office) -> None:
    call = office.telephone.rings_in()
    office.telephone.presses(call, "5")
    assert [event.digit for event in office.events if isinstance(event, DtmfReceived)] == ["5"]


async def test_wrong_commands_get_a_clear_error(office: Office) -> None:
    with pytest.raises(NotPossible, match="no call is up"):
        office.calls.hang_up()
    with pytest.raises(UnknownName):
        office.calls.hold("call-77")
    with pytest.raises(RequestInvalid):
        office.calls.dial("  ")
    call = office.telephone.rings_in()
    with pytest.raises(RequestInvalid, match="DTMF"):
        office.calls.send_dtmf(call, "x")
    with pytest.raises(NotPossible):
        office.calls.reject(call)
    office.telephone.rings_in()
    with pytest.raises(LineBusy):
        office.calls.dial("100")
    with pytest.raises(RequestInvalid, match="which call"):
        office.calls.hang_up()


async def test_stopping_hangs_up_and_keeps_the_record(office: Office) -> None:
    office.telephone.rings_in()
    await office.calls.stop()
    assert [record.reason for record in office.records] == ["shutdown"]


async def test_a_call_through_the_server_is_taken_though_its_name_was_not_resolved_yet() -> None:
    office = Office(server="localhost:5099", user="1", password="x")
    await office.telephone.start(office.calls.handle)
    call = office.telephone.rings_in(source="127.0.0.1:5099")
    for _ in range(100):
        await asyncio.sleep(0.01)
        if office.connected:
            break
    assert office.connected == [call]
    await office.calls.stop()


async def test_a_caller_whom_nobody_has_time_for_hears_the_busy_tone(office: Office) -> None:
    office.calls.free = lambda: False
    call = office.telephone.rings_in()
    assert ("reject", call, "486") in office.telephone.told
    assert office.connected == []


async def test_a_telephone_that_hangs_at_the_end_costs_no_record(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.telephone.rings_in()
    monkeypatch.setattr(office.telephone, "stop", lambda: asyncio.sleep(3600))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await office.calls.stop()
    assert [record.reason for record in office.records] == ["shutdown"]
    monkeypatch.undo()


def warnings(office: Office) -> list[str]:
    return [event.code for event in office.events if isinstance(event, Warned)]


@pytest.mark.parametrize(
    ("to", "fault"),
    [("112", EmergencyForbidden), ("301", DialForbidden), ("sip:201@elsewhere.example.net", DialForbidden)],
)
async def test_what_an_agent_may_not_dial_never_reaches_the_telephone(
    to: str, fault: type[ApplianceError]
) -> None:
    office = Office(dial=("2xx",), server="pbx.example.org")
    await office.calls.start()
    call = office.calls.dial("201", by_agent=True)
    office.telephone.reports(call, "connected")
    office.telephone.told.clear()
    with pytest.raises(fault):
        office.calls.dial(to, by_agent=True)
    with pytest.raises(fault):
        office.calls.transfer(call, to, by_agent=True)
    assert not [told for told in office.telephone.told if told[0] in ("dial", "transfer")]
    assert warnings(office)[0] == fault.code


async def test_a_transfer_by_an_agent_is_held_to_the_dial_plan_and_by_a_person_not(office: Office) -> None:
    call = office.telephone.rings_in()
    for to in ("+112", "sip:9@elsewhere.example.net"):
        with pytest.raises((EmergencyForbidden, DialForbidden)):
            office.calls.transfer(call, to, by_agent=True)
    assert office.states(call)[-1] == "connected"
    office.calls.transfer(call, "sip:9@elsewhere.example.net")
    assert office.telephone.told[-1] == ("transfer", call, "sip:9@elsewhere.example.net")


async def test_a_person_dials_an_emergency_number_unless_that_is_configured_away() -> None:
    office = Office()
    await office.calls.start()
    call = office.calls.dial("112")
    assert ("dial", call, "112") in office.telephone.told
    with pytest.raises(EmergencyForbidden):
        Office(emergency_calls="never").calls.dial("112")


async def test_what_is_dialled_for_an_agent_is_what_was_checked() -> None:
    office = Office(server="pbx.example.org")
    await office.calls.start()
    call = office.calls.dial(" +49 (30) 12-34 ", by_agent=True)
    assert ("dial", call, "+49301234") in office.telephone.told


async def test_the_days_calls_of_agents_are_counted_and_peoples_are_not() -> None:
    office = Office(limits=Limits(dials_per_day=1))
    await office.calls.start()
    office.telephone.ends(office.calls.dial("201", by_agent=True))
    with pytest.raises(DialBudgetUsed):
        office.calls.dial("202", by_agent=True)
    office.telephone.ends(office.calls.dial("202"))
    assert [record.by_agent for record in office.records] == [True, False]
    assert office.calls.counters()["agent_dials_today"] == 1


@pytest.mark.slow
async def test_a_call_of_an_agent_ends_when_the_days_minutes_do() -> None:
    office = Office(limits=Limits(dial_minutes_per_day=1))
    await office.calls.start()
    office.calls.outgoing.load([("201", 59.9)])
    call = office.calls.dial("202", by_agent=True)
    theirs = office.calls.dial("203")
    for name in (call, theirs):
        office.telephone.reports(name, "connected")
    await asyncio.sleep(0.3)
    assert office.states(call)[-1] == "ended"
    assert office.states(theirs)[-1] == "connected"
    assert warnings(office) == ["dial_budget_used"]
    await office.calls.stop()


async def test_a_denied_caller_hears_403_and_one_who_calls_too_often_480() -> None:
    office = Office(limits=Limits(calls_per_minute=2), deny=("+44900*",))
    await office.calls.start()
    denied = office.telephone.rings_in(peer="sip:+44900123@127.0.0.1")
    assert ("reject", denied, "403") in office.telephone.told
    for _ in range(2):
        office.telephone.ends(office.telephone.rings_in())
    often = office.telephone.rings_in()
    assert ("reject", often, "480") in office.telephone.told
    other = office.telephone.rings_in(peer="sip:bob@127.0.0.1")
    assert office.states(other)[-1] == "connected"
    assert warnings(office) == ["caller_denied", "caller_too_often"]


@pytest.mark.parametrize(
    ("says", "server_says", "lists", "state"),
    [
        ("anonymous@anonymous.invalid", "+44900123@127.0.0.1", {"deny": ("+44900*",)}, "ended"),
        ("+44900123@127.0.0.1", "201@127.0.0.1", {"deny": ("+44900*",)}, "ended"),
        ("anonymous@anonymous.invalid", "201@127.0.0.1", {"callers": ("2xx",)}, "connected"),
        ("201@127.0.0.1", "+44900123@127.0.0.1", {"callers": ("2xx",)}, "ended"),
    ],
)
async def test_who_is_let_in_is_judged_by_who_the_server_says_it_is(says, server_says, lists, state) -> None:
    office = Office(allow=("127.0.0.0/8",), **lists)
    await office.calls.start()
    call = office.telephone.rings_in(
        peer=f"sip:{says}", headers={"p-asserted-identity": f"<sip:{server_says}>"}
    )
    assert office.states(call)[-1] == state


@pytest.mark.parametrize(
    ("wanted", "events", "info", "way"),
    [
        ("auto", True, True, "rfc4733"),
        ("auto", False, True, "info"),
        ("auto", False, False, "inband"),
        ("info", True, False, "info"),
        ("inband", True, True, "inband"),
    ],
)
def test_digits_go_the_best_way_that_the_far_end_offers(
    wanted: str, events: bool, info: bool, way: str
) -> None:
    assert way_of_digits(wanted, MediaReport("1", True, "PCMU/8000", events, info)) == way


async def test_digits_sound_where_nothing_else_is_offered_and_no_more_once_the_far_end_sent_one(
    office: Office,
) -> None:
    sounded: list[tuple[str, str]] = []
    office.calls.on_tones = lambda call, digits: sounded.append((call, digits))
    call = office.telephone.rings_in()
    office.calls.handle(MediaReport(call, True, "PCMU/8000", events=False))
    office.calls.send_dtmf(call, "1a")
    assert sounded == [(call, "1A")]
    office.calls.handle(DtmfReport(call, "5", 100, "info"))
    office.calls.send_dtmf(call, "2")
    assert ("send_dtmf", call, "2") in office.telephone.told
    assert sounded == [(call, "1A")]


async def test_what_the_telephone_refuses_by_itself_is_a_warning_of_its_call(office: Office) -> None:
    call = office.telephone.rings_in()
    office.calls.handle(NoticeReport(call, "transfer_refused", "refused", "see sip.redirects"))
    office.calls.handle(NoticeReport("00000000", "no_place_for_call", "refused", "wait"))
    assert warnings(office) == ["transfer_refused", "no_place_for_call"]


async def test_whether_the_telephone_works_is_counted_with_and_without_calls(office: Office) -> None:
    assert office.calls.counters()["up"]
    office.telephone.rings_in()
    assert office.calls.counters()["up"]
    office.telephone.crashes()
    assert not office.calls.counters()["up"]


async def test_calls_that_far_ends_have_us_make_count_as_what_agents_dial() -> None:
    office = Office(limits=Limits(dials_per_day=3, dials_to_one_number=2), max_calls=3)
    await office.calls.start()
    caller = office.telephone.rings_in()
    office.telephone.is_sent(caller, "<sip:+49900123456@127.0.0.1>")
    assert office.telephone.may_be_sent_to() == "not to "
    office.telephone.is_sent(caller, "sip:0049900123456@127.0.0.1")
    assert office.telephone.may_be_sent_to() == "not to +49900123456@127.0.0.1"
    office.calls.dial("201", by_agent=True)
    assert "nobody" in office.telephone.may_be_sent_to(), "the day's calls are used up"
    office.telephone.is_sent("call-of-nobody", "202")
    assert office.calls.counters()["agent_dials_today"] == 3
    with pytest.raises(DialBudgetUsed):
        office.calls.dial("202", by_agent=True)
    await office.calls.stop()


async def test_whom_a_far_end_had_us_call_talks_on_the_days_minutes() -> None:
    office = Office(limits=Limits(dial_minutes_per_day=1))
    await office.calls.start()
    caller = office.telephone.rings_in()
    office.telephone.is_sent(caller, "202")
    office.telephone.is_sent(caller, "", answered=True)
    await asyncio.sleep(0.05)
    office.telephone.ends(caller)
    assert 0 < office.calls.counters()["agent_dial_seconds_today"] < 60
    await office.calls.stop()
