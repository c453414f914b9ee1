"""Calls: rings, answers, refuses, dials, ends; driven at the telephone, seen on the bus."""

import asyncio

import pytest

from appliance.call.progress import way_of_digits
from appliance.config.schema import Limits
from appliance.errors import (
    LineBusy,
    NotPossible,
    RequestInvalid,
    UnknownName,
)
from appliance.events import DtmfReceived, Failed
from appliance.interfaces import DtmfReport, MediaReport, NoticeReport
from tests.rig.call_desk import CallDesk
from tests.rig.virtual_time import virtual_time


async def test_an_allowed_call_is_answered_and_told(office: CallDesk) -> None:
    call = office.telephone.rings_in()
    assert office.states(call) == ["incoming", "connected"]
    assert office.connected == [call]
    assert office.of(call).codec == "PCMU/8000"
    office.telephone.ends(call)
    assert office.over == [call]
    assert office.states(call)[-1] == "ended"
    assert office.records[0].connected_at is not None


@virtual_time
async def test_it_rings_for_the_ring_time_before_it_answers() -> None:
    office = CallDesk(ring_time=0.02)
    await office.calls.start()
    call = office.telephone.rings_in()
    assert office.states(call) == ["incoming", "ringing"]
    await asyncio.sleep(0.2)
    assert office.states(call) == ["incoming", "ringing", "connected"]


async def test_without_auto_answer_it_rings_until_somebody_answers() -> None:
    office = CallDesk(auto_answer=False)
    await office.calls.start()
    call = office.telephone.rings_in()
    assert office.states(call) == ["incoming", "ringing"]
    office.calls.answer()
    assert office.states(call)[-1] == "connected"
    await office.calls.stop()


@virtual_time
async def test_a_caller_who_gives_up_is_never_answered() -> None:
    office = CallDesk(ring_time=0.01)
    await office.calls.start()
    call = office.telephone.rings_in()
    office.telephone.ends(call, 487, "Request Terminated")
    await asyncio.sleep(0.05)
    assert ("answer", call) not in office.telephone.told
    assert office.records[0].connected_at is None


async def test_the_third_call_hears_busy_and_a_stranger_forbidden(office: CallDesk) -> None:
    for _ in range(2):
        office.telephone.rings_in()
    third = office.telephone.rings_in()
    stranger = office.telephone.rings_in(source="203.0.113.9:5060")
    assert ("reject", third, "486") in office.telephone.told
    assert ("reject", stranger, "403") in office.telephone.told
    assert office.states(stranger) == []


async def test_a_late_or_doubled_report_changes_nothing(office: CallDesk) -> None:
    call = office.telephone.rings_in()
    seen = office.states(call)
    office.telephone.reports(call, "ringing")
    office.telephone.reports(call, "connected")
    office.telephone.reports("call-99", "connected")
    assert office.states(call) == seen
    assert office.connected == [call]
    assert office.calls.counters()["late_reports"] == 3


async def test_a_crash_of_the_sip_process_ends_all_calls_as_lost(office: CallDesk) -> None:
    calls = [office.telephone.rings_in(), office.calls.dial("100")]
    office.telephone.crashes()
    assert office.calls.status() == []
    assert {record.reason for record in office.records} == {"lost"}
    assert office.over == calls[:1]
    assert any(isinstance(event, Failed) and event.code == "telephone_lost" for event in office.events)


async def test_hold_resume_transfer_and_digits_reach_the_telephone(office: CallDesk) -> None:
    call = office.telephone.rings_in()
    office.calls.send_dtmf(call, "12#")
    office.calls.hold(call)
    with pytest.raises(NotPossible, match="held"):
        office.calls.send_dtmf(call, "1")
    office.calls.resume(call)
    office.calls.transfer(call, "Kitchen")
    assert office.telephone.told[-1] == ("transfer", call, "201")
    assert office.states(call)[-1] == "transferring"


async def test_digits_of_the_far_side_are_told(office: CallDesk) -> None:
    call = office.telephone.rings_in()
    office.telephone.presses(call, "5")
    assert [event.digit for event in office.events if isinstance(event, DtmfReceived)] == ["5"]


