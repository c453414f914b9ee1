"""A realtime service, or all services of a chain, go away: the device answers by itself, and goes back unnoticed."""

import asyncio

import pytest

from tests.rig.appliance import Handset
from tests.rig.cloud import CLOUDS, assert_heard_whole, cloud
from tests.rig.control_client import ControlClient, Event
from tests.rig.services import Service
from tests.rig.spoken import speech
from tests.rig.talking_phone import heard_to_the_end

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]

RATE = 16_000
AWAY_SECONDS = 8.0
"""It is back when it is first looked for, ten seconds after."""


async def rungs(handset: Handset, name: str) -> tuple[Event, Event]:
    """What `status` says of the service, and of the device's own provider."""
    state = await handset.client.state()
    return state["providers"][name], state["providers"]["offline"]


async def goes_and_returns(name: str) -> None:
    async with cloud(name, ladder=("offline",)) as (service, handset), handset.client_of_own() as client:
        session = await client.open_session(RATE)
        await client.event("session.state", session=session, to="active", provider=name)
        service.wire.cut(AWAY_SECONDS)
        await the_device_answers(client, session)
        service_now, own_now = await rungs(handset, name)
        assert (service_now["state"], service_now["healthy"]) == ("down", False)
        assert service_now["code"] == "provider_unavailable"
        assert (own_now["state"], own_now["sessions"]) == ("up", [session])

        climbed = await client.event("session.state", 60, session=session, reason="climb")
        await client.event("session.state", since=client.events.index(climbed), to="active", provider=name)
        service_now, own_now = await rungs(handset, name)
        assert (service_now["state"], service_now["healthy"]) == ("up", True)
        assert (service_now["sessions"], own_now["sessions"]) == ([session], [])
        await the_service_answers(service, client, session)
        assert "twelve times seven" in service.told()


async def the_device_answers(client: ControlClient, session: str) -> None:
    since = client.mark
    client.say(speech("what is twelve times seven", RATE))
    told = await client.event("warning", 30, since=since, session=session, code="stepped_down")
    failed = await client.event("error", since=since, session=session, code="provider_unavailable")
    assert told["message"]
    assert failed["hint"]
    active = await client.event("session.state", since=since, session=session, to="active")
    assert active["provider"] == "offline"
    user = await client.event("transcript", since=since, role="user", final=True)
    assert "twelve times seven" in user["text"].lower()
    said = [await client.answer(session, since=since)]
    said.append(await client.answer(session, since=client.events.index(said[0]) + 1))
    assert "84" in " ".join(one["heard"] for one in said), said
    assert told["message"] in [one["heard"] for one in said], "the step down was not said"


async def the_service_answers(service: Service, client: ControlClient, session: str) -> None:
    since, number = client.mark, service.said
    began = len(client.heard_in_time())
    service.will_hear("and what was that again")
    service.will_say("It was eighty four.", 1.0)
    client.say(speech("and what was that again", RATE))
    heard = await heard_to_the_end(lambda: client.heard_in_time()[began:], RATE)
    await assert_heard_whole(service, number, 1.0, heard, RATE)
    # A chain's answer is as long as its text: its fake goes on for the second that it is to last.
    assert (await client.answer(session, since=since))["heard"].startswith("It was eighty four")
    assert not client.of("warning", since)


async def test_the_device_answers_while_the_service_is_away_and_then_the_service_again():
    async with asyncio.TaskGroup() as services:
        for name in CLOUDS:
            services.create_task(goes_and_returns(name))
