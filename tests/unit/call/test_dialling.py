"""Calls that we make: whom people and agents may dial, and how much of it a day."""

import asyncio

import pytest

from appliance.config.schema import Limits
from appliance.errors import (
    ApplianceError,
    DialBudgetUsed,
    DialForbidden,
    EmergencyForbidden,
    RequestInvalid,
)
from tests.rig.call_desk import CallDesk


async def test_a_name_that_is_no_contacts_is_told_as_such_and_a_contacts_number_is_dialled_whatever_it_is(
    office: CallDesk,
) -> None:
    with pytest.raises(RequestInvalid, match="no contact has that name"):
        office.calls.dial("kitchn")
    call = office.calls.dial("KITCHEN")
    assert ("dial", call, "201") in office.telephone.told


async def test_dialling_a_contact_calls_its_number_and_follows_the_far_phone(office: CallDesk) -> None:
    call = office.calls.dial("kitchen", agent="porter")
    assert ("dial", call, "201") in office.telephone.told
    for state in ("ringing", "early", "connected"):
        office.telephone.reports(call, state)
    assert office.states(call) == ["dialing", "ringing", "early", "connected"]
    assert office.of(call).agent == "porter"


@pytest.mark.parametrize(
    ("to", "fault"),
    [("112", EmergencyForbidden), ("301", DialForbidden), ("sip:201@elsewhere.example.net", DialForbidden)],
)
async def test_what_an_agent_may_not_dial_never_reaches_the_telephone(
    to: str, fault: type[ApplianceError]
) -> None:
    office = CallDesk(dial=("2xx",), server="pbx.example.org")
    await office.calls.start()
    call = office.calls.dial("201", by_agent=True)
    office.telephone.reports(call, "connected")
    office.telephone.told.clear()
    with pytest.raises(fault):
        office.calls.dial(to, by_agent=True)
    with pytest.raises(fault):
        office.calls.transfer(call, to, by_agent=True)
    assert not [told for told in office.telephone.told if told[0] in ("dial", "transfer")]
    assert office.warnings()[0] == fault.code


async def test_a_transfer_by_an_agent_is_held_to_the_dial_plan_and_by_a_person_not(office: CallDesk) -> None:
    call = office.telephone.rings_in()
    for to in ("+112", "sip:9@elsewhere.example.net"):
        with pytest.raises((EmergencyForbidden, DialForbidden)):
            office.calls.transfer(call, to, by_agent=True)
    assert office.states(call)[-1] == "connected"
    office.calls.transfer(call, "sip:9@elsewhere.example.net")
    assert office.telephone.told[-1] == ("transfer", call, "sip:9@elsewhere.example.net")


async def test_a_person_dials_an_emergency_number_unless_that_is_configured_away() -> None:
    office = CallDesk()
    await office.calls.start()
    call = office.calls.dial("112")
    assert ("dial", call, "112") in office.telephone.told
    with pytest.raises(EmergencyForbidden):
        CallDesk(emergency_calls="never").calls.dial("112")


async def test_what_is_dialled_for_an_agent_is_what_was_checked() -> None:
    office = CallDesk(server="pbx.example.org")
    await office.calls.start()
    call = office.calls.dial(" +49 (30) 12-34 ", by_agent=True)
    assert ("dial", call, "+49301234") in office.telephone.told


async def test_the_days_calls_of_agents_are_counted_and_peoples_are_not() -> None:
    office = CallDesk(limits=Limits(dials_per_day=1))
    await office.calls.start()
    office.telephone.ends(office.calls.dial("201", by_agent=True))
    with pytest.raises(DialBudgetUsed):
        office.calls.dial("202", by_agent=True)
    office.telephone.ends(office.calls.dial("202"))
    assert [record.by_agent for record in office.records] == [True, False]
    assert office.calls.counters()["agent_dials_today"] == 1


@pytest.mark.slow
async def test_a_call_of_an_agent_ends_when_the_days_minutes_do() -> None:
    office = CallDesk(limits=Limits(dial_minutes_per_day=1))
    await office.calls.start()
    office.calls.outgoing.load([("201", 59.9)])
    call = office.calls.dial("202", by_agent=True)
    theirs = office.calls.dial("203")
    for name in (call, theirs):
        office.telephone.reports(name, "connected")
    await asyncio.sleep(0.3)
    assert office.states(call)[-1] == "ended"
    assert office.states(theirs)[-1] == "connected"
    assert office.warnings() == ["dial_budget_used"]
    await office.calls.stop()


async def test_calls_that_far_ends_have_us_make_count_as_what_agents_dial() -> None:
    office = CallDesk(limits=Limits(dials_per_day=3, dials_to_one_number=2), max_calls=3)
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
    office = CallDesk(limits=Limits(dial_minutes_per_day=1))
    await office.calls.start()
    caller = office.telephone.rings_in()
    office.telephone.is_sent(caller, "202")
    office.telephone.is_sent(caller, "", answered=True)
    await asyncio.sleep(0.05)
    office.telephone.ends(caller)
    assert 0 < office.calls.counters()["agent_dial_seconds_today"] < 60
    await office.calls.stop()
