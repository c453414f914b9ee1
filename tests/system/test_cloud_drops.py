"""The way to a realtime service breaks while somebody talks: it gets every word, and gives one answer."""

import asyncio

import pytest

from tests.rig.appliance import Handset
from tests.rig.cloud import assert_arrived, assert_heard_whole, cloud, latency
from tests.rig.control_client import ControlClient
from tests.rig.services import SERVICES, Service
from tests.rig.spoken import speech
from tests.rig.talking_phone import heard_to_the_end

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]

RATE = 16_000
TEXT = "please tell my sister that the train is late and i shall come by taxi"
ANSWER = "I shall tell her."
BREAKS_AFTER = 1.5
NOTICED_SECONDS = 2.0
SLACK_SECONDS = 4.0
"""For a machine that does much else."""


async def spoken_through(
    service: Service, client: ControlClient, session: str, outage: float, *, silent: bool
) -> None:
    """Say TEXT, break the link in the middle of it for `outage` seconds, and be answered as if nothing had been."""
    since, number = client.mark, service.said
    began = len(client.heard_in_time())
    service.will_hear(TEXT)
    service.will_say(ANSWER, 1.5)
    said = speech(TEXT, RATE, voice="flite:slt")
    assert len(said) / RATE > BREAKS_AFTER * 2
    client.say(said)
    await client.event("speech.started", since=since, session=session)
    await asyncio.sleep(BREAKS_AFTER)
    if silent:
        await falls_silent(service, client, outage)
    else:
        service.wire.cut(outage)
    await client.event("session.state", since=since, session=session, to="active")
    answer = await client.answer(session, since=since)
    assert answer["heard"] == ANSWER
    heard = await heard_to_the_end(lambda: client.heard_in_time()[began:], RATE)

    await assert_arrived(service, speech(TEXT, service.rate, voice="flite:slt"))
    assert service.said == number + 1, "it was answered twice"
    await assert_heard_whole(service, number, 1.5, heard, RATE)
    assert [event["text"] for event in client.of("transcript", since, role="user", final=True)] == [TEXT]
    assert not client.of("warning", since)
    await latency(client, session, since=since)


async def falls_silent(service: Service, client: ControlClient, seconds: float) -> None:
    """Nobody hangs up, and nothing comes through; it must be noticed by itself."""
    since, began = client.mark, asyncio.get_running_loop().time()
    service.wire.stall()
    await client.event("provider", NOTICED_SECONDS + SLACK_SECONDS, since=since, state="down")
    await asyncio.sleep(max(0.0, began + seconds - asyncio.get_running_loop().time()))
    service.wire.restore()


@pytest.mark.parametrize("name", SERVICES)
async def test_a_link_that_breaks_or_falls_silent_costs_no_word(name: str):
    async with cloud(name) as (service, handset), handset.client_of_own() as client:
        session = await client.open_session(RATE)
        await client.event("session.state", session=session, to="active")
        await spoken_through(service, client, session, 1.0, silent=False)
        await spoken_through(service, client, session, 3.0, silent=True)
        await history_has_each_once(handset, client, session)


async def history_has_each_once(handset: Handset, client: ControlClient, session: str) -> None:
    turns = (await client.ask("history.get", session=session))["turns"]
    said = [(turn["role"], turn["text"]) for turn in turns]
    assert said == [("user", TEXT), ("assistant", ANSWER)] * 2
    counters = (await handset.client.state())["counters"]
    assert counters["line.link_drops"] >= 2, counters
