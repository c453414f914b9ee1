"""What an office expects of an extension: who answers which number, PIN, intercom, do not disturb, call waiting."""

import asyncio
import contextlib
import shutil
import socket
import time

import pytest
import pytest_asyncio

from tests.rig.appliance import Handset
from tests.rig.raw_caller import RawCaller
from tests.rig.shared import Shared
from tests.rig.sip_peers import Phone, Scenario
from tests.rig.sip_scenarios import answers_after_early_media
from tests.rig.talking_phone import TalkingPhone, breathe, heard_to_the_end

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="module"),
]

PIN = "80526"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_office():
    sip = {"intercom": ["boss"], "call_waiting": "ring", "dial_time": 5}
    recording = {"enabled": True, "announce": False}
    async with Shared(lambda: Handset(sip=sip, recording=recording)) as shared:
        yield shared


@pytest_asyncio.fixture(loop_scope="module")
async def office(shared_office):
    async with shared_office.lent() as handset:
        yield handset


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_trusting():
    sip = {"intercom": ["*"], "call_waiting": "busy", "allow": ["127.0.0.0/8"]}
    async with Shared(lambda: Handset(sip=sip)) as shared:
        yield shared


@pytest_asyncio.fixture(loop_scope="module")
async def trusting(shared_trusting):
    """Takes an asserted identity from everybody here, answers any of them at once, and one at a time."""
    async with shared_trusting.lent() as handset:
        yield handset


@contextlib.asynccontextmanager
async def raw_call(handset: Handset, **options):
    # It sends its INVITE once only: the telephone must have been told by then whom it may answer.
    await breathe(0.3)
    caller = RawCaller(handset.sip_port, **options)
    await asyncio.to_thread(caller.__enter__)
    try:
        yield caller
    finally:
        await asyncio.to_thread(caller.__exit__, None, None, None)


async def test_the_number_that_was_called_chooses_the_agent_and_a_stranger_may_not_say_who_he_is(office):
    client = office.client
    agents = {
        "agents.assistant": {"greeting": "Hello."},
        "agents.seller": {"greeting": "Sales.", "numbers": ["30x"]},
    }
    await office.reload(**agents)
    headers = 'Diversion: <sip:305@127.0.0.1>;reason=no-answer\r\nP-Asserted-Identity: "Boss" <sip:1@x>\r\n'
    async with raw_call(office, headers=headers):
        await client.event("session.state", to="active")
        (session,) = (await client.state())["sessions"]
        assert session["agent"] == "seller"
        (call,) = (await client.state())["calls"]
        assert call["peer"].startswith("sip:raw@")
        assert call["called"].startswith("sip:handset@")
    await client.event("call", state="ended")
    since = client.mark
    async with raw_call(office):
        await client.event("session.state", since=since, to="active")
        (session,) = (await client.state())["sessions"]
        assert session["agent"] == "assistant"


async def test_an_asserted_identity_is_taken_from_those_who_are_allowed(trusting):
    headers = 'P-Asserted-Identity: "Eva Boss" <sip:77@pbx>\r\n'
    async with raw_call(trusting, headers=headers):
        event = await trusting.client.event("call", state="connected")
        assert (event["peer"], event["display_name"]) == ("sip:77@pbx", "Eva Boss")


@pytest.mark.parametrize("by", ["press", "inform"])
async def test_only_who_keys_in_the_pin_is_served_and_no_digit_is_told(office, by):
    client = office.client
    await office.reload(**{"agents.assistant": {"pin": PIN, "greeting": "Welcome in."}})
    async with raw_call(office, events=True) as caller:
        call = (await client.event("call", state="connected"))["call"]
        await breathe(1.0)
        assert not (await client.state())["sessions"]
        assert sum(any(b & 0x7F < 0x70 for b in payload) for _, payload in caller.arrived) > 10, "nobody asks"
        for digits in ("00000", PIN):
            for digit in digits:
                await asyncio.to_thread(getattr(caller, by), digit)
                await breathe(0.3)
            await breathe(1.0)
        session = (await client.event("session.state", to="active"))["session"]
        assert (await client.answer(session))["text"] == "Welcome in."
        assert not client.of("dtmf")
        began = client.of("recording", call=call, state="started")[0]["at"]
        assert began >= client.of("session.state")[0]["at"] - 0.5
        await asyncio.to_thread(caller.press, "5")
        assert (await client.event("dtmf"))["digit"] == "5"
    await client.event("call", state="ended")
    assert PIN not in office.text()


async def test_the_third_wrong_pin_ends_the_call(office):
    client = office.client
    await office.reload(**{"agents.assistant": {"pin": PIN}})
    async with raw_call(office, events=True) as caller:
        await client.event("call", state="connected")
        for digit in "11111#" * 2 + "11111":
            await asyncio.to_thread(caller.press, digit)
            await breathe(0.25)
        await client.event("warning", code="pin_refused")
        await client.event("call", 20, state="ended")
        assert not client.of("session.state")


async def answered_at_once(handset: Handset, **options) -> bool:
    """Whether one who calls so is: with a tone, then; else it rings until somebody answers."""
    client = handset.client
    await handset.reload(sip={"auto_answer": False})
    await breathe(0.3)
    caller = RawCaller(handset.sip_port, **options)
    calling = asyncio.create_task(asyncio.to_thread(caller.__enter__))
    try:
        call = (await client.event("call"))["call"]
        await breathe(1.2)
        if client.of("call", state="connected"):
            await calling
            assert 8 <= sum(any(b & 0x7F < 0x60 for b in payload) for _, payload in caller.arrived) <= 20
            return True
        assert client.of("call", state="ringing")
        await client.ask("call.answer", call=call)
        await client.event("call", state="connected")
        return False
    finally:
        await calling
        await asyncio.to_thread(caller.__exit__, None, None, None)


