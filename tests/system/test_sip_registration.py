"""Registering at a real registrar, and staying registered."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.interfaces import RegistrationReport, TelephoneLost, TelephoneReady
from drivers.sip_pjsua2.supervisor import Timing
from tests.rig.ports import free_port
from tests.rig.sip_desk import Desk, settle
from tests.rig.sip_peers import Phone, Registrar, programs_missing

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(bool(programs_missing()), reason=f"not installed: {programs_missing()}"),
]


@pytest.fixture
async def registrar() -> AsyncIterator[Registrar]:
    async with Registrar() as registrar:
        yield registrar


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_it_registers_and_says_so_once(registrar, transport):
    async with Desk(server=registrar.server, user="handset", transport=transport) as desk:
        await settle(1.0)
        assert [report.state for report in desk.of(RegistrationReport)] == ["trying", "registered"]
        assert desk.of(RegistrationReport)[-1].server == registrar.server


async def test_a_server_by_a_name_that_only_this_machine_knows_is_found_and_called_through(registrar):
    async with (
        Desk(server=f"localhost:{registrar.port}", user="handset") as desk,
        Phone("bob", registrar) as bob,
    ):
        call = desk.telephone.dial(f"sip:bob@127.0.0.1:{registrar.port}")
        await desk.state(call, "ringing")
        await bob.event("CALL_INCOMING")


async def test_a_server_whose_name_nobody_knows_is_said_and_stops_nothing():
    desk = Desk(server="pbx.example.invalid", user="handset")
    await desk.telephone.start(desk.post)  # it will never be registered
    try:
        await desk.until(TelephoneReady)
        await settle(6.0)
        assert not desk.of(TelephoneLost)
        assert desk.telephone.counters()["restarts"] == 0
    finally:
        await desk.telephone.stop()


async def test_without_a_server_the_registration_is_off_and_only_loopback_listens():
    async with Desk(bind="") as desk:
        await desk.until(RegistrationReport, state="off")
        assert desk.of(TelephoneReady)[0].address == f"127.0.0.1:{desk.settings['port']}"


async def test_a_wrong_password_is_said_once_and_not_tried_again_at_once(registrar):
    desk = Desk(server=registrar.server, user="handset", password="wrong")
    await desk.telephone.start(desk.post)  # it will never be registered
    try:
        report = await desk.until(RegistrationReport, state="failed")
        assert report.code in (401, 403)
        await settle(3.0)
        assert [report.state for report in desk.of(RegistrationReport)] == ["trying", "failed"]
        assert registrar.log().count("ERROR") == 0
    finally:
        await desk.telephone.stop()


def what_the_kernel_shows_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()


async def test_an_account_that_makes_no_address_is_told_with_a_remedy():
    desk = Desk(server="pbx example", user="a b")
    await desk.telephone.start(desk.post)  # it will never be registered
    try:
        assert "account_invalid" in (await desk.until(TelephoneLost)).reason
    finally:
        await desk.telephone.stop()


async def test_the_password_is_nowhere_to_be_seen(registrar, caplog):
    caplog.set_level("DEBUG")
    async with Desk(server=registrar.server, user="handset") as desk:
        pid = desk.telephone.child_pid()
        assert b"pw-handset" not in what_the_kernel_shows_of(pid)
    assert "pw-handset" not in caplog.text


async def test_after_stop_the_registrar_no_longer_knows_it(registrar):
    async with Desk(server=registrar.server, user="handset"):
        pass
    async with Phone("alice", registrar) as alice:
        await alice.dial(f"sip:handset@{registrar.server}")
        assert "404" in (await alice.event("CALL_CLOSED"))["param"]


async def test_a_dead_registrar_is_noticed_and_its_return_too(registrar):
    async with Desk(server=registrar.server, user="handset", timing=Timing(keep_alive=1.0)) as desk:
        await settle(1.5)
        await registrar.stop()
        died = time.monotonic()
        await desk.until(RegistrationReport, state="failed", seconds=8)
        noticed = time.monotonic() - died
        since = len(desk.events)
        await registrar.start()
        back = time.monotonic()
        await desk.registered(seconds=10, since=since)
        assert noticed < 6
        assert time.monotonic() - back < 6

        async with Phone("alice", registrar) as alice:
            await alice.dial(f"sip:handset@{registrar.server}")
            await desk.pick_up()


async def test_a_registrar_that_was_away_for_a_moment_is_told_again_who_we_are(registrar):
    """It forgets all registrations when it restarts, and nothing ever failed from our side."""
    async with Desk(server=registrar.server, user="handset", timing=Timing(keep_alive=1.0)) as desk:
        await settle(1.5)
        await registrar.stop()
        await settle(2.5)
        await registrar.start()
        await settle(4.0)
        async with Phone("alice", registrar) as alice:
            await alice.dial(f"sip:handset@{registrar.server}")
            await desk.pick_up()


async def test_a_registrar_that_comes_later_is_found(registrar):
    await registrar.stop()
    desk = Desk(server=registrar.server, user="handset")
    await desk.telephone.start(desk.post)  # nobody is there yet
    try:
        await desk.until(TelephoneReady)
        await settle(1.0)
        await registrar.start()
        await desk.registered(seconds=10)
    finally:
        await desk.telephone.stop()


async def test_the_registration_outlives_its_expiry(registrar):
    async with (
        Desk(server=registrar.server, user="handset", expiry=12) as desk,
        Phone("alice", registrar) as alice,
    ):
        await settle(14.0)
        assert [report.state for report in desk.of(RegistrationReport)] == ["trying", "registered"]
        await alice.dial(f"sip:handset@{registrar.server}")
        await desk.pick_up()


async def test_a_port_in_use_is_told_with_a_remedy_and_taken_once_it_is_free():
    port = free_port()
    first = Desk(port=port)
    second = Desk(port=port)
    await first.__aenter__()
    await second.telephone.start(second.post)  # it is not to become ready yet
    try:
        lost = await second.until(TelephoneLost)
        assert "port_in_use" in lost.reason
        assert "sip.port" in lost.reason
        assert second.telephone.fault is not None
        assert second.telephone.fault.code == "port_in_use"
        await settle(2.5)
        assert len(second.of(TelephoneLost)) == 1
        await first.telephone.stop()
        await second.until(TelephoneReady, seconds=8)
    finally:
        await first.telephone.stop()
        await second.telephone.stop()
