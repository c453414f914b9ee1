"""Where far ends send us: transfers and redirections, followed and refused, with real phones."""

import asyncio
import logging
import time

import pytest

from appliance.interfaces import NoticeReport, TelephoneLost
from tests.rig.raw_callee import RawCallee
from tests.rig.raw_caller import RawCaller
from tests.rig.sip_desk import RATE, Desk, settle
from tests.rig.sip_peers import Phone, Registrar, Scenario, programs_missing
from tests.rig.sip_scenarios import answers_with
from tests.rig.tones import dominant_hertz

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(bool(programs_missing()), reason=f"not installed: {programs_missing()}"),
]


@pytest.mark.parametrize(
    ("redirects", "to", "code"),
    [("server", "sip:premium@evil.example.net", "403"), ("never", "sip:carol@{server}", "603")],
)
async def test_a_far_end_may_not_send_us_anywhere(redirects, to, code, caplog):
    caplog.set_level(logging.INFO)
    async with (
        Registrar() as registrar,
        Desk(server=registrar.server, user="handset", redirects=redirects) as desk,
        Phone("alice", registrar, tone=440) as alice,
    ):
        await alice.dial(f"sip:handset@{registrar.server}")
        call = await desk.pick_up()
        await settle(0.5)
        await alice.transfer(to.format(server=registrar.server))
        await alice.event("TRANSFER_FAILED", 10)
        await desk.until(NoticeReport, call=call, code="transfer_refused")
        refused = [record for record in caplog.records if f"refused with {code}" in record.getMessage()]
        assert len(refused) == 1
        await settle(1.0)
        assert dominant_hertz(desk.heard(call, 600), RATE) == pytest.approx(440, abs=5)


@pytest.mark.parametrize("to", ["112", "0900123"])
async def test_a_caller_does_not_have_us_dial_what_an_agent_may_not(to, caplog):
    caplog.set_level(logging.INFO)
    async with (
        Registrar() as registrar,
        Desk(server=registrar.server, user="handset", dial=("2xx",), emergency_numbers=("112",)) as desk,
        Phone("alice", registrar, tone=440) as alice,
    ):
        await alice.dial(f"sip:handset@{registrar.server}")
        call = await desk.pick_up()
        await settle(0.5)
        await alice.transfer(f"sip:{to}@{registrar.server}")
        await alice.event("TRANSFER_FAILED", 10)
        await desk.until(NoticeReport, call=call, code="transfer_refused")
        assert [record for record in caplog.records if "refused with 403" in record.getMessage()]
        await settle(1.0)
        assert dominant_hertz(desk.heard(call, 600), RATE) == pytest.approx(440, abs=5)


async def test_a_locked_caller_transfers_us_nowhere():
    async with (
        Registrar() as registrar,
        Desk(server=registrar.server, user="handset") as desk,
        Phone("alice", registrar, tone=440) as alice,
    ):
        await alice.dial(f"sip:handset@{registrar.server}")
        desk.telephone.lock(await desk.incoming(), True)
        call = await desk.pick_up()
        await settle(0.5)
        await alice.transfer(f"sip:nobody@{registrar.server}")
        assert "403" in (await alice.event("TRANSFER_FAILED"))["param"]
        await desk.until(NoticeReport, call=call, code="transfer_refused")


async def test_a_transfer_to_nowhere_leaves_the_call_with_us(caplog):
    caplog.set_level(logging.INFO)
    async with (
        Registrar() as registrar,
        Desk(server=registrar.server, user="handset") as desk,
        Phone("alice", registrar, tone=440) as alice,
    ):
        await alice.dial(f"sip:handset@{registrar.server}")
        call = await desk.pick_up()
        await settle(0.5)
        await alice.transfer(f"sip:nobody@{registrar.server}")
        assert "404" in (await alice.event("TRANSFER_FAILED"))["param"]
        await settle(1.5)
        assert [record for record in caplog.records if "came to nothing: 404" in record.getMessage()]
        assert dominant_hertz(desk.heard(call, 600), RATE) == pytest.approx(440, abs=5)


@pytest.mark.parametrize(
    "to", ["<sip:carol@127.0.0.1:9?Replaces=%22;x=y>", "<sip:carol@127.0.0.1:9;transport=sctp>"]
)
async def test_a_transfer_that_cannot_even_begin_costs_no_call(to):
    def ask_for_it(port: int) -> str:
        with RawCaller(port) as caller:
            answer = caller.refer(to)
            time.sleep(1.5)
            assert caller.offer_again("sendrecv") == "sendrecv", "the call is gone"
            return answer

    async with Desk(redirects="any") as desk:
        caller = asyncio.create_task(asyncio.to_thread(ask_for_it, desk.settings["port"]))
        call = await desk.pick_up()
        assert "202" in await caller
        await desk.until(NoticeReport, call=call, code="transfer_failed")
        assert not desk.of(TelephoneLost)


@pytest.mark.parametrize(("redirects", "followed"), [("server", True), ("never", False)])
async def test_a_number_that_has_moved_is_called_where_it_is_now(redirects, followed):
    async with (
        Desk(redirects=redirects) as desk,
        Phone("carol", tone=700, answers="auto") as carol,
        Scenario(answers_with(302, "Moved Temporarily", f"Contact: <{carol.uri}>"), "") as old,
    ):
        call = await desk.dial(f"sip:carol@127.0.0.1:{old.port}")
        if followed:
            await desk.state(call, "connected")
            await settle(1.5)
            assert dominant_hertz(desk.heard(call, 1000), RATE) == pytest.approx(700, abs=5)
        else:
            assert (await desk.state(call, "ended")).code == 302


@pytest.mark.parametrize(
    ("code", "words"),
    [(486, "Busy Here"), (600, "Busy Everywhere"), (480, "Unavailable"), (603, "Decline"), (503, "Overload")],
)
async def test_a_refusal_is_told_with_its_code(code, words):
    async with Desk() as desk, Scenario(answers_with(code, words), "") as phone:
        call = await desk.dial(f"sip:carol@127.0.0.1:{phone.port}")
        assert (await desk.state(call, "ended")).code == code


async def test_a_far_end_that_hangs_up_before_the_other_answers_leaves_nobody_to_talk_to_meanwhile():
    def send_away(port: int, to: str) -> None:
        with RawCaller(port) as caller:
            assert "202" in caller.refer(f"<{to}>")

    callee = RawCallee()
    async with Desk(redirects="any") as desk:
        sent = asyncio.create_task(asyncio.to_thread(send_away, desk.settings["port"], callee.uri))
        call = await desk.pick_up()
        await sent
        await desk.state(call, "transferring")
        since = len(desk.events)
        await asyncio.to_thread(callee.__enter__)
        await desk.state(call, "connected", since=since)
        desk.telephone.hang_up(call)
        await asyncio.to_thread(callee.__exit__, None, None, None)
