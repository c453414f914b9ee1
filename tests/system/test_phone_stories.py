"""A room that is parked while somebody calls; and random stories of ringing, answering, holding, handing over and
hanging up, with the room: nothing is left behind."""

import asyncio
import contextlib
import random

import pytest
import pytest_asyncio

from tests.rig.appliance import Handset
from tests.rig.control_client import Refused
from tests.rig.peer import until
from tests.rig.room_person import RATE as ROOM_RATE
from tests.rig.room_person import RoomPerson
from tests.rig.shared import Shared
from tests.rig.sip_peers import Phone, programs_missing
from tests.rig.sound_server import SoundServer
from tests.rig.spoken import sounding
from tests.rig.stories import stories
from tests.rig.talking_phone import TalkingPhone, breathe
from tests.rig.tones import dominant_hertz

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(bool(programs_missing()), reason=f"not installed: {programs_missing()}"),
]

STORIES = stories(12)
WARM = 3
"""Stories before the first look: threads and files that stay are made by then."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server():
    with SoundServer() as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(server):
    sip = {"auto_answer": False, "max_calls": 2}
    transfer, room = {"ring_time": 5}, {"on_call": "park"}
    async with Shared(lambda: Handset(sound=server, sip=sip, transfer=transfer, room=room)) as shared:
        yield shared


@pytest_asyncio.fixture(loop_scope="module")
async def handset(shared):
    async with shared.lent() as handset:
        yield handset


async def tell(
    chance: random.Random, handset: Handset, alice: TalkingPhone, others: dict[str, Phone]
) -> None:
    """One call of alice, and some of what may happen to it, in any order."""
    client, since = handset.client, handset.client.mark
    await alice.dial(handset.uri)
    call = (await client.event("call", since=since, direction="in", state="ringing"))["call"]
    await breathe(chance.uniform(0, 0.3))
    line = chance.choice(({}, {"line": "room"}, {"line": "agent"}))
    steps = [
        lambda: client.ask("call.hold", call=call),
        lambda: client.ask("call.resume", call=call),
        alice.hold,
        alice.resume,
        lambda: client.ask(
            "call.transfer", call=call, to=others["auto"].uri, mode="attended", summary="Alice."
        ),
        lambda: client.ask("call.transfer", call=call, to=others["mute"].uri, mode="attended"),
        lambda: client.ask("call.transfer", call=call, to="sip:nobody@127.0.0.1:9", mode="blind"),
        lambda: client.ask("call.answer", call=call, line="room"),
        lambda: client.ask("call.answer", call=call, line="agent"),
        lambda: client.ask("call.dtmf", call=call, digits="5"),
        lambda: alice.press("7"),
        lambda: client.ask("say", line="room", text="one two three"),
    ]
    with contextlib.suppress(Refused):
        if chance.random() < 0.85:
            await client.ask("call.answer", call=call, **line)
    for step in chance.sample(steps, chance.randrange(5)):
        await breathe(chance.uniform(0, 0.6))
        with contextlib.suppress(Refused, TimeoutError):
            await step()
    await breathe(chance.uniform(0, 0.8))
    if chance.random() < 0.5:
        await alice.hang_up()
    else:
        with contextlib.suppress(Refused):
            await client.ask("call.hangup", call=call)
    with contextlib.suppress(Refused):
        await client.ask("call.hangup", call=call)


async def nothing_is_up(handset: Handset, phones: list[Phone]) -> None:
    async def calls() -> int:
        return len((await handset.client.state())["calls"])

    for _ in range(100):
        if not await calls():
            break
        await asyncio.sleep(0.1)
    assert not (await handset.client.state())["calls"]
    for phone in phones:
        with contextlib.suppress(TimeoutError):
            await phone.hang_up()


async def test_a_call_parks_what_the_room_hears_and_it_goes_on_after(server, handset):
    async with TalkingPhone("alice") as alice:
        client = handset.client
        await client.ask(
            "say", line="room", text="one two three four five six seven eight nine ten eleven twelve"
        )
        await breathe(1.0)
        await alice.dial(handset.uri)
        call = (await client.event("call", state="ringing"))["call"]
        with RoomPerson(server) as person, person.listening() as room:
            await breathe(1.5)
            heard = room()
        begin, end = max(sounding(heard, ROOM_RATE), key=lambda span: span[1] - span[0])
        rung = heard[round(begin * ROOM_RATE) : round(end * ROOM_RATE)]
        assert dominant_hertz(rung, ROOM_RATE) == pytest.approx(425, abs=15)
        assert not client.of("transcript", line="room", final=True)
        await alice.hang_up()
        await client.event("call", call=call, state="ended")
        said = await client.event("transcript", line="room", role="assistant", final=True)
        assert said["heard"] == said["text"]


async def test_no_story_of_calls_and_the_room_leaves_anything_behind(handset):
    async with TalkingPhone("alice") as alice, Phone("auto", answers="auto") as auto, Phone("mute") as mute:
        others = {"auto": auto, "mute": mute}
        chance = random.Random(7)
        for _ in range(WARM):
            await tell(chance, handset, alice, others)
            await nothing_is_up(handset, [alice, mute])
        await breathe(2.0)
        before = handset.footprint()
        for _ in range(STORIES):
            await tell(chance, handset, alice, others)
            await nothing_is_up(handset, [alice, mute])
        await until(
            lambda: (
                handset.footprint().threads <= before.threads + 2
                and handset.footprint().files <= before.files + 2
            ),
            20,
            f"threads and files return to {before}; now {handset.footprint()}",
        )
        state = await handset.client.state()
        assert [line["id"] for line in state["lines"]] == ["room"]
        assert all(session["line"] == "room" for session in state["sessions"])
        assert handset.footprint().children == before.children
        assert not [event for event in handset.client.of("error") if event["code"] == "telephone_lost"]
        since = handset.client.mark
        await handset.client.ask("say", line="room", text="still here")
        said = await handset.client.event(
            "transcript", since=since, line="room", role="assistant", final=True
        )
        assert said["heard"] == said["text"]
