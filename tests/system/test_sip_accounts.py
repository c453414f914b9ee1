"""Several accounts at real registrars: each by itself, and changed while calls go on."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from appliance.errors import UnknownName
from appliance.interfaces import CallReport, IncomingCall, RegistrationReport
from tests.rig.appliance import Handset, toml
from tests.rig.control_client import Refused
from tests.rig.sip_desk import RATE, Desk, settle
from tests.rig.sip_peers import Phone, Registrar, password_of, programs_missing
from tests.rig.tones import dominant_hertz

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(bool(programs_missing()), reason=f"not installed: {programs_missing()}"),
]


@pytest.fixture
async def head_office() -> AsyncIterator[Registrar]:
    async with Registrar() as registrar:
        yield registrar


@pytest.fixture
async def branch() -> AsyncIterator[Registrar]:
    async with Registrar() as registrar:
        yield registrar


def account(registrar: Registrar, user: str, **more: Any) -> dict[str, Any]:
    return {"server": registrar.server, "user": user, "password": password_of(user), **more}


def states(desk: Desk, name: str) -> list[str]:
    return [report.state for report in desk.of(RegistrationReport, account=name)]


async def both_registered(desk: Desk) -> None:
    await desk.until(RegistrationReport, account="default", state="registered")
    await desk.until(RegistrationReport, account="branch", state="registered")


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_two_accounts_register_and_a_call_tells_for_which_it_is(head_office, branch, transport):
    further = {"branch": account(branch, "handset", transport=transport)}
    async with (
        Desk(server=head_office.server, user="handset", accounts=further) as desk,
        Phone("alice", branch, tone=440) as alice,
        Phone("bob", head_office, tone=600) as bob,
    ):
        await both_registered(desk)
        await alice.dial(f"sip:handset@{branch.server}")
        call = await desk.pick_up()
        since = len(desk.events)
        await bob.dial(f"sip:handset@{head_office.server}")
        other = await desk.pick_up(since=since)
        assert [event.account for event in desk.of(IncomingCall)] == ["branch", "default"]
        await settle(1.5)
        assert dominant_hertz(desk.heard(call, 1000), RATE) == pytest.approx(440, abs=5)
        assert dominant_hertz(desk.heard(other, 1000), RATE) == pytest.approx(600, abs=5)


async def test_a_call_goes_out_by_the_account_that_was_named_or_stands_at_the_address(head_office, branch):
    further = {"branch": account(branch, "clerk")}
    async with (
        Desk(server=head_office.server, user="handset", accounts=further) as desk,
        Phone("alice", branch) as alice,
    ):
        await both_registered(desk)
        call = desk.telephone.dial("alice", account="branch")
        await desk.state(call, "ringing")
        assert "clerk" in (await alice.event("CALL_INCOMING"))["peeruri"]
        desk.telephone.hang_up(call)
        await desk.state(call, "ended")

        call = desk.telephone.dial(f"sip:alice@{branch.server}")
        await desk.state(call, "ringing")
        desk.telephone.hang_up(call)
        await desk.state(call, "ended")

        call = desk.telephone.dial("alice")  # the first account's registrar knows no alice
        assert (await desk.state(call, "ended")).code == 404
        with pytest.raises(UnknownName):
            desk.telephone.dial("alice", account="warehouse")


async def test_one_registration_that_fails_does_not_touch_another(head_office, branch):
    further = {"branch": account(branch, "handset") | {"password": "wrong"}}
    async with (
        Desk(server=head_office.server, user="handset", accounts=further) as desk,
        Phone("bob", head_office) as bob,
    ):
        assert (await desk.until(RegistrationReport, account="branch", state="failed")).code in (401, 403)
        await head_office.stop()
        await head_office.start()
        await bob.stop()
        await bob.start()
        await settle(1.0)
        assert states(desk, "default") == ["trying", "registered"]
        assert states(desk, "branch") == ["trying", "failed"]


async def test_a_transport_that_is_taken_fails_its_account_alone(head_office, branch):
    async with Desk(server=branch.server, user="other", transport="tcp") as squatter:
        further = {"branch": account(branch, "handset", transport="tcp")}
        port = squatter.settings["port"]
        async with Desk(server=head_office.server, user="handset", accounts=further, port=port) as desk:
            report = await desk.until(RegistrationReport, account="branch", state="failed")
            assert "in use" in report.reason
            assert "sip.port" in report.hint
            assert states(desk, "default") == ["trying", "registered"]


async def test_accounts_come_change_and_go_while_calls_of_others_and_their_own_go_on(head_office, branch):
    async with (
        Desk(server=head_office.server, user="handset", max_calls=4) as desk,
        Phone("bob", head_office, tone=600) as bob,
        Phone("alice", branch, tone=440) as alice,
    ):
        await bob.dial(f"sip:handset@{head_office.server}")
        first = await desk.pick_up()

        desk.telephone.renew(desk.settings | {"accounts": {"branch": account(branch, "clerk")}})
        await desk.until(RegistrationReport, account="branch", state="registered")
        since = len(desk.events)
        await alice.dial(f"sip:clerk@{branch.server}")
        second = await desk.pick_up(since=since)

        since = len(desk.events)
        desk.telephone.renew(desk.settings | {"accounts": {"branch": account(branch, "chief")}})
        await desk.until(RegistrationReport, account="branch", state="registered", since=since)
        desk.telephone.renew(desk.settings)
        await settle(1.5)
        assert desk.of(CallReport, state="ended") == []
        assert dominant_hertz(desk.heard(first, 1000), RATE) == pytest.approx(600, abs=5)
        assert dominant_hertz(desk.heard(second, 1000), RATE) == pytest.approx(440, abs=5)

        async with Phone("carol", branch) as carol:
            await carol.dial(f"sip:chief@{branch.server}")
            assert "404" in (await carol.event("CALL_CLOSED"))["param"]
        await alice.hang_up()
        await desk.state(second, "ended")
        assert desk.telephone.counters()["restarts"] == 0


async def test_a_changed_first_account_keeps_its_call_and_takes_the_next_one(head_office):
    async with (
        Desk(server=head_office.server, user="handset") as desk,
        Phone("bob", head_office, tone=600) as bob,
    ):
        await bob.dial(f"sip:handset@{head_office.server}")
        call = await desk.pick_up()
        since = len(desk.events)
        desk.telephone.renew(desk.settings | {"display_name": "Front desk"})
        await settle(2.0)
        assert dominant_hertz(desk.heard(call, 1000), RATE) == pytest.approx(600, abs=5)
        assert "registered" in [report.state for report in desk.of(RegistrationReport, since)]
        async with Phone("carol", head_office) as carol:
            await carol.dial(f"sip:handset@{head_office.server}")
            await desk.pick_up(since=since)


async def test_a_reload_puts_other_accounts_in_force_and_the_call_goes_on(head_office, branch):
    """The whole daemon: its file, its control API, its status."""
    agents: dict[str, Any] = {
        "agents.assistant": {"greeting": "Good day."},
        "agents.clerk": {"greeting": "Branch office."},
    }
    table = {"server": branch.server, "user": "clerk", "password": password_of("clerk"), "agent": "clerk"}
    async with (
        Handset(sip={"server": head_office.server, "user": "handset", "max_calls": 3}, **agents) as handset,
        Phone("bob", head_office) as bob,
        Phone("alice", branch) as alice,
    ):
        client = handset.client
        await client.event("registration", account="default", state="registered")
        await bob.dial(f"sip:handset@{head_office.server}")
        first = await client.event("call", state="connected")

        handset.config.write_text(toml({**handset.sections, "sip.accounts.branch": table}))
        assert (await client.ask("config.reload"))["applied"] == ["sip"]
        await client.event("registration", account="branch", state="registered")
        mark = client.mark
        await alice.dial(f"sip:clerk@{branch.server}")
        second = await client.event("call", state="connected", since=mark)
        state = await client.state()
        assert [entry["account"] for entry in state["registrations"]] == ["default", "branch"]
        assert {call["call"]: call["account"] for call in state["calls"]} == {
            first["call"]: "default",
            second["call"]: "branch",
        }
        await client.event(
            "transcript", since=mark, session=second["session"], text="Branch office.", final=True
        )

        handset.config.write_text(toml(handset.sections))
        await client.ask("config.reload")
        assert len((await client.state())["calls"]) == 2
        with pytest.raises(Refused, match="branch"):
            await client.ask("call.dial", to="alice", account="branch")
        moved = {**handset.sections, "sip": {**handset.sections["sip"], "port": handset.sip_port + 2}}
        handset.config.write_text(toml(moved))
        assert (await client.ask("config.reload"))["restart"] == ["sip"]