@pytest.mark.parametrize(
    ("user", "headers", "at_once"),
    [
        ("boss", "Call-Info: <sip:x>;answer-after=0\r\n", True),
        ("raw", "Alert-Info: info=alert-autoanswer\r\n", False),
    ],
)
async def test_an_intercom_call_is_answered_at_once_with_a_tone_where_its_caller_may(
    office, user, headers, at_once
):
    assert await answered_at_once(office, user=user, headers=headers) is at_once


@pytest.mark.parametrize(("headers", "at_once"), [("Answer-Mode: Auto\r\n", True), ("", False)])
async def test_where_all_may_it_is_whoever_asks_to_be_answered_at_once(trusting, headers, at_once):
    assert await answered_at_once(trusting, headers=headers) is at_once


async def test_do_not_disturb_and_a_second_call_where_one_is_enough_hear_busy(trusting):
    client = trusting.client
    await client.ask("call.dnd", on=True)
    assert (await client.state())["do_not_disturb"]
    with pytest.raises(ConnectionRefusedError, match="486"):
        async with raw_call(trusting):
            pass
    await client.ask("call.dnd", on=False)
    async with raw_call(trusting):
        with pytest.raises(ConnectionRefusedError, match="486"):
            async with raw_call(trusting, user="second"):
                pass


async def test_a_waiting_call_rings_and_is_answered_when_the_first_is_over(office):
    client = office.client
    second = RawCaller(office.sip_port, user="second")
    async with raw_call(office):
        await client.event("call", state="connected")
        since = client.mark
        ringing = asyncio.create_task(asyncio.to_thread(second.__enter__))
        await client.event("call", since=since, state="ringing")
        await breathe(1.5)
        assert not client.of("call", since, state="connected")
    await client.event("call", since=since, state="connected")
    await ringing
    await asyncio.to_thread(second.__exit__, None, None, None)


async def test_waiting_messages_are_told(office):
    body = "Messages-Waiting: yes\r\nMessage-Account: sip:handset@127.0.0.1\r\nVoice-Message: 2/8 (0/2)\r\n"
    with socket.socket(type=socket.SOCK_DGRAM) as pbx:
        pbx.bind(("127.0.0.1", 0))
        pbx.settimeout(5)
        here = f"127.0.0.1:{pbx.getsockname()[1]}"
        notify = (
            f"NOTIFY {office.uri} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK{time.monotonic_ns()}\r\n"
            f"From: <sip:pbx@{here}>;tag=1\r\nTo: <{office.uri}>\r\nCall-ID: {time.monotonic_ns()}\r\n"
            f"CSeq: 1 NOTIFY\r\nContact: <sip:pbx@{here}>\r\nMax-Forwards: 5\r\nEvent: message-summary\r\n"
            f"Subscription-State: active\r\nContent-Type: application/simple-message-summary\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        )
        await asyncio.to_thread(pbx.sendto, notify.encode(), ("127.0.0.1", office.sip_port))
        answer = (await asyncio.to_thread(pbx.recv, 4096)).decode()
        assert answer.startswith("SIP/2.0 200")
    told = await office.client.event("mailbox")
    assert (told["waiting"], told["new"], told["old"]) == (True, 2, 8)


@pytest.mark.skipif(shutil.which("sipp") is None, reason="not installed: sipp")
async def test_nobody_talks_into_early_media(office):
    client = office.client
    await office.reload(**{"agents.assistant": {"greeting": "Hello."}})
    async with Scenario(answers_after_early_media(2000), "") as phone:
        await client.ask("call.dial", to=f"sip:carol@127.0.0.1:{phone.port}")
        await client.event("call", state="early", code=183)
        await breathe(1.2)
        assert not client.of("call", state="connected")
        assert not client.of("session.state")
        call = (await client.event("call", state="connected"))["call"]
        session = (await client.event("session.state", to="active"))["session"]
        assert (await client.answer(session))["heard"] == "Hello."
        await client.ask("call.hangup", call=call)
        assert await phone.finished() == 0, phone.log()


async def test_what_rings_for_too_long_is_no_answer(office):
    async with Phone("carol") as carol:
        await office.client.ask("call.dial", to=carol.uri)
        ended = await office.client.event("call", state="ended")
        assert (ended["code"], ended["outcome"]) == (408, "no_answer")


async def test_the_pin_may_be_said(office):
    client = office.client
    await office.reload(**{"agents.assistant": {"pin": "4711", "greeting": "Welcome in."}})
    async with TalkingPhone("alice") as alice:
        await alice.call(office.uri)
        await client.event("call", state="connected")
        await heard_to_the_end(alice.ear(), quiet=0.6)
        for _ in range(3):
            await alice.say("four seven one one")
            with contextlib.suppress(AssertionError):
                await client.event("session.state", 6.0, to="active")
                break
        session = client.of("session.state", to="active")[0]["session"]
        assert (await client.answer(session))["text"] == "Welcome in."
        assert not client.of("transcript", role="user")
        await alice.hang_up()
        office.secrets |= {"four seven one"}
