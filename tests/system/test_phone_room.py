"""The telephone and the room together: a person at the microphone has a call, hands it to the agent, and back."""

import numpy as np
import pytest
import pytest_asyncio

from tests.rig.appliance import Handset
from tests.rig.room_person import RATE as ROOM_RATE
from tests.rig.room_person import RoomPerson
from tests.rig.shared import Shared
from tests.rig.sip_peers import Phone, programs_missing
from tests.rig.sound_server import SoundServer
from tests.rig.spoken import levels, sounding
from tests.rig.talking_phone import RATE, TalkingPhone, breathe, heard_to_the_end
from tests.rig.tones import dominant_hertz

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(bool(programs_missing()), reason=f"not installed: {programs_missing()}"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server():
    with SoundServer() as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def person(server):
    with RoomPerson(server) as person:
        yield person


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(server):
    def kiosk() -> Handset:
        return Handset(
            sound=server,
            sip={"auto_answer": False, "bind": "127.0.0.1"},
            room={"on_call": "duck"},
            conversation={"max_sessions": 6},
        )

    async with Shared(kiosk) as shared:
        yield shared


@pytest_asyncio.fixture(loop_scope="module")
async def handset(shared):
    async with shared.lent() as handset:
        yield handset


async def test_the_person_takes_a_call_gives_it_to_the_agent_and_takes_it_back(handset, person):
    async with TalkingPhone("alice") as alice:
        client = handset.client
        await alice.dial(handset.uri)
        call = (await client.event("call", state="ringing"))["call"]
        await client.ask("call.answer", call=call, line="room")
        await client.event("call", call=call, state="connected")
        assert not (await client.state())["sessions"]
        with person.listening() as room:
            await alice.say("hello room this is alice speaking on the telephone")
            await breathe(3.0)
            assert sum(end - begin for begin, end in sounding(room(), ROOM_RATE)) > 1.0
        ear = alice.ear()
        person.say("hello alice this is the kiosk speaking")
        await breathe(3.5)
        assert sum(end - begin for begin, end in sounding(ear(), RATE)) > 0.8

        since = client.mark
        await client.ask("call.answer", call=call, line="agent")
        session = (await client.event("session.state", since=since, to="active"))["session"]
        await breathe(0.5)
        ear = alice.ear()
        await alice.say("what time is it")
        assert "It's" in (await client.answer(session, since=since))["text"]
        assert sounding(await heard_to_the_end(ear), RATE)

        since = client.mark
        await client.ask("call.answer", call=call, line="room")
        await breathe(0.5)
        with person.listening() as room:
            await alice.say("hello room here i am again after all")
            await breathe(3.0)
            assert sum(end - begin for begin, end in sounding(room(), ROOM_RATE)) > 0.8
        assert not client.of("transcript", since, role="user")
        await alice.hang_up()
        await client.event("call", call=call, state="ended")
        await breathe(0.5)
        since = client.mark
        with person.listening() as room:
            person.say("what time is it")
            assert sounding(await heard_to_the_end(room, ROOM_RATE), ROOM_RATE)
        assert client.of("transcript", since, line="room", role="assistant", final=True)


async def test_whom_the_room_dials_is_heard_to_ring_and_then_to_speak(handset, person):
    async with Phone("carol", tone=700) as carol:
        client = handset.client
        with person.listening() as room:
            await client.ask("call.dial", to=carol.uri, line="room")
            await client.event("call", state="ringing")
            await breathe(1.5)
            heard = room()
            begin, end = max(sounding(heard, ROOM_RATE), key=lambda span: span[1] - span[0])
            ringing = heard[round(begin * ROOM_RATE) : round(end * ROOM_RATE)]
            assert dominant_hertz(ringing, ROOM_RATE) == pytest.approx(425, abs=15)
            await carol.answer()
            await client.event("call", state="connected")
            await breathe(2.0)
            assert dominant_hertz(room()[-ROOM_RATE:], ROOM_RATE) == pytest.approx(700, abs=10)
        call = client.of("call")[0]["call"]
        await client.ask("call.hangup", call=call)
        await client.event("call", call=call, state="ended")


async def test_a_room_that_dials_in_vain_is_told_why(handset, person):
    async with Phone("carol") as carol:
        client = handset.client
        await client.ask("call.dial", to=carol.uri, line="room")
        await carol.event("CALL_INCOMING")
        await carol.hang_up()
        ended = await client.event("call", state="ended")
        assert ended["outcome"] == "busy"
        told = await client.event("transcript", line="room", role="assistant", final=True)
        assert "carol is busy" in told["text"]


async def test_while_somebody_calls_the_room_speaks_more_softly(handset, person):
    async with Phone("alice") as alice:
        client = handset.client
        with person.listening() as room:

            async def loudness() -> float:
                """Of the loudest tenth of what is said, once what the sound card still had is over."""
                await breathe(0.3)
                begin = len(room())
                await breathe(0.6)
                return float(np.percentile(levels(room()[begin:], ROOM_RATE), 90))

            await client.ask("say", line="room", text="nine " * 24)
            await client.event("turn", state="speaking")
            before = await loudness()
            await alice.dial(handset.uri)
            await client.event("call", state="ringing")
            during = await loudness()
            await alice.hang_up()
            await client.event("call", state="ended")
            after = await loudness()
        assert before > 300
        assert 0.05 < during / before < 0.5
        assert 0.6 < after / before < 1.7


@pytest.mark.parametrize("answers", [True, False])
async def test_whom_the_agent_in_the_room_is_asked_to_call_the_person_talks_to(handset, person, answers):
    async with Phone("carol", tone=700) as carol:
        await handset.reload(contacts={"kitchen": carol.uri})
        client = handset.client
        await client.ask("say", line="room", text="hello")
        session = (await client.event("session.state", line="room", to="active"))["session"]
        await client.ask("text", session=session, text="call the kitchen")
        await client.answer(session)
        since = client.mark
        await client.ask("text", session=session, text="yes")
        await carol.event("CALL_INCOMING")
        if not answers:
            await carol.hang_up()
            result = await client.event("tool.result", since=since)
            assert "busy" in result["error"]
            await client.event("transcript", since=since, session=session, text=result["error"], final=True)
            return
        with person.listening() as room:
            await carol.answer()
            call = (await client.event("call", state="connected"))["call"]
            await breathe(2.0)
            assert dominant_hertz(room()[-ROOM_RATE:], ROOM_RATE) == pytest.approx(700, abs=10)
        (shown,) = (await client.state())["calls"]
        assert shown["session"] is None
        await carol.hang_up()
        await client.event("call", call=call, state="ended")
        await breathe(0.5)
        since = client.mark
        await client.ask("text", session=session, text="what time is it")
        assert "It's" in (await client.answer(session, since=since))["text"]
