"""A service that is about to end a connection is dialled anew: in a pause, or, where there is none, in mid-sentence."""

import asyncio

import pytest

from tests.rig.appliance import Handset
from tests.rig.cloud import assert_arrived, assert_heard_whole, cloud
from tests.rig.control_client import ControlClient, Event
from tests.rig.services import SERVICES, Service
from tests.rig.spoken import speech
from tests.rig.talking_phone import heard_to_the_end

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]

RATE = 16_000
TEXT = "please tell my sister that the train is late and i shall come by taxi"
VOICE = "flite:slt"
NO_PAUSE = 9.0
"""Too soon after the dial for a renewal in a pause: it comes 2.5 s before the end, or up to 3.5 s."""
SPEAKS_AT = 4.5
LONG_ENOUGH = 30.0


async def is_answered(service: Service, client: ControlClient, session: str, text: str, answer: str) -> None:
    """Say `text`; the service gets all of it once, and its one answer is heard."""
    since, number, began = client.mark, service.said, len(client.heard_in_time())
    service.will_hear(text)
    service.will_say(answer, 1.5)
    client.say(speech(text, RATE, voice=VOICE))
    said = await client.answer(session, since=since)
    assert said["heard"] == answer
    heard = await heard_to_the_end(lambda: client.heard_in_time()[began:], RATE)
    await assert_arrived(service, speech(text, service.rate, voice=VOICE))
    assert service.said == number + 1
    await assert_heard_whole(service, number, 1.5, heard, RATE)


async def in_mid_sentence(service: Service, handset: Handset) -> None:
    async with handset.client_of_own() as client:
        service.end_next_after(NO_PAUSE)
        session = await client.open_session(RATE)
        await client.event("session.state", session=session, to="active")
        await asyncio.sleep(SPEAKS_AT)
        await is_answered(service, client, session, TEXT, "I shall tell her.")
        renewed = renewals(client, session)
        assert len(renewed) == 1
        begun, ended = (
            client.of("speech.started", session=session),
            client.of("speech.stopped", session=session),
        )
        assert begun[0]["at"] < renewed[0]["at"] < ended[0]["at"]
        assert not client.of("warning", session=session)


async def in_a_pause(service: Service, handset: Handset) -> None:
    async with handset.client_of_own() as client:
        service.end_next_after(LONG_ENOUGH)
        session = await client.open_session(RATE)
        await client.event("session.state", session=session, to="active")
        await is_answered(service, client, session, "the password is swordfish", "I keep it to myself.")
        since = client.mark
        await client.event("provider", LONG_ENOUGH, session=session, state="renewing")
        await client.event("session.state", since=since, session=session, to="active")
        for said in ("the password is swordfish", "I keep it to myself."):
            assert service.told().count(said) == 1, service.told()
        await is_answered(service, client, session, "so what is the password", "It is swordfish.")
        assert len(renewals(client, session)) == 1
        assert not client.of("warning", session=session)
        assert not client.of("error", session=session)


def renewals(client: ControlClient, session: str) -> list[Event]:
    return client.of("provider", session=session, state="renewing")


async def renewed_twice(name: str) -> None:
    async with cloud(name) as (service, handset):
        await in_mid_sentence(service, handset)
        await in_a_pause(service, handset)


async def test_a_connection_is_renewed_before_its_end_and_nobody_notices():
    async with asyncio.TaskGroup() as appliances:
        for name in SERVICES:
            appliances.create_task(renewed_twice(name))
