"""A chain whose speech to text ends the turns, in the whole appliance: Deepgram's Flux, which also says beforehand.

The device's own detector waits 600 ms for the end of a turn; the service is sure of it after a quarter of a second. An
eager one, which says so before it is sure, has an appliance of its own.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio

from tests.fakes.streamed_answers import Plan
from tests.rig.appliance import Handset
from tests.rig.chain_service import ChainService
from tests.rig.cloud import latency
from tests.rig.clouds import Clouds
from tests.rig.control_client import ControlClient
from tests.rig.peer import until
from tests.rig.sip_peers import programs_missing
from tests.rig.spoken import silence, speech
from tests.rig.talking_phone import TalkingPhone, breathe, heard_to_the_end

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.timeout(200),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(bool(programs_missing()), reason=f"not installed: {programs_missing()}"),
]

RATE = 16_000
HANGOVER_MS = 600
SURE, EAGER = "sure", "eager"


@contextlib.asynccontextmanager
async def flux(kind: str) -> AsyncIterator[tuple[ChainService, Handset]]:
    async with ChainService(in_daemon=True) as service:
        service.mouth.speed = 4.0
        own = service.daemon
        own["providers.chain"] = {"stt": "deepgram_flux", "turns": "server"}
        if kind == EAGER:
            own["providers.deepgram"] |= {"eager_eot_threshold": 0.4}
        async with Handset(**{**own, "sip": {}, "log": {"level": "debug"}}) as handset:
            yield service, handset
        assert service.violations == []


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chains():
    async with Clouds(flux) as chains:
        yield chains


async def opened(client: ControlClient) -> str:
    session = await client.open_session(RATE)
    await client.event("session.state", session=session, to="active", provider="chain")
    return session


def users(service: ChainService) -> list[str]:
    """What the model was shown last of the person's words."""
    return [one["content"] for one in service.mind.last.body["messages"] if one["role"] == "user"]


async def on_the_telephone(service: ChainService, handset: Handset) -> None:
    client, begun = handset.client, handset.client.mark
    async with TalkingPhone("alice") as alice:
        await alice.call(handset.uri)
        active = await client.event("session.state", since=begun, to="active", provider="chain")
        session = active["session"]
        await breathe(0.5)
        for question, reply in (
            ("where is the bakery", "It is around the corner."),
            ("thank you", "Welcome."),
        ):
            since, ear, requests = client.mark, alice.ear(), len(service.mind.asked)
            service.will_hear(question)
            service.mind.will_say(reply)
            await alice.say(question)
            assert (await client.answer(session, since=since))["heard"] == reply
            assert (await latency(client, session, since=since))["end_of_speech"] < HANGOVER_MS - 50
            await heard_to_the_end(ear)
            assert len(service.mind.asked) == requests + 1, (
                "the model was asked once, also where it was asked early"
            )
            said = client.of("transcript", since, session=session, role="user", final=True)
            assert [event["text"].lower().rstrip(".") for event in said] == [question]
        assert [text.lower().rstrip(".") for text in users(service)] == ["where is the bakery", "thank you"]
        assert "ForceEndTurn" not in service.ear.sessions[-1].texts
        await alice.hang_up()


async def test_on_the_telephone_a_turn_is_answered_when_the_service_says_that_it_is_over(chains):
    await chains.each(on_the_telephone, SURE, EAGER)


async def after_a_pause(service: ChainService, handset: Handset) -> None:
    usual = service.mind.think, service.mind.answering
    async with handset.client_of_own() as client:
        session, asked = await opened(client), len(service.mind.asked)
        service.mind.think = 0.5
        service.will_hear("please tell my sister")
        service.will_hear("that the train is late")
        service.mind.answering = lambda _: Plan(["Good."])
        since = client.mark
        pause = silence(0.42, RATE)
        client.say(
            np.concatenate(
                (speech("please tell my sister", RATE), pause, speech("that the train is late", RATE))
            )
        )
        await until(lambda: len(service.mind.asked) >= asked + 2, 20, "the model is asked again")
        await client.answer(session, since=since)
        await asyncio.sleep(1.0)
        everything = " ".join(users(service)).lower()
        assert "please tell my sister" in everything
        assert "that the train is late" in everything
    service.mind.think, service.mind.answering = usual


async def test_who_goes_on_after_a_pause_that_the_service_took_for_the_end_is_answered_to_all(chains):
    await chains.each(after_a_pause, EAGER)


async def a_suspicious_pause(service: ChainService, handset: Handset) -> None:
    usual = service.ear.eager_after, service.ear.end_after
    async with handset.client_of_own() as client:
        session, asked = await opened(client), len(service.mind.asked)
        service.ear.eager_after, service.ear.end_after = 0.2, 0.5
        service.will_hear("please tell my sister that the train is late")
        since = client.mark
        pause = silence(0.3, RATE)
        client.say(
            np.concatenate(
                (speech("please tell my sister", RATE), pause, speech("that the train is late", RATE))
            )
        )
        await client.answer(session, since=since)
        await asyncio.sleep(1.0)
        said = client.of("transcript", since, session=session, role="user", final=True)
        assert [event["text"].lower() for event in said] == ["please tell my sister that the train is late"]
        assert len(client.of("transcript", since, session=session, role="assistant", final=True)) == 1
        assert len(service.mind.asked) == asked + 2, (
            "one answer was begun early, and dropped when the person went on"
        )
    service.ear.eager_after, service.ear.end_after = usual


async def test_a_pause_that_is_only_suspicious_costs_no_second_answer(chains):
    await chains.each(a_suspicious_pause, EAGER)


async def no_end_is_found(service: ChainService, handset: Handset) -> None:
    usual = service.ear.end_after
    async with handset.client_of_own() as client:
        session, asked = await opened(client), len(service.mind.asked)
        service.ear.end_after = 60.0
        service.will_hear("where is the bakery")
        service.mind.will_say("Around the corner.")
        since = client.mark
        client.say(speech("where is the bakery", RATE))
        assert (await client.answer(session, since=since))["heard"] == "Around the corner."
        assert "ForceEndTurn" in service.ear.sessions[-1].texts
        assert len(service.mind.asked) == asked + 1
    service.ear.end_after = usual


async def test_a_service_that_finds_no_end_is_helped_by_the_device(chains):
    await chains.each(no_end_is_found, SURE)
