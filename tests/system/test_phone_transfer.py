"""A caller handed over to a person by the daemon: real phones, a real registrar, and what is heard on the way."""

import contextlib

import pytest
import pytest_asyncio

from tests.rig.appliance import Handset
from tests.rig.shared import Shared
from tests.rig.sip_desk import RATE as DESK_RATE
from tests.rig.sip_desk import Desk
from tests.rig.sip_peers import Phone, Registrar, programs_missing
from tests.rig.spoken import sounding
from tests.rig.talking_phone import RATE, TalkingPhone, breathe, talk
from tests.rig.tones import dominant_hertz

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(bool(programs_missing()), reason=f"not installed: {programs_missing()}"),
]

RINGING_HERTZ = 425


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def registrar():
    async with Registrar() as registrar:
        yield registrar


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_attended(registrar):
    sip = {"server": registrar.server, "user": "handset"}
    async with Shared(lambda: Handset(sip=sip, transfer={"ring_time": 6})) as shared:
        yield shared


@pytest_asyncio.fixture(loop_scope="module")
async def handset(shared_attended):
    async with shared_attended.lent() as handset:
        yield handset


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_careful(registrar):
    sip = {"server": registrar.server, "user": "frank"}
    transfer = {"mode": "blind", "accept": "key", "join": "here"}
    async with Shared(lambda: Handset(sip=sip, transfer=transfer)) as shared:
        yield shared


@pytest_asyncio.fixture(loop_scope="module")
async def careful(shared_careful):
    """Transfers blindly, or, where asked for it, to somebody who presses a key."""
    async with shared_careful.lent() as handset:
        yield handset


@pytest_asyncio.fixture(loop_scope="module")
async def alice(registrar):
    async with TalkingPhone("alice", registrar) as phone:
        yield phone


async def hand_over_and_talk(handset, alice, carol, caller, session):
    client = handset.client
    since, ear = client.mark, alice.ear()
    await client.ask(
        "call.transfer",
        call=caller,
        to="carol",
        mode="attended",
        summary="Alice asks for help with her printer.",
    )
    await carol.event("CALL_INCOMING")
    await client.event("call", since=since, call=caller, state="transferring")
    await breathe(1.2)
    assert dominant_hertz(ear()[: round(0.8 * RATE)], RATE) == pytest.approx(RINGING_HERTZ, abs=10)

    await carol.answer()
    joined = await client.event("call", 30, since=since, call=caller, state="connected")
    assert "joined with" in joined["reason"]
    told, rate = carol.heard()
    assert sum(end - begin for begin, end in sounding(told, rate)) > 1.0, "no summary was spoken"
    await client.event("session.state", since=since, session=session, to="closed", reason="transferred")

    await breathe(2.0)
    assert dominant_hertz(ear()[-RATE:], RATE) == pytest.approx(700, abs=5)
    await alice.say("hello carol this is alice speaking now can you hear me")
    await breathe(2.0)
    spoken, rate = carol.heard()
    assert sounding(spoken[-rate:], rate)
    assert len((await client.state())["calls"]) == 2


async def test_the_caller_hears_ringing_the_colleague_a_summary_and_then_they_hear_each_other(
    registrar, handset, alice
):
    client = handset.client
    async with Phone("carol", registrar, tone=700) as carol:
        async with talk(alice, handset, registrar) as (caller, session):
            await hand_over_and_talk(handset, alice, carol, caller, session)
        await carol.event("CALL_CLOSED")
    assert not (await client.state())["calls"]


@pytest.mark.parametrize(
    ("asked", "outcome"), [("busy", "busy"), ("absent", "no_answer"), ("nobody", "unknown_number")]
)
async def test_a_failed_transfer_brings_the_caller_back_with_the_reason(
    registrar, handset, alice, asked, outcome
):
    client = handset.client
    async with contextlib.AsyncExitStack() as stack:
        phone = Phone(asked, registrar)
        if asked != "nobody":
            await stack.enter_async_context(phone)
        caller, session = await stack.enter_async_context(talk(alice, handset, registrar))
        since = client.mark
        await client.ask("call.transfer", call=caller, to=asked, mode="attended")
        if asked == "busy":
            await phone.event("CALL_INCOMING")
            await phone.hang_up()
        back = await client.event("call", 20, since=since, call=caller, state="connected")
        assert back["reason"] == f"transfer failed: {outcome}"
        ended = await client.event("call", since=since, state="ended", direction="out")
        assert ended["outcome"] == outcome
        since = client.mark
        await alice.say("what time is it")
        assert "It's" in (await client.answer(session, since=since))["text"]


