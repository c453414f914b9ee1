"""At a real Asterisk: what an office does with an extension. `make asterisk` fetches it and runs these."""

import time
from collections.abc import AsyncIterator

import numpy as np
import pytest

from appliance.interfaces import DtmfReport, IncomingCall, MediaReport, RegistrationReport
from tests.rig.answers import assert_tells_the_time
from tests.rig.appliance import Handset
from tests.rig.asterisk import BUSY, DIGITS, ROOT, UNKNOWN, Asterisk
from tests.rig.peer import until
from tests.rig.sip_desk import RATE, Desk, settle
from tests.rig.sip_peers import Phone, programs_missing
from tests.rig.talking_phone import RATE as PHONE_RATE
from tests.rig.talking_phone import TalkingPhone, breathe, heard_to_the_end
from tests.rig.tones import dominant_hertz

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.asterisk,
    pytest.mark.skipif(not ROOT, reason="Asterisk is fetched by make asterisk"),
    pytest.mark.skipif(bool(programs_missing()), reason=f"not installed: {programs_missing()}"),
]

FORGOTTEN_SECONDS = 100.0
"""Most that it may take to notice that the office has forgotten us."""


@pytest.fixture
async def office() -> AsyncIterator[Asterisk]:
    async with Asterisk("handset", "alice", "bob", "carol") as office:
        yield office


@pytest.fixture
async def desk(office: Asterisk) -> AsyncIterator[Desk]:
    async with Desk(server=office.server, user="handset") as desk:
        yield desk


def hears(phone: Phone, hertz: float) -> bool:
    samples, rate = phone.heard()
    return len(samples) >= rate and dominant_hertz(samples[-rate:], rate) == pytest.approx(hertz, abs=5)


def hears_on(desk: Desk, call: str, hertz: float) -> bool:
    heard = desk.heard(call, 1000)
    return len(heard) >= RATE and dominant_hertz(heard, RATE) == pytest.approx(hertz, abs=5)


async def test_it_registers_with_digest_over_udp_and_tcp(office: Asterisk) -> None:
    for transport in ("udp", "tcp"):
        async with Desk(server=office.server, user="handset", transport=transport) as desk:
            assert desk.of(RegistrationReport)[-1].code == 200
            assert "handset@127.0.0.1" in await office.told("pjsip show contacts")
    assert "handset@127.0.0.1" not in await office.told("pjsip show contacts")


async def test_a_wrong_password_is_said_once(office: Asterisk) -> None:
    desk = Desk(server=office.server, user="handset", password="wrong")
    await desk.telephone.start(desk.post)  # it will never be registered
    try:
        report = await desk.until(RegistrationReport, state="failed")
        assert report.code in (401, 403)
        await settle(3.0)
        assert [report.state for report in desk.of(RegistrationReport)] == ["trying", "failed"]
    finally:
        await desk.telephone.stop()


async def test_after_a_restart_that_forgot_us_we_are_registered_again(office: Asterisk, desk: Desk) -> None:
    since = len(desk.events)
    await office.stop()
    await office.start()
    deadline = time.monotonic() + FORGOTTEN_SECONDS
    while "handset@127.0.0.1" not in await office.told("pjsip show contacts"):
        assert time.monotonic() < deadline, "it has not registered again"
        await settle(1.0)
    async with Phone("alice", office, tone=440) as alice:
        await alice.dial(f"sip:handset@{office.server}")
        await desk.pick_up(since=since)


@pytest.mark.parametrize("codec", ["PCMU", "PCMA", "G722/16000/1"])
async def test_an_extension_calls_us_and_both_hear_each_other(
    office: Asterisk, desk: Desk, codec: str
) -> None:
    async with Phone("alice", office, tone=440, codecs=codec) as alice:
        await alice.dial(f"sip:handset@{office.server}")
        call = await desk.pick_up()
        assert desk.of(IncomingCall)[0].peer.startswith("sip:alice@")
        await until(lambda: hears_on(desk, call, 440) and hears(alice, 1000), 10.0, "both hear each other")
        await alice.hang_up()
        await desk.state(call, "ended")
        assert desk.telephone.counters()["calls_now"] == 0


async def test_we_call_an_extension_and_hang_up(office: Asterisk, desk: Desk) -> None:
    async with Phone("bob", office, tone=440, answers="auto") as bob:
        call = await desk.dial("bob")
        await desk.state(call, "connected")
        await until(lambda: hears(bob, 1000), 10.0, "the extension hears us")
        desk.telephone.hang_up(call)
        await desk.state(call, "ended")
        await bob.event("CALL_CLOSED")
        assert "0 active channels" in await office.told("core show channels")


@pytest.mark.parametrize(("number", "codes"), [(BUSY, {486}), (UNKNOWN, {404, 480, 503})])
async def test_why_a_call_came_to_nothing_is_said(
    office: Asterisk, desk: Desk, number: str, codes: set[int]
) -> None:
    call = await desk.dial(number)
    report = await desk.state(call, "ended", seconds=30.0)
    assert report.code in codes, report


async def test_digits_go_both_ways(office: Asterisk, desk: Desk) -> None:
    call = await desk.dial(DIGITS)
    await desk.state(call, "connected")
    await settle(0.5)
    desk.telephone.send_dtmf(call, "1479")
    await until(lambda: "KEYED 1479" in office.log(), 15.0, office.log())
    await until(lambda: len(desk.of(DtmfReport, call=call)) >= 4, 10.0, "its digits arrive")
    assert "".join(report.digit for report in desk.of(DtmfReport, call=call)) == "2580"


