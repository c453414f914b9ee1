"""Several accounts: who answers for each, what is told of each, and other ones while calls go on."""

import pytest

from appliance.call.registration import remedy
from appliance.config.schema import Sip, SipAccount
from appliance.events import RegistrationChanged
from appliance.interfaces import RegistrationReport
from tests.rig.call_desk import CallDesk
from tests.rig.peer import until

SALES = {"sales": SipAccount(server="192.0.2.9", user="4711", auto_answer=False, agent="seller")}


async def test_the_called_account_says_who_answers_and_how() -> None:
    office = CallDesk(server="192.0.2.1", user="100", accounts=SALES)
    await office.calls.start()
    call = office.telephone.rings_in("192.0.2.9:5060", account="sales")
    await until(lambda: office.states(call) == ["incoming", "ringing"])
    assert (office.of(call).account, office.of(call).agent) == ("sales", "seller")
    other = office.telephone.rings_in("192.0.2.1:5060")
    await until(lambda: "connected" in office.states(other))
    assert (office.of(other).account, office.of(other).agent) == ("default", "")


async def test_each_account_s_registration_is_told_and_one_is_enough() -> None:
    office = CallDesk(server="192.0.2.1", user="100", accounts=SALES)
    await office.calls.start()
    office.calls.handle(RegistrationReport("failed", 401, "Unauthorized", "192.0.2.1"))
    assert office.calls.condition() == "not registered: failed 401 Unauthorized; off"
    assert remedy(office.calls.registrations()).startswith("check user, auth_user and password")
    office.calls.handle(RegistrationReport("registered", 200, "OK", "192.0.2.9", "sales"))
    assert office.calls.condition() == ""
    told = [event for event in office.events if isinstance(event, RegistrationChanged)]
    assert [(event.account, event.state) for event in told] == [
        ("default", "failed"),
        ("sales", "registered"),
    ]
    assert "password" in told[0].hint
    assert [entry["account"] for entry in office.calls.registrations()] == ["default", "sales"]


async def test_a_failed_registration_is_logged_once_with_its_remedy(caplog: pytest.LogCaptureFixture) -> None:
    office = CallDesk(server="192.0.2.1", user="100")
    await office.calls.start()
    for _ in range(2):
        office.calls.handle(RegistrationReport("failed", 401, "Unauthorized", "192.0.2.1"))
    told = [record for record in caplog.records if "registration of account" in record.getMessage()]
    assert [record.levelname for record in told] == ["WARNING"]
    assert "failed 401 Unauthorized (check user, auth_user and password" in told[0].getMessage()


async def test_other_accounts_are_put_in_force_and_no_call_ends() -> None:
    office = CallDesk(server="192.0.2.1", user="100")
    await office.calls.start()
    call = office.telephone.rings_in("192.0.2.1:5060")
    await until(lambda: "connected" in office.states(call))
    settings = Sip(enabled=True, server="192.0.2.1", user="100", max_calls=3, accounts=SALES)
    office.calls.set_accounts(settings, {"accounts": {"sales": {}}})
    assert ("renew", "sales") in office.telephone.told
    assert office.states(call)[-1] == "connected"
    late = office.telephone.rings_in("192.0.2.9:5060", account="sales")
    await until(lambda: office.states(late) == ["incoming", "ringing"])
    office.calls.dial("200", account="sales")
    assert office.telephone.told[-1][-1] == "sales"
