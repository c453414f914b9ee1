"""Registrars in trouble: what they say is obeyed, the next is asked, and the first comes back."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from appliance.interfaces import IncomingCall, RegistrationReport, TelephoneReady
from drivers.sip_pjsua2 import dns, registration
from drivers.sip_pjsua2.client import library_report
from drivers.sip_pjsua2.dns import Record
from drivers.sip_pjsua2.supervisor import Timing
from tests.rig.dns_stub import NameServer
from tests.rig.peer import until
from tests.rig.scripted_registrar import CHALLENGE, Reply, ScriptedRegistrar
from tests.rig.sip_desk import Desk, settle
from tests.rig.sip_peers import Phone, Registrar, programs_missing

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(bool(programs_missing()), reason=f"not installed: {programs_missing()}"),
]


lets_go = pytest.mark.skipif(
    not programs_missing() and library_report()["version"].startswith("2.15"),
    reason="this SIP library holds on to a REGISTER that nobody answers; make pjsua2 makes one that does not",
)


@asynccontextmanager
async def starting(**settings: Any) -> AsyncIterator[Desk]:
    """A desk that need not get registered."""
    desk = Desk(user="handset", **settings)
    await desk.telephone.start(desk.post)
    try:
        await desk.until(TelephoneReady)
        yield desk
    finally:
        await desk.telephone.stop()


def told(desk: Desk) -> list[tuple[str, int]]:
    return [(report.state, report.code) for report in desk.of(RegistrationReport)]


async def test_the_shortest_expiry_that_a_registrar_wants_is_obeyed():
    with ScriptedRegistrar([Reply(423, {"Min-Expires": "90"})]) as registrar:
        async with starting(server=registrar.server, expiry=60) as desk:
            await desk.registered()
            assert registrar.expiries() == [60, 90]
            assert told(desk) == [("trying", 0), ("registered", 200)]


async def test_a_registrar_that_asks_for_time_is_left_alone_for_so_long():
    with ScriptedRegistrar([Reply(503, {"Retry-After": "5"})]) as registrar:
        async with starting(server=registrar.server) as desk:
            await desk.until(RegistrationReport, state="failed", code=503)
            await desk.registered(seconds=12)
            first, second = (at for at, _ in registrar.registers)
            assert 5.0 <= second - first < 8.0


async def test_401_for_ever_is_said_once_and_not_answered_for_long():
    with ScriptedRegistrar([Reply(401, CHALLENGE, times=1000)]) as registrar:
        async with starting(server=registrar.server) as desk:
            await desk.until(RegistrationReport, state="failed", code=401)
            await settle(4.0)
            assert told(desk) == [("trying", 0), ("failed", 401)]
            assert len(registrar.registers) <= 4


async def test_a_refusal_for_good_is_said_once_and_tried_rarely():
    with ScriptedRegistrar([Reply(403, times=1000)]) as registrar:
        async with starting(server=registrar.server) as desk:
            await desk.until(RegistrationReport, state="failed", code=403)
            await settle(4.0)
            assert told(desk) == [("trying", 0), ("failed", 403)]
            assert len(registrar.registers) == 1


async def test_a_registrar_that_sends_us_elsewhere_is_followed():
    with ScriptedRegistrar() as there:
        contact = {"Contact": f"<sip:handset@{there.server}>"}
        with ScriptedRegistrar([Reply(302, contact)]) as here:
            async with starting(server=here.server) as desk:
                await desk.registered()
                assert len(here.registers) == len(there.registers) == 1
                assert f"sip:{here.server}" in there.registers[0][1].splitlines()[0]


async def test_registrars_that_send_us_round_in_circles_are_not_followed_for_ever():
    with ScriptedRegistrar() as one, ScriptedRegistrar() as other:
        one.script = [Reply(302, {"Contact": f"<sip:{other.server}>"}, times=1)] * 100
        other.script = [Reply(302, {"Contact": f"<sip:{one.server}>"}, times=1)] * 100
        async with starting(server=one.server) as desk:
            await desk.until(RegistrationReport, state="failed", code=302)
            await settle(3.0)
            assert len(one.registers) + len(other.registers) < 10


@lets_go
async def test_a_silent_proxy_makes_the_next_one_asked():
    with ScriptedRegistrar([Reply(0, times=1000)], options=0) as silent, ScriptedRegistrar() as next_one:
        async with starting(server="pbx.example", outbound_proxy=(silent.server, next_one.server)) as desk:
            await desk.registered(seconds=registration.SHORT_ATTEMPT + 4)
            assert silent.registers
            assert next_one.registers
            assert told(desk) == [("trying", 0), ("registered", 200)]


async def test_when_all_are_in_trouble_it_is_said_and_the_first_is_asked_first_again():
    with ScriptedRegistrar([Reply(503, times=2)]) as one, ScriptedRegistrar([Reply(500)]) as other:
        async with starting(server="pbx.example", outbound_proxy=(one.server, other.server)) as desk:
            await desk.until(RegistrationReport, state="failed", code=500)
            await desk.registered()
            assert len(one.registers) == 2
            assert len(other.registers) == 2


@lets_go
async def test_the_registration_goes_on_to_the_second_registrar_and_returns():
    async with Registrar() as first, Registrar() as second:
        proxies = (first.server, second.server)
        timing = Timing(keep_alive=1.0, come_back=1.5)
        async with Desk(server="127.0.0.1", user="handset", outbound_proxy=proxies, timing=timing) as desk:
            await settle(1.5)
            since = len(desk.events)
            await first.stop()
            died = time.monotonic()
            await desk.until(RegistrationReport, state="failed", seconds=8)
            await desk.registered(since=since, seconds=8)
            assert time.monotonic() - died < 8
            async with Phone("alice", second) as alice:
                await alice.dial(f"sip:handset@{second.server}")
                call = await desk.pick_up(since=since)

                await first.start()
                async with Phone("bob", first) as bob:
                    since = len(desk.events)
                    await rings_in(bob, first, desk, since)
                    desk.telephone.hang_up(call)


async def rings_in(phone: Phone, registrar: Registrar, desk: Desk, since: int) -> None:
    """Within 10 s the registrar knows us again."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(AssertionError):
            await phone.dial(f"sip:handset@{registrar.server}")
            await desk.until(IncomingCall, since=since, seconds=0.7)
            return
    raise AssertionError("the first registrar does not know us")


