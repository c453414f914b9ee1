"""Calls on hold in the daemon, both ways: what goes over RTP, and that the session waits."""

import asyncio
import contextlib
import time

import pytest
import pytest_asyncio

from tests.rig.appliance import Handset
from tests.rig.raw_caller import RawCaller
from tests.rig.shared import Shared
from tests.rig.sip_peers import programs_missing
from tests.rig.spoken import sounding
from tests.rig.talking_phone import RATE, TalkingPhone, breathe, sounds

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(bool(programs_missing()), reason=f"not installed: {programs_missing()}"),
]

IDLE_SECONDS = 3.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared():
    async with Shared(lambda: Handset(sip={}, conversation={"idle_timeout": IDLE_SECONDS})) as shared:
        yield shared


@pytest_asyncio.fixture(loop_scope="module")
async def handset(shared):
    async with shared.lent() as handset:
        yield handset


@contextlib.asynccontextmanager
async def raw_call(handset: Handset):
    client, since = handset.client, handset.client.mark
    caller = RawCaller(handset.sip_port)
    await asyncio.to_thread(caller.__enter__)
    try:
        event = await client.event("call", since=since, state="connected")
        yield caller, event["call"]
    finally:
        await asyncio.to_thread(caller.__exit__, None, None, None)


def sounded(caller: RawCaller, since: float) -> int:
    """Packets since then that are not silence."""
    return sum(
        1 for at, payload in caller.arrived if at >= since and any(byte & 0x7F < 0x70 for byte in payload)
    )


@pytest.mark.parametrize(
    ("direction", "connection", "answer"),
    [
        ("sendonly", "127.0.0.1", "recvonly"),
        ("inactive", "127.0.0.1", "inactive"),
        ("sendonly", "0.0.0.0", "recvonly"),
        ("", "0.0.0.0", "sendrecv"),
    ],
)
async def test_whoever_holds_us_gets_the_right_answer_and_hears_nothing(
    handset, direction, connection, answer
):
    client = handset.client
    async with raw_call(handset) as (caller, call):
        since = client.mark
        answered = await asyncio.to_thread(caller.offer_again, direction, connection)
        assert answered == answer
        await client.event("call", since=since, call=call, state="held")
        held = time.monotonic()
        # Longer than the idle time-out: nobody is hung up on for being on hold.
        await breathe(IDLE_SECONDS + 1.0)
        assert sounded(caller, held + 0.3) == 0
        since = client.mark
        assert await asyncio.to_thread(caller.offer_again, "sendrecv") == "sendrecv"
        await client.event("call", since=since, call=call, state="connected")
        resumed = time.monotonic()
        (session,) = [each["session"] for each in (await client.state())["calls"] if each["call"] == call]
        await client.ask("say", session=session, text="here we are again")
        await client.answer(session, since=since)
        assert sounded(caller, resumed) > 20


async def test_whom_we_hold_is_offered_sendonly_and_hears_music(handset):
    client = handset.client
    async with raw_call(handset) as (caller, call):
        since = client.mark
        offered = asyncio.create_task(asyncio.to_thread(caller.be_offered))
        await client.ask("call.hold", call=call)
        assert await offered == "sendonly"
        await client.event("call", since=since, call=call, state="held")
        held = time.monotonic()
        await breathe(2.0)
        assert sounded(caller, held + 0.5) > 60
        since = client.mark
        offered = asyncio.create_task(asyncio.to_thread(caller.be_offered))
        await client.ask("call.resume", call=call)
        assert await offered == "sendrecv"
        await client.event("call", since=since, call=call, state="connected")
        resumed = time.monotonic()
        await breathe(1.0)
        assert sounded(caller, resumed + 0.4) == 0, "music after the hold"


@pytest.mark.parametrize("by_us", [True, False])
async def test_an_answer_waits_while_its_call_is_held_and_is_heard_to_its_end(handset, by_us):
    async with TalkingPhone("alice") as alice:
        client = handset.client
        await alice.call(handset.uri)
        call = (await client.event("call", state="connected"))["call"]
        session = (await client.event("session.state", to="active"))["session"]
        await breathe(0.5)
        since, ear = client.mark, alice.ear()
        await alice.say("what can you do")
        await sounds(ear, for_seconds=1.0)
        if by_us:
            await client.ask("call.hold", call=call)
        else:
            await alice.hold()
        await client.event("call", since=since, call=call, state="held")
        await breathe(2.5)
        assert not client.of("transcript", since, session=session, role="assistant", final=True)
        if by_us:
            await client.ask("call.resume", call=call)
        else:
            await alice.resume()
        answer = await client.answer(session, since=since)
        assert answer["heard"] == answer["text"]
        assert not client.of("interrupted", since)
        assert sounding(ear(), RATE)
        await alice.hang_up()
