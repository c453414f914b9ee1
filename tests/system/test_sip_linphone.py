"""linphone as the other phone. `make linphone` runs these."""

import os
from collections.abc import AsyncIterator

import pytest

from appliance.interfaces import CallReport
from drivers.sip_pjsua2.client import library_report
from tests.rig.linphone import Linphone, linphone_missing
from tests.rig.sip_desk import RATE, Desk, settle
from tests.rig.sip_peers import Registrar, programs_missing
from tests.rig.tones import dominant_hertz

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(bool(programs_missing()), reason=f"not installed: {programs_missing()}"),
    pytest.mark.skipif(not os.environ.get("HANDSET_LINPHONE"), reason="linphone is run by make linphone"),
    pytest.mark.skipif(linphone_missing(), reason="not installed: linphone-cli"),
]


@pytest.fixture
async def registrar() -> AsyncIterator[Registrar]:
    async with Registrar() as registrar:
        yield registrar


async def both_are_heard(desk: Desk, call: str, phone: Linphone, rate: int = 8_000) -> None:
    await settle(2.5)
    assert dominant_hertz(desk.heard(call, 1000), RATE) == pytest.approx(440, abs=5)
    assert dominant_hertz(phone.heard()[-rate:], rate) == pytest.approx(1000, abs=10)


@pytest.mark.parametrize(("codec", "rate"), [("PCMA", 8_000), ("opus", 48_000)])
async def test_it_registers_calls_and_is_held_in_both_directions(registrar, codec, rate):
    if codec == "opus" and not library_report()["opus"]:
        pytest.skip("this SIP library has no Opus: make pjsua2")
    async with (
        Desk(server=registrar.server, user="handset", codecs=(codec,)) as desk,
        Linphone("alice", registrar) as alice,
    ):
        await alice.dial(f"sip:handset@{registrar.server}")
        call = await desk.pick_up()
        await both_are_heard(desk, call, alice, rate)
        desk.telephone.hold(call)
        await desk.state(call, "held")
        since = len(desk.events)
        desk.telephone.resume(call)
        await desk.state(call, "connected", since=since)
        await both_are_heard(desk, call, alice, rate)
        since = len(desk.events)
        alice.command("pause")
        assert (await desk.state(call, "held", since=since)).reason == "held by the far end"
        alice.command("resume")
        await desk.state(call, "connected", since=since)
        await alice.hang_up()
        await desk.state(call, "ended")


async def test_it_is_called_answers_and_is_hung_up_on(registrar):
    async with (
        Desk(server=registrar.server, user="handset", codecs=("PCMU",)) as desk,
        Linphone("alice", registrar) as alice,
    ):
        call = await desk.dial(alice.uri)
        await desk.state(call, "ringing")
        await alice.answer()
        await desk.state(call, "connected")
        await both_are_heard(desk, call, alice)
        desk.telephone.hang_up(call)
        await alice.told("to LinphoneCallEnd")
        await desk.state(call, "ended")


async def test_directly_and_encrypted():
    async with (
        Desk(srtp="mandatory", codecs=("PCMU",)) as desk,
        Linphone("alice", srtp=True) as alice,
    ):
        await alice.dial(desk.uri)
        call = await desk.pick_up()
        await both_are_heard(desk, call, alice)
        await alice.hang_up()
        await desk.state(call, "ended")
        assert len(desk.of(CallReport, state="connected")) == 1
