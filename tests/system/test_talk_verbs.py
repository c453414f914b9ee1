"""The command line against a running daemon with a sound server, a SIP line and somebody to call."""

import asyncio
import json
import re

import pytest
import pytest_asyncio

from tests.rig.appliance import Handset
from tests.rig.room_person import RATE, RoomPerson
from tests.rig.sip_peers import Phone, programs_missing
from tests.rig.sound_server import SoundServer
from tests.rig.talking_phone import heard_to_the_end

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(bool(programs_missing()), reason=f"not installed: {programs_missing()}"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server():
    with SoundServer() as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bob():
    async with Phone("bob") as bob:
        yield bob


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def handset(server, bob):
    async with Handset(
        sound=server,
        sip={"auto_answer": False},
        contacts={"bob": bob.uri},
    ) as handset:
        yield handset


async def test_status_tells_that_all_is_ready(handset):
    code, out, _ = await handset.run("status", "--json")
    assert code == 0
    state = json.loads(out)
    assert state["ready"]
    assert [line["id"] for line in state["lines"]] == ["room"]
    code, out, _ = await handset.run("status")
    assert code == 0
    assert re.search(r"ready +yes", out)


async def test_say_is_heard_in_the_room(handset, server):
    with RoomPerson(server) as person, person.listening() as ear:
        code, _, err = await handset.run("say", "dinner is ready")
        assert code == 0, err
        heard = await heard_to_the_end(ear, RATE)
    assert len(heard)
    said = await handset.client.event("transcript", line="room", role="assistant", final=True)
    assert said["text"] == "dinner is ready"


async def test_ask_prints_the_answer(handset):
    code, out, err = await handset.run("ask", "what is twelve times seven")
    assert code == 0, err
    assert "84" in out


async def test_call_rings_at_the_contact_and_hangup_ends_it(handset, bob):
    since = handset.client.mark
    code, out, err = await handset.run("call", "bob")
    assert code == 0, err
    call_id = out.split()[1]
    await bob.event("CALL_INCOMING")
    await bob.answer()
    await handset.client.event("call", since=since, call=call_id, state="connected")
    code, _, err = await handset.run("hangup")
    assert code == 0, err
    await bob.event("CALL_CLOSED")
    await handset.client.event("call", since=since, call=call_id, state="ended")


async def test_answer_takes_the_ringing_call(handset, bob):
    since = handset.client.mark
    await bob.dial(handset.uri)
    await handset.client.event("call", since=since, state="ringing")
    code, _, err = await handset.run("answer")
    assert code == 0, err
    await handset.client.event("call", since=since, state="connected")
    await bob.hang_up()
    await handset.client.event("call", since=since, state="ended")
    assert (await handset.run("answer"))[0] == 1


async def test_mute_and_volume_are_facts_and_while_muted_nobody_is_listened_to(handset, server):
    assert (await handset.run("mute", "on"))[0] == 0
    assert (await handset.run("volume", "40"))[0] == 0
    state = await handset.client.state()
    assert (state["mute"], state["volume"]) == (True, 40)
    since = handset.client.mark
    with RoomPerson(server) as person:
        await asyncio.sleep(person.say("what time is it") + 1.5)
    assert not handset.client.of("speech.started", since, line="room")
    assert not handset.client.of("transcript", since, line="room")
    assert (await handset.run("mute", "off"))[0] == 0
    await handset.client.ask("volume", line="room", level=100)
    state = await handset.client.state()
    assert (state["mute"], state["volume"]) == (False, 100)


async def test_tail_shows_what_happens(handset):
    process = handset.spawn("tail", "--json", "--config", str(handset.config), log="tail.log")
    log = handset.directory / "tail.log"
    for _ in range(100):
        await handset.client.ask("volume", line="room", level=50)
        await handset.client.ask("volume", line="room", level=100)
        if "volume" in log.read_text():
            break
        await asyncio.sleep(0.1)
    process.send_signal(2)
    assert await asyncio.to_thread(process.wait, 10) == 0
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert {"volume"} <= {event["type"] for event in events}


async def test_check_config_version_and_doctor(handset):
    code, _, err = await handset.run("check")
    assert code == 0, err
    code, out, _ = await handset.run("config")
    assert code == 0
    assert str(handset.port) in out
    assert not any(secret in out for secret in handset.secrets)
    code, out, _ = await handset.run("version", config=False)
    assert code == 0
    assert re.fullmatch(r"handset \d+\.\d+.*\n", out)
    code, out, _ = await handset.run("doctor", "--json")
    assert code in (0, 1)
    assert json.loads(out)


async def test_pair_makes_a_token_that_the_running_daemon_takes_and_asks_for(handset):
    code, out, err = await handset.run("pair", "--scope", "observe", "--name", "display")
    assert code == 0, err
    token = out.split()[1]
    handset.secrets.add(token)
    assert (await handset.run("status", "--token", token))[0] == 0
    assert (await handset.run("status"))[0] == 4
    code, _, err = await handset.run("pair", "--revoke", "display")
    assert code == 0, err
    async with handset.client_of_own() as client:
        assert (await client.state())["ready"]


async def test_without_a_daemon_a_verb_says_so():
    handset = Handset()
    handset.config.write_text(f"[control]\nport = {handset.port}\n")
    code, _, err = await handset.run("say", "x")
    assert code == 3, err
    assert "handset run" in err
    await handset.stop()
