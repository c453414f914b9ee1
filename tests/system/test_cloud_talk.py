"""People talk with realtime models through the whole appliance: on the telephone, as programs, by key, many at once."""

import asyncio
import re

import pytest
import pytest_asyncio

from tests.fakes.openai_answers import Plan, Say
from tests.rig.appliance import Handset
from tests.rig.cloud import assert_heard_whole, cloud, heard_ms, latency
from tests.rig.clouds import Clouds
from tests.rig.control_client import ControlClient, Event
from tests.rig.peer import until
from tests.rig.services import OpenAiService, Service
from tests.rig.sip_peers import programs_missing
from tests.rig.sounds import Samples
from tests.rig.spoken import sounding, speech
from tests.rig.talking_phone import RATE, TalkingPhone, breathe, heard_to_the_end, sounds

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(bool(programs_missing()), reason=f"not installed: {programs_missing()}"),
]

CLIENT_RATE = 24_000
PEOPLE = 4
TEXTS = 5
POOL = 2
"""Threads of the loop's pool that were not needed before."""
MOMENTS = {"openai": (1.0, 4.0), "gemini": (4.0,), "gpt_live": (1.0,)}
"""When an answer is talked over. After 4 s the service has sent all of it long ago."""
SECONDS = 8.0
ASKS = "please count from one hundred"
OBJECTS = "thank you that will do for now and please tell me more"
COUNTING = " ".join(str(number) for number in range(100, 140))
"""A number every fifth of a second."""
SILENT_AFTER = 1.5
"""The target is a quarter of a second."""
GRAIN_MS = 220
"""What recognition by pieces of 100 ms, and the phone's jitter buffer, may differ from what was counted."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def clouds():
    conversation = {"max_sessions": PEOPLE}
    async with Clouds(lambda name: cloud(name, sip={}, conversation=conversation)) as clouds:
        yield clouds


# --- a phone and a program ---


async def a_phone_asks(service: Service, handset: Handset) -> None:
    client, since, number = handset.client, handset.client.mark, service.said
    service.will_hear("where is the nearest bakery")
    service.will_say("The nearest bakery is around the corner.", 2.0)
    async with TalkingPhone("alice") as alice:
        await alice.call(handset.uri)
        session = (await client.event("session.state", since=since, to="active"))["session"]
        await breathe(0.5)
        ear = alice.ear()
        await alice.say("where is the nearest bakery")
        heard = await heard_to_the_end(ear)
        await assert_told(
            client, session, "where is the nearest bakery", "The nearest bakery is around the corner."
        )
        await assert_heard_whole(service, number, 2.0, heard, RATE)
        await latency(client, session, since=since)
        await alice.hang_up()
    await client.event("session.state", since=since, session=session, to="closed")


async def a_program_asks(service: Service, handset: Handset) -> None:
    number = service.said
    async with handset.client_of_own() as client:
        session = await client.open_session(CLIENT_RATE)
        await client.event("session.state", session=session, to="active")
        service.will_hear("and when does it open")
        service.will_say("It opens at seven in the morning.", 1.5)
        client.say(speech("and when does it open", CLIENT_RATE, lead=0.3))
        heard = await heard_to_the_end(client.heard_in_time, CLIENT_RATE)
        await assert_told(client, session, "and when does it open", "It opens at seven in the morning.")
        await assert_heard_whole(service, number, 1.5, heard, CLIENT_RATE)
        await latency(client, session)

        since = client.mark
        await a_tool_is_called(service, client, session)
        kept = await client.ask("history.get", session=session)
        said = [(turn["role"], turn["text"]) for turn in kept["turns"] if turn["role"] != "tool"]
        assert said[:2] == [
            ("user", "and when does it open"),
            ("assistant", "It opens at seven in the morning."),
        ]
        assert client.of("usage", session=session)
        await latency(client, session, since=since)


async def a_tool_is_called(service: Service, client: ControlClient, session: str) -> None:
    since, told_before = client.mark, len(service.results())
    service.will_hear("set a timer for the potatoes")
    arguments = {"seconds": 600, "label": "potatoes in the oven"}
    service.will_call("set_timer", arguments, "The timer for the potatoes runs.")
    client.say(speech("set a timer for the potatoes", CLIENT_RATE))
    call = await client.event("tool.call", since=since, session=session)
    assert call["arguments"]["label"] == "potatoes in the oven"
    result = await client.event("tool.result", since=since, session=session, call_id=call["call_id"])
    assert result.get("error") is None, result
    await until(lambda: len(service.results()) > told_before, 20, "the service is told")
    told = service.results()[told_before:]
    assert len(told) == 1
    assert "potatoes in the oven" in told[0]
    answer = await client.answer(session, since=since)
    assert answer["heard"] == "The timer for the potatoes runs."


async def assert_told(client: ControlClient, session: str, asked: str, answered: str) -> None:
    user = await client.event("transcript", session=session, role="user", final=True)
    assert user["text"] == asked
    answer = await client.answer(session)
    assert answer["text"] == answer["heard"] == answered


async def a_phone_and_a_program_ask(service: Service, handset: Handset) -> None:
    await a_phone_asks(service, handset)
    await a_program_asks(service, handset)
    assert (await handset.client.state())["providers"][service.name]["state"] == "up"


async def test_a_phone_and_a_program_are_answered_and_a_tool_is_called(clouds):
    await clouds.each(a_phone_and_a_program_ask)


# --- an answer is talked over, or its listener leaves ---


async def talked_over(service: Service, handset: Handset, phone: TalkingPhone, after: float) -> None:
    """Ask, and talk over the answer when `after` seconds of it were heard."""
    client, since = handset.client, handset.client.mark
    service.will_hear(ASKS)
    service.will_say(COUNTING, SECONDS)
    number, ear = service.said, phone.ear()
    await phone.say(ASKS)
    await sounds(ear, for_seconds=after)

    service.will_hear("thank you that will do")
    service.will_say("Fine.", 1.0)
    onset = len(ear()) / RATE
    lasts = await phone.say(OBJECTS)
    interrupted = await client.event("interrupted", since=since)
    await breathe(lasts)
    await heard_to_the_end(phone.ear())
    heard = ear()
    assert_silent(heard, onset + SILENT_AFTER, onset + lasts)
    assert_known(service, number, interrupted, await heard_ms(service, number, heard, RATE))
    await assert_heard_whole(service, number + 1, 1.0, heard, RATE)

    session = interrupted["session"]
    cut = client.of("transcript", since, session=session, role="assistant", final=True)[0]
    assert_words(cut, interrupted["heard_ms"])
    kept = (await client.ask("history.get", session=session))["turns"]
    assert [turn["heard"] for turn in kept if turn["role"] == "assistant"][-2:] == [cut["heard"], "Fine."]


def assert_silent(heard: Samples, begin: float, end: float) -> None:
    assert end - begin > 1.0
    while_talking = heard[round(begin * RATE) : round(end * RATE)]
    assert not sounding(while_talking, RATE), "the answer goes on while somebody talks"


def assert_known(service: Service, number: int, interrupted: Event, really_ms: float) -> None:
    assert interrupted["heard_ms"] == pytest.approx(really_ms, abs=GRAIN_MS)
    if isinstance(service, OpenAiService):
        told = [answer for answer in service.server.answers if answer.pcm][number].truncated_ms
        assert told == pytest.approx(interrupted["heard_ms"], abs=20)


def assert_words(transcript: Event, heard_ms: float) -> None:
    """What the transcript says was heard are the words of that time."""
    assert COUNTING.startswith(transcript["heard"].rstrip(" .…"))
    words = len(transcript["heard"].split())
    assert words == pytest.approx(heard_ms / (SECONDS * 1000) * len(COUNTING.split()), abs=2)


async def one_talks_over(service: Service, handset: Handset) -> None:
    client, begun = handset.client, handset.client.mark
    for text in (ASKS, OBJECTS):
        # The voice that makes it would hold up the services, which speak in this thread.
        speech(text, RATE)
    async with TalkingPhone("alice") as alice:
        await alice.call(handset.uri)
        session = (await client.event("session.state", since=begun, to="active"))["session"]
        await breathe(0.5)
        for after in MOMENTS[service.name]:
            since = client.mark
            await talked_over(service, handset, alice, after)
            asked = await latency(client, session, since=since)
            after_it = await latency(client, session, since=client.events.index(asked) + 1)
            assert asked["turn"] < after_it["turn"]


async def test_an_answer_that_is_talked_over_ends_where_it_was_heard(clouds):
    await clouds.each(one_talks_over)


async def one_hangs_up(service: Service, handset: Handset) -> None:
    client, since = handset.client, handset.client.mark
    async with TalkingPhone("alice") as alice:
        await alice.call(handset.uri)
        session = (await client.event("session.state", since=since, to="active"))["session"]
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
        await until(lambda: service.links == 0, 10, "the connection is closed")


async def test_who_hangs_up_in_the_middle_of_an_answer_takes_the_connection_along(clouds):
    await clouds.each(one_hangs_up, "gemini")


# --- by key ---


async def by_key(service: Service, handset: Handset) -> None:
    """The key is held while somebody speaks, and pressed again to silence the answer."""
    number = service.said
    async with handset.client_of_own() as client:
        session = await client.open_session(CLIENT_RATE)
        await client.event("session.state", session=session, to="active")
        service.will_hear("where is the nearest bakery")
        service.will_say("Around the corner, and then to the left.", 4.0)
        await client.ask("ptt.press")
        asked = speech("where is the nearest bakery", CLIENT_RATE)
        client.say(asked)
        await breathe(len(asked) / CLIENT_RATE + 0.2)
        await client.ask("ptt.release")
        await sounds(client.heard_in_time, CLIENT_RATE, for_seconds=0.8)
        since = client.mark
        await client.ask("ptt.press")
        interrupted = await client.event("interrupted", 20, since=since, session=session)
        assert 0 < interrupted["heard_ms"] < 4_000
        service.will_hear("thank you")
        service.will_say("You are welcome.", 1.0)
        client.say(speech("thank you", CLIENT_RATE))
        await breathe(1.0)
        began = len(client.heard_in_time())
        await client.ask("ptt.release")
        heard = await heard_to_the_end(lambda: client.heard_in_time()[began:], CLIENT_RATE)
        await assert_heard_whole(service, number + 1, 1.0, heard, CLIENT_RATE)


async def test_a_key_opens_and_ends_a_turn_and_silences_the_answer(clouds):
    await clouds.each(by_key)


# --- many at once ---


def echo(said: str) -> Plan:
    return Say(f"You said {re.sub('[^0-9]', '', said)}.", 0.2)


async def types(handset: Handset, number: int) -> None:
    """Some texts, each with its own answer."""
    async with handset.client_of_own() as client:
        session = await client.open_session()
        await client.event("session.state", session=session, to="active")
        for text in range(TEXTS):
            since = client.mark
            told = f"{number}{text}"
            turn = (await client.ask("text", session=session, text=f"my number is {told}"))["turn"]
            answer = await client.answer(session, since=since)
            assert (answer["turn"], answer["heard"]) == (turn, f"You said {told}.")


async def many_type(service: Service, handset: Handset) -> None:
    assert isinstance(service, OpenAiService)
    usual, service.server.answering = service.server.answering, echo
    await all_type(service, handset)
    before = handset.footprint()
    await all_type(service, handset)
    await until(
        lambda: (
            handset.footprint().threads <= before.threads + POOL and handset.footprint().files <= before.files
        ),
        20,
        f"threads and files return to {before}",
    )
    service.server.answering = usual


async def all_type(service: Service, handset: Handset) -> None:
    await asyncio.gather(*(types(handset, number) for number in range(1, PEOPLE + 1)))
    await until(lambda: service.links == 0, 10, "hung up")


async def test_many_conversations_at_once_do_not_meet_and_leave_nothing_behind(clouds):
    await clouds.each(many_type, "openai")