async def test_wrong_commands_get_a_clear_error(office: CallDesk) -> None:
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


async def test_stopping_hangs_up_and_keeps_the_record(office: CallDesk) -> None:
    office.telephone.rings_in()
    await office.calls.stop()
    assert [record.reason for record in office.records] == ["shutdown"]


async def test_a_call_through_the_server_is_taken_though_its_name_was_not_resolved_yet() -> None:
    office = CallDesk(server="localhost:5099", user="1", password="x")
    await office.telephone.start(office.calls.handle)
    call = office.telephone.rings_in(source="127.0.0.1:5099")
    for _ in range(100):
        await asyncio.sleep(0.01)
        if office.connected:
            break
    assert office.connected == [call]
    await office.calls.stop()


async def test_a_caller_whom_nobody_has_time_for_hears_the_busy_tone(office: CallDesk) -> None:
    office.calls.free = lambda: False
    call = office.telephone.rings_in()
    assert ("reject", call, "486") in office.telephone.told
    assert office.connected == []


async def test_a_telephone_that_hangs_at_the_end_costs_no_record(
    office: CallDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.telephone.rings_in()
    monkeypatch.setattr(office.telephone, "stop", lambda: asyncio.sleep(3600))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await office.calls.stop()
    assert [record.reason for record in office.records] == ["shutdown"]
    monkeypatch.undo()


async def test_a_denied_caller_hears_403_and_one_who_calls_too_often_480() -> None:
    office = CallDesk(limits=Limits(calls_per_minute=2), deny=("+44900*",))
    await office.calls.start()
    denied = office.telephone.rings_in(peer="sip:+44900123@127.0.0.1")
    assert ("reject", denied, "403") in office.telephone.told
    for _ in range(2):
        office.telephone.ends(office.telephone.rings_in())
    often = office.telephone.rings_in()
    assert ("reject", often, "480") in office.telephone.told
    other = office.telephone.rings_in(peer="sip:bob@127.0.0.1")
    assert office.states(other)[-1] == "connected"
    assert office.warnings() == ["caller_denied", "caller_too_often"]


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
    office = CallDesk(allow=("127.0.0.0/8",), **lists)
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
    office: CallDesk,
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


async def test_what_the_telephone_refuses_by_itself_is_a_warning_of_its_call(office: CallDesk) -> None:
    call = office.telephone.rings_in()
    office.calls.handle(NoticeReport(call, "transfer_refused", "refused", "see sip.redirects"))
    office.calls.handle(NoticeReport("00000000", "no_place_for_call", "refused", "wait"))
    assert office.warnings() == ["transfer_refused", "no_place_for_call"]


async def test_whether_the_telephone_works_is_counted_with_and_without_calls(office: CallDesk) -> None:
    assert office.calls.counters()["up"]
    office.telephone.rings_in()
    assert office.calls.counters()["up"]
    office.telephone.crashes()
    assert not office.calls.counters()["up"]


async def test_without_a_name_it_is_the_only_call_that_fits(office: CallDesk) -> None:
    ringing = CallDesk(auto_answer=False)
    await ringing.calls.start()
    call = ringing.telephone.rings_in()
    assert ringing.calls.reject() == call
    call = office.telephone.rings_in()
    assert office.calls.hold() == call
    with pytest.raises(NotPossible, match="no call is connected") as refused:
        office.calls.send_dtmf(None, "1")
    assert "status" in refused.value.hint
    assert office.calls.resume() == call
    assert office.calls.send_dtmf(None, "1") == call
    assert office.calls.transfer(None, "sip:201@127.0.0.1") == call


@pytest.mark.parametrize(
    ("direction", "hint"), [("in", "answer it first"), ("out", "wait until it is answered")]
)
async def test_what_a_call_is_not_ready_for_tells_what_comes_first(direction: str, hint: str) -> None:
    office = CallDesk(auto_answer=False)
    await office.calls.start()
    call = office.telephone.rings_in() if direction == "in" else office.calls.dial("sip:201@127.0.0.1")
    with pytest.raises(NotPossible) as refused:
        office.calls.hold(call)
    assert hint in refused.value.hint