def zone(*targets: str) -> list[Record]:
    """pbx.example by NAPTR and SRV, in that order."""
    records = [Record("pbx.example", dns.NAPTR, "_sip._udp.pbx.example", 10, 10, 0, "SIP+D2U")]
    for number, target in enumerate(targets):
        host, _, port = target.partition(":")
        records.append(Record("_sip._udp.pbx.example", dns.SRV, f"n{number}.example", number, 0, int(port)))
        records.append(Record(f"n{number}.example", dns.A, host))
    return records


async def test_the_targets_of_a_domain_are_found_by_naptr_and_srv_and_asked_in_order():
    with (
        ScriptedRegistrar([Reply(503)]) as one,
        ScriptedRegistrar() as two,
        NameServer(zone(one.server, two.server)) as names,
    ):
        async with starting(server="pbx.example", dns_servers=(names.address,)) as desk:
            await desk.registered()
            assert len(one.registers) == len(two.registers) == 1
            assert "sip:pbx.example" in two.registers[0][1].splitlines()[0]
            assert "Route:" not in two.registers[0][1]
            assert desk.of(RegistrationReport)[-1].addresses == ("127.0.0.1",)


@lets_go
async def test_a_domain_that_moves_is_followed():
    with ScriptedRegistrar() as one, ScriptedRegistrar() as two, NameServer(zone(one.server)) as names:
        timing = Timing(keep_alive=1.0)
        async with starting(server="pbx.example", dns_servers=(names.address,), timing=timing) as desk:
            await desk.registered()
            await settle(2.0)
            since = len(desk.events)
            one.script, one.options = [Reply(503)] * 1000, 0
            names.zone = zone(two.server)
            await desk.until(RegistrationReport, state="failed", since=since, seconds=10)
            await until(lambda: two.registers, 10)
            await desk.registered(since=since)


async def test_a_name_server_that_is_silent_holds_up_no_other_account():
    silent = "127.0.0.1:9"
    async with Registrar() as registrar:
        further = {"far": {"server": "far.example", "user": "x", "password": "y"}}
        began = time.monotonic()
        settings = {"server": registrar.server, "accounts": further, "dns_servers": (silent,)}
        async with starting(**settings) as desk:
            await desk.registered()
            assert time.monotonic() - began < 3.0
            report = await desk.until(RegistrationReport, account="far", state="failed", seconds=20)
            assert "cannot be resolved" in report.reason


async def test_a_registration_that_is_refreshed_for_a_while_keeps_its_pace():
    """No storm, no gap: half the expiry each, however often."""
    with ScriptedRegistrar() as registrar:
        async with starting(server=registrar.server, expiry=10) as desk:
            await asyncio.sleep(17)
            times = [at for at, _ in registrar.registers]
            gaps = [after - before for before, after in itertools.pairwise(times)]
            assert len(gaps) == 3
            assert all(4.0 < gap < 7.0 for gap in gaps)
            assert told(desk) == [("trying", 0), ("registered", 200)]
