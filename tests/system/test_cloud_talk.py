"""A phone and a program talk with a realtime model through the whole appliance; its tool is called, and told."""

import pytest

from tests.rig.appliance import Handset
from tests.rig.cloud import assert_heard_whole, cloud, latency
from tests.rig.control_client import ControlClient
from tests.rig.peer import until
from tests.rig.services import SERVICES, Service
from tests.rig.sip_peers import programs_missing
from tests.rig.spoken import speech
from tests.rig.talking_phone import RATE, TalkingPhone, breathe, heard_to_the_end

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(programs_missing()), reason=f"not installed: {programs_missing()}"),
]

CLIENT_RATE = 24_000


async def a_phone_asks(service: Service, handset: Handset) -> None:
    client, since = handset.client, handset.client.mark
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
        await assert_heard_whole(service, 0, 2.0, heard, RATE)
        await latency(client, session, since=since)
        await alice.hang_up()
    await client.event("session.state", since=since, session=session, to="closed")


async def a_program_asks(service: Service, handset: Handset) -> None:
    async with handset.client_of_own() as client:
        session = await client.open_session(CLIENT_RATE)
        await client.event("session.state", session=session, to="active")
        service.will_hear("and when does it open")
        service.will_say("It opens at seven in the morning.", 1.5)
        client.say(speech("and when does it open", CLIENT_RATE, lead=0.3))
        heard = await heard_to_the_end(client.heard_in_time, CLIENT_RATE)
        await assert_told(client, session, "and when does it open", "It opens at seven in the morning.")
        await assert_heard_whole(service, 1, 1.5, heard, CLIENT_RATE)
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
    since = client.mark
    service.will_hear("set a timer for the potatoes")
    arguments = {"seconds": 600, "label": "potatoes in the oven"}
    service.will_call("set_timer", arguments, "The timer for the potatoes runs.")
    client.say(speech("set a timer for the potatoes", CLIENT_RATE))
    call = await client.event("tool.call", since=since, session=session)
    assert call["arguments"]["label"] == "potatoes in the oven"
    result = await client.event("tool.result", since=since, session=session, call_id=call["call_id"])
    assert result.get("error") is None, result
    await until(service.results, 20, "the service is told")
    assert [told for told in service.results() if "potatoes in the oven" in told] == service.results()[-1:]
    answer = await client.answer(session, since=since)
    assert answer["heard"] == "The timer for the potatoes runs."


async def assert_told(client: ControlClient, session: str, asked: str, answered: str) -> None:
    user = await client.event("transcript", session=session, role="user", final=True)
    assert user["text"] == asked
    answer = await client.answer(session)
    assert answer["text"] == answer["heard"] == answered


@pytest.mark.parametrize("name", SERVICES)
async def test_a_phone_and_a_program_are_answered_and_a_tool_is_called(name: str):
    async with cloud(name, sip={}) as (service, handset):
        await a_phone_asks(service, handset)
        await a_program_asks(service, handset)
        status = await handset.client.state()
        assert status["providers"][name]["state"] == "up"