async def test_the_agent_asked_to_transfer_tells_why_it_did_not_work(registrar, handset, alice):
    client = handset.client
    async with talk(alice, handset, registrar) as (caller, session):
        since = client.mark
        await alice.say("transfer me to extension two zero one")
        await client.answer(session, since=since)
        since = client.mark
        await client.ask("text", session=session, text="yes")
        result = await client.event("tool.result", 30, since=since)
        assert "does not exist" in result["error"]
        await client.event("call", since=since, call=caller, state="transferring")
        said = await client.answer(session, since=since)
        assert "does not exist" in said["text"]


async def test_a_caller_who_hangs_up_while_it_rings_stops_the_ringing(registrar, handset, alice):
    client = handset.client
    async with Phone("carol", registrar) as carol:
        async with talk(alice, handset, registrar) as (caller, _):
            await client.ask("call.transfer", call=caller, to="carol", mode="attended")
            await carol.event("CALL_INCOMING")
        await carol.event("CALL_CLOSED")
    assert not (await client.state())["calls"]


async def test_phones_that_can_be_joined_talk_without_us(registrar, handset):
    client = handset.client
    async with (
        Desk(server=registrar.server, user="dora", tone=600) as dora,
        Desk(server=registrar.server, user="emil", tone=900) as emil,
    ):
        since = client.mark
        hers = await dora.dial("handset")
        caller = (await client.event("call", since=since, state="connected"))["call"]
        await breathe(0.5)
        await client.ask("call.transfer", call=caller, to="emil", mode="attended")
        his = await emil.pick_up()
        over = await client.event("call", 20, since=since, call=caller, state="ended")
        assert over["reason"] == "transferred"
        await breathe(3.5)
        assert not (await client.state())["calls"]
        assert dominant_hertz(dora.heard(hers, 1000), DESK_RATE) == pytest.approx(900, abs=5)
        assert dominant_hertz(emil.heard(his, 1000), DESK_RATE) == pytest.approx(600, abs=5)


@pytest.mark.parametrize(
    ("pressed", "outcome"), [(True, "joined with"), (False, "transfer failed: voicemail")]
)
async def test_whoever_must_press_a_key_to_take_the_call_is_no_voicemail(
    registrar, careful, alice, pressed, outcome
):
    client = careful.client
    async with Phone("carol", registrar, tone=700, answers="auto") as carol:
        await alice.call(f"sip:frank@{registrar.server}")
        caller = (await client.event("call", state="connected"))["call"]
        await client.event("session.state", to="active")
        since, ear = client.mark, alice.ear()
        await client.ask("call.transfer", call=caller, to="carol", mode="attended", summary="Alice.")
        await carol.event("CALL_ESTABLISHED")
        if pressed:
            await breathe(1.0)
            assert dominant_hertz(ear()[-RATE // 2 :], RATE) != pytest.approx(700, abs=5)
            await carol.press("1")
        back = await client.event("call", 30, since=since, call=caller, state="connected")
        assert outcome in back["reason"]
        if not pressed:
            await carol.event("CALL_CLOSED")
        else:
            since = client.mark
            await alice.hold()
            await client.event("call", since=since, call=caller, state="held")
            await breathe(2.0)
            told, rate = carol.heard()
            assert sounding(told[-rate:], rate), "who is joined with somebody on hold hears music"
            await alice.resume()
            await client.event("call", since=since, call=caller, state="connected")
            await breathe(2.0)
            told, rate = carol.heard()
            assert not sounding(told[-rate:], rate)
        await alice.hang_up()


async def test_a_blind_transfer_of_the_agent_tells_its_steps_and_comes_back_from_nowhere(
    registrar, careful, alice
):
    client = careful.client
    async with Phone("carol", registrar, tone=700) as carol:
        await alice.call(f"sip:frank@{registrar.server}")
        caller = (await client.event("call", state="connected"))["call"]
        session = (await client.event("session.state", to="active"))["session"]
        await client.ask("text", session=session, text="transfer me to extension two zero one")
        await client.answer(session)
        await client.ask("text", session=session, text="yes")
        result = await client.event("tool.result", 30)
        assert "does not exist" in result["error"]
        assert (await client.event("call", call=caller, state="connected", code=404))["reason"]

        since = client.mark
        await client.ask("call.transfer", call=caller, to="carol")
        await carol.event("CALL_INCOMING")
        await client.event("call", since=since, call=caller, state="transferring")
        await carol.answer()
        over = await client.event("call", since=since, call=caller, state="ended")
        assert over["reason"] == "transferred"