async def test_whom_we_hold_is_not_heard_and_resume_brings_both_back(office: Asterisk, desk: Desk) -> None:
    async with Phone("alice", office, tone=440) as alice:
        await alice.dial(f"sip:handset@{office.server}")
        call = await desk.pick_up()
        await settle(1.0)
        desk.telephone.hold(call)
        await desk.state(call, "held")
        await settle(1.0)
        assert int(np.abs(desk.heard(call, 500)).max(initial=0)) < 200
        since = len(desk.events)
        desk.telephone.resume(call)
        await desk.state(call, "connected", since=since)
        await until(
            lambda: hears_on(desk, call, 440) and hears(alice, 1000), 10.0, "both hear each other again"
        )


async def test_a_caller_whom_we_hand_on_talks_to_the_extension(office: Asterisk, desk: Desk) -> None:
    async with (
        Phone("alice", office, tone=440) as alice,
        Phone("carol", office, tone=700, answers="auto") as carol,
    ):
        await alice.dial(f"sip:handset@{office.server}")
        call = await desk.pick_up()
        await settle(0.5)
        desk.telephone.transfer(call, "carol")
        assert (await desk.state(call, "ended")).reason == "transferred"
        await carol.event("CALL_ESTABLISHED")
        await until(lambda: hears(alice, 700) and hears(carol, 440), 10.0, "they hear each other")


async def test_whoever_hands_us_on_leaves_us_with_the_extension(office: Asterisk, desk: Desk) -> None:
    async with (
        Phone("alice", office, tone=440) as alice,
        Phone("carol", office, tone=700, answers="auto") as carol,
    ):
        await alice.dial(f"sip:handset@{office.server}")
        call = await desk.pick_up()
        await settle(0.5)
        await alice.transfer(f"sip:carol@{office.server}")
        await carol.event("CALL_ESTABLISHED")
        await until(lambda: hears(carol, 1000), 10.0, "the extension hears us")
        await until(lambda: hears_on(desk, call, 700), 10.0, "we hear the extension")


async def test_an_extension_asks_the_daemon_the_time_and_hears_it(office: Asterisk) -> None:
    sip = {"server": office.server, "user": "handset"}
    async with Handset(sip=sip) as handset:
        await handset.client.event("registration", state="registered")
        async with TalkingPhone("alice", office) as alice:
            since = handset.client.mark
            await alice.call(f"sip:handset@{office.server}")
            await handset.client.event("call", since=since, state="connected")
            await breathe(0.5)
            ear = alice.ear()
            await alice.say("what time is it")
            asked = time.time()
            assert_tells_the_time(await heard_to_the_end(ear), PHONE_RATE, asked)
            await alice.hang_up()
            await handset.client.event("call", since=since, state="ended")


async def test_media_comes_from_the_office_and_not_from_the_extension(office: Asterisk, desk: Desk) -> None:
    async with Phone("alice", office, tone=440) as alice:
        await alice.dial(f"sip:handset@{office.server}")
        call = await desk.pick_up()
        assert desk.of(MediaReport, call=call, active=True)
        assert desk.of(IncomingCall)[0].source == office.server


async def test_a_caller_handed_over_with_a_summary_talks_to_the_extension_and_we_are_free(
    office: Asterisk,
) -> None:
    sip = {"server": office.server, "user": "handset"}
    async with (
        Handset(sip=sip) as handset,
        TalkingPhone("alice", office) as alice,
        Phone("carol", office, tone=700, answers="auto") as carol,
    ):
        client = handset.client
        await client.event("registration", state="registered")
        await alice.call(f"sip:handset@{office.server}")
        caller = (await client.event("call", state="connected"))["call"]
        await client.event("session.state", to="active")
        since = client.mark
        await client.ask("call.transfer", call=caller, to="carol", mode="attended", summary="Alice calls.")
        await carol.event("CALL_ESTABLISHED")
        over = await client.event("call", 30, since=since, call=caller, state="ended")
        assert over["reason"] == "transferred"
        await breathe(4.0)
        assert not (await client.state())["calls"]
        await until(lambda: hears(alice, 700), 10.0, "the caller hears the extension")
        await alice.hang_up()


async def test_a_caller_handed_over_to_nobody_comes_back(office: Asterisk) -> None:
    sip = {"server": office.server, "user": "handset"}
    async with Handset(sip=sip) as handset, TalkingPhone("alice", office) as alice:
        client = handset.client
        await client.event("registration", state="registered")
        await alice.call(f"sip:handset@{office.server}")
        caller = (await client.event("call", state="connected"))["call"]
        await client.event("session.state", to="active")
        for to, reason in ((BUSY, "busy"), (UNKNOWN, "unknown_number")):
            since = client.mark
            await client.ask("call.transfer", call=caller, to=to, mode="attended")
            back = await client.event("call", since=since, call=caller, state="connected")
            assert back["reason"] == f"transfer failed: {reason}"
        await alice.hang_up()


async def test_the_office_tells_of_the_mailbox(office: Asterisk) -> None:
    async with Handset(sip={"server": office.server, "user": "handset"}) as handset:
        told = await handset.client.event("mailbox")
        assert (told["account"], told["waiting"], told["new"]) == ("default", False, 0)
