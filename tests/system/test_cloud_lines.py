"""Several people at once with a realtime model: each has a conversation of their own, typed, by key, or broken off."""

import asyncio
import re

import pytest

from tests.fakes.openai_answers import Plan, Say
from tests.rig.appliance import Handset
from tests.rig.cloud import assert_heard_whole, cloud
from tests.rig.peer import until
from tests.rig.services import SERVICES, GeminiService, OpenAiService
from tests.rig.sip_peers import programs_missing
from tests.rig.spoken import speech
from tests.rig.talking_phone import TalkingPhone, breathe, heard_to_the_end, sounds

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(programs_missing()), reason=f"not installed: {programs_missing()}"),
]

RATE = 16_000
PEOPLE = 4


def echo(said: str) -> Plan:
    return Say(f"You said {re.sub('[^0-9]', '', said)}.", 0.4)


async def types(handset: Handset, number: int) -> None:
    """Ten texts, each with its own answer."""
    async with handset.client_of_own() as client:
        session = await client.open_session()
        await client.event("session.state", session=session, to="active")
        for text in range(10):
            since = client.mark
            told = f"{number}{text}"
            turn = (await client.ask("text", session=session, text=f"my number is {told}"))["turn"]
            answer = await client.answer(session, since=since)
            assert (answer["turn"], answer["heard"]) == (turn, f"You said {told}.")


async def test_many_conversations_at_once_do_not_meet_and_leave_nothing_behind():
    async with cloud("openai", conversation={"max_sessions": PEOPLE}) as (service, handset):
        assert isinstance(service, OpenAiService)
        service.server.answering = echo
        await types(handset, 9)
        await until(lambda: not [one for one in service.server.sessions if one.live], 10)
        before = handset.footprint()
        await asyncio.gather(*(types(handset, number) for number in range(1, PEOPLE + 1)))
        await until(lambda: not [one for one in service.server.sessions if one.live], 10, "hung up")
        await until(
            lambda: (
                handset.footprint().threads <= before.threads and handset.footprint().files <= before.files
            ),
            20,
            f"threads and files return to {before}",
        )


async def by_key(name: str) -> None:
    """The key is held while somebody speaks, and pressed again to silence the answer."""
    async with cloud(name) as (service, handset), handset.client_of_own() as client:
        session = await client.open_session(RATE)
        await client.event("session.state", session=session, to="active")
        service.will_hear("where is the nearest bakery")
        service.will_say("Around the corner, and then to the left.", 4.0)
        await client.ask("ptt.press")
        asked = speech("where is the nearest bakery", RATE)
        client.say(asked)
        await breathe(len(asked) / RATE + 0.2)
        await client.ask("ptt.release")
        await sounds(client.heard_in_time, RATE, for_seconds=0.8)
        since = client.mark
        await client.ask("ptt.press")
        interrupted = await client.event("interrupted", 20, since=since, session=session)
        assert 0 < interrupted["heard_ms"] < 4_000
        service.will_hear("thank you")
        service.will_say("You are welcome.", 1.0)
        client.say(speech("thank you", RATE))
        await breathe(1.0)
        began = len(client.heard_in_time())
        await client.ask("ptt.release")
        heard = await heard_to_the_end(lambda: client.heard_in_time()[began:], RATE)
        await assert_heard_whole(service, 1, 1.0, heard, RATE)


async def test_a_key_opens_and_ends_a_turn_and_silences_the_answer():
    async with asyncio.TaskGroup() as appliances:
        for name in SERVICES:
            appliances.create_task(by_key(name))


async def breaks_off(name: str) -> None:
    """The link breaks while the model speaks: what came is heard, and said to have been cut off; the next is whole."""
    async with cloud(name) as (service, handset), handset.client_of_own() as client:
        session = await client.open_session(RATE)
        await client.event("session.state", session=session, to="active")
        service.will_hear("tell me everything")
        service.will_say(" ".join(["and"] * 200), 40.0)
        client.say(speech("tell me everything", RATE))
        await sounds(client.heard_in_time, RATE, for_seconds=0.5)
        service.wire.cut(0.5)
        told = (await client.event("warning", 60, session=session, code="cut_off"))["message"]
        await client.event("transcript", 30, session=session, role="assistant", final=True, heard=told)
        assert service.said == 1
        half = client.of("transcript", session=session, role="assistant", final=True)[0]
        assert 0 < len(half["heard"]) < 200 * 4

        since, began = client.mark, len(client.heard_in_time())
        service.will_hear("go on")
        service.will_say("There is no more.", 1.0)
        client.say(speech("go on please", RATE))
        heard = await heard_to_the_end(lambda: client.heard_in_time()[began:], RATE)
        await assert_heard_whole(service, 1, 1.0, heard, RATE)
        assert (await client.answer(session, since=since))["heard"] == "There is no more."


async def test_an_answer_that_breaks_off_is_heard_as_far_as_it_came():
    async with asyncio.TaskGroup() as appliances:
        for name in SERVICES:
            appliances.create_task(breaks_off(name))


async def test_who_hangs_up_in_the_middle_of_an_answer_takes_the_connection_along():
    async with cloud("gemini", sip={}) as (service, handset), TalkingPhone("alice") as alice:
        client = handset.client
        await alice.call(handset.uri)
        session = (await client.event("session.state", to="active"))["session"]
        await breathe(0.5)
        service.will_say("Let me tell you all of it.", 10.0)
        ear = alice.ear()
        await alice.say("tell me everything")
        await sounds(ear, for_seconds=0.5)
        await alice.hang_up()
        await client.event("session.state", session=session, to="closed")
        cut = await client.answer(session)
        assert "Let me tell you all of it.".startswith(cut["heard"])
        assert len(cut["heard"]) < len("Let me tell you all of it.")
        assert isinstance(service, GeminiService)
        server = service.server
        await until(lambda: not server.session.live, 10, "the connection is closed")
