"""The room's conversation with a realtime service goes on after its daemon was killed, or ended, in mid-course."""

import signal

import pytest

from tests.rig.appliance import Handset
from tests.rig.cloud import cloud
from tests.rig.control_client import Event
from tests.rig.room_person import RATE, RoomPerson
from tests.rig.services import GeminiService, Service
from tests.rig.sound_server import SoundServer
from tests.rig.talking_phone import breathe, heard_to_the_end

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]

KEPT_WITHIN = 1.5
"""Where a conversation stands is written once a second."""
TALK = [
    ("my sister is called matilda", "A lovely name, Matilda."),
    ("and she lives in lisbon", "A lovely town, Lisbon."),
    ("so what is she called", "Matilda, as you said."),
]


async def is_answered(service: Service, handset: Handset, person: RoomPerson, asks: str, answer: str) -> str:
    """One turn in the room; the id of its session."""
    since = handset.client.mark
    service.will_hear(asks)
    service.will_say(answer, 1.0)
    with person.listening() as ear:
        person.say(asks)
        await heard_to_the_end(ear, RATE)
    client = handset.client
    # Where the library takes a busy machine long to load after a restart, the appliance says so before.
    said = await client.event("transcript", 60, since=since, role="assistant", final=True, heard=answer)
    await client.event("transcript", since=since, line="room", role="user", final=True, text=asks)
    return str(said["session"])


async def goes_away(handset: Handset, how: signal.Signals) -> None:
    if how is signal.SIGKILL:
        await breathe(KEPT_WITHIN)
        await handset.stop(signal.SIGKILL)
    else:
        await handset.end()


def taken_up(handset: Handset, session: str) -> Event:
    return handset.client.of("session.state", session=session, to="connecting")[0]


@pytest.mark.parametrize(
    ("name", "ends"),
    [
        ("openai", [signal.SIGTERM]),
        ("gemini", [signal.SIGTERM, signal.SIGKILL]),
        ("gpt_live", [signal.SIGKILL]),
    ],
    ids=["openai", "gemini", "gpt_live"],
)
async def test_after_a_restart_the_room_goes_on_where_it_was(name: str, ends: list[signal.Signals]):
    with SoundServer() as sound, RoomPerson(sound) as person:
        async with cloud(name, sound=sound) as (service, handset):
            session = await is_answered(service, handset, person, *TALK[0])
            for number, how in enumerate(ends, 1):
                await goes_away(handset, how)
                await handset.start()
                before, session = session, await is_answered(service, handset, person, *TALK[number])
                assert taken_up(handset, session)["reason"] == "resumed"
                kept = (await handset.client.ask("history.get", session=before))["turns"]
                assert [(turn["role"], turn["text"]) for turn in kept] == [
                    ("user", TALK[number - 1][0]),
                    ("assistant", TALK[number - 1][1]),
                ]
                assert_known(service, number)


def assert_known(service: Service, turns: int) -> None:
    """The service knows what was said before, each once: Gemini by the handle that it gave, without being told."""
    if isinstance(service, GeminiService):
        session = service.server.session
        assert session.resumed_from
        assert not [message for message in session.received if "clientContent" in message]
    for asked, answered in TALK[:turns]:
        assert service.told().count(asked) == 1, service.told()
        assert service.told().count(answered) == 1, service.told()
