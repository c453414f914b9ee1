"""Also at its most talkative, the log has no key, no word that was said, and nothing that a tool was given."""

import asyncio

import pytest

from tests.rig.cloud import cloud
from tests.rig.services import SERVICES
from tests.rig.spoken import speech

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]

RATE = 16_000
SECRETS = {
    "the dentist is called quackenbush": "Doctor Quackenbush sees you on Thursday.",
    "remind me of the pills": "The pills, in ten minutes.",
}


async def a_talkative_log(name: str) -> None:
    async with cloud(name, log={"level": "debug"}) as (service, handset), handset.client_of_own() as client:
        session = await client.open_session(RATE)
        await client.event("session.state", session=session, to="active")
        (asked, answered), (called, done) = SECRETS.items()
        service.will_hear(asked)
        service.will_say(answered, 0.6)
        client.say(speech(asked, RATE))
        await client.answer(session)

        since = client.mark
        service.will_hear(called)
        service.will_call("set_timer", {"seconds": 600, "label": "bitter pills"}, done)
        client.say(speech(called, RATE))
        await client.event("tool.result", since=since, session=session)
        await client.answer(session, since=since)

        service.wire.cut(1.0)
        await client.event("session.state", since=since, session=session, to="reconnecting")
        await client.event("session.state", since=since, session=session, to="active")
        service.refuse("credentials_rejected")
        service.wire.cut(0.5)
        await client.event("error", 60, session=session, code="credentials_rejected")
        handset.secrets |= {
            *SECRETS,
            *SECRETS.values(),
            "bitter pills",
            "quackenbush",
            str(service.section["api_key"]),
        }
        for told in (f"provider {name} is up", f"provider {name} is down", "(credentials_rejected: "):
            assert told in handset.text()


async def test_the_most_talkative_log_tells_what_happened_and_not_what_was_said():
    async with asyncio.TaskGroup() as appliances:
        for name in SERVICES:
            appliances.create_task(a_talkative_log(name))
