"""A person in the room, a program at the control API and callers without an account talk to the daemon, also at once;
its devices are pulled and returned under way."""

import asyncio
import time

import pytest
import pytest_asyncio

from tests.rig.answers import assert_tells_the_time
from tests.rig.appliance import Handset
from tests.rig.room_person import RATE, RoomPerson
from tests.rig.shared import Shared
from tests.rig.sip_direct import direct_caller
from tests.rig.sip_peers import Scenario, programs_missing
from tests.rig.sip_scenarios import a_law
from tests.rig.sound_server import MICROPHONE, SPEAKER, SoundServer
from tests.rig.spoken import speech
from tests.rig.talking_phone import heard_to_the_end

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
async def shared(server):
    sip, conversation = {"max_calls": 4}, {"max_sessions": 6}
    async with Shared(lambda: Handset(sound=server, sip=sip, conversation=conversation)) as shared:
        yield shared


@pytest_asyncio.fixture(loop_scope="module")
async def handset(shared):
    async with shared.lent() as handset:
        yield handset


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def person(server):
    with RoomPerson(server) as person:
        yield person


async def asks_the_time(handset: Handset, person: RoomPerson) -> None:
    """Asks in the room and hears the time."""
    since = handset.client.mark
    with person.listening() as ear:
        person.say("what time is it")
        heard = await heard_to_the_end(ear, RATE)
    assert_tells_the_time(heard, RATE, time.time())
    said = handset.client.of("transcript", since, line="room", role="assistant", final=True)
    assert said
    assert said[-1]["heard"] == said[-1]["text"]


async def test_the_time_asked_at_the_microphone_is_heard_at_the_speaker(handset, person):
    await asks_the_time(handset, person)


async def test_the_time_asked_over_the_control_api_comes_back_as_audio(handset):
    async def ask_at(rate: int) -> None:
        async with handset.client_of_own() as client:
            session = await client.open_session(rate)
            client.say(speech("what time is it", rate, lead=0.3))
            heard = await heard_to_the_end(client.heard_in_time, rate)
            assert_tells_the_time(heard, rate, time.time())
            answer = await client.answer(session)
            assert answer["heard"] == answer["text"]
            await client.ask("session.close", session=session)

    await asyncio.gather(*(ask_at(rate) for rate in (8_000, 24_000)))
    left = [session["line"] for session in (await handset.client.state())["sessions"]]
    assert set(left) <= {"room"}


async def test_a_caller_without_account_and_the_room_are_answered_at_once(handset, person):
    since = handset.client.mark
    question = a_law(speech("what is twelve times seven", 8_000, lead=1.0, tail=8.0))
    xml = direct_caller(handset.uri.removeprefix("sip:"), hold_ms=7000, audio="ask.al")
    target = f"127.0.0.1:{handset.sip_port}"
    async with Scenario(xml, target, files={"ask.al": question}) as scenario:
        with person.listening() as ear:
            connected = await handset.client.event("call", since=since, state="connected")
            await asyncio.sleep(0.6)
            person.say("what time is it")
            heard = await heard_to_the_end(ear, RATE)
        assert_tells_the_time(heard, RATE, time.time())
        assert await scenario.finished() == 0, scenario.log()
    call = connected["call"]
    await handset.client.event("call", call=call, state="ended")
    said = handset.client.of("transcript", since, role="assistant", final=True)
    on_phone = [event for event in said if event["line"] != "room"]
    assert "84" in on_phone[0]["heard"] or "eighty" in on_phone[0]["heard"]
    assert "84" not in " ".join(event["text"] for event in said if event["line"] == "room")


async def pulled_and_returned(handset: Handset, kind: str, pull, plug) -> None:
    since = handset.client.mark
    pull()
    await handset.client.event("device", 30, since=since, kind=kind, state="lost")
    plug()
    await handset.client.event("device", 30, since=since, kind=kind, state="recovered")


async def test_pulled_devices_and_a_sound_server_that_dies_come_back_and_are_used_again(
    handset, server, person
):
    await pulled_and_returned(handset, "input", lambda: server.unplug(MICROPHONE), server.plug_microphone)
    await pulled_and_returned(handset, "output", lambda: server.unplug(SPEAKER), server.plug_speaker)
    await handset.ready()
    await asks_the_time(handset, person)

    threads = handset.footprint().threads
    await pulled_and_returned(handset, "input", server.kill, server.start)
    await handset.ready()
    await asks_the_time(handset, person)
    assert handset.footprint().threads <= threads + 2


async def test_without_any_device_it_runs_and_takes_one_that_comes_later():
    with SoundServer(running=False) as server:
        async with Handset(sound=server, ready=False) as handset:
            assert (await handset.page("/live"))[0] == 200
            async with handset.client_of_own() as client:
                session = (await client.ask("session.open", line="client", sample_rate=16_000))["session"]
                await client.ask("text", session=session, text="what is two plus two")
                assert "4" in (await client.answer(session))["text"]
            server.start()
            await handset.client.event("device", 30, kind="input", state="present")
            await handset.client.event("device", 30, kind="output", state="present")
            await handset.ready()
            with RoomPerson(server) as person:
                await asks_the_time(handset, person)
