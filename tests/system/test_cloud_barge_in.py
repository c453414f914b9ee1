"""Who talks over a realtime model's answer silences it, and service, history and transcript know what was heard."""

import pytest

from tests.rig.appliance import Handset
from tests.rig.cloud import assert_heard_whole, cloud, heard_ms, latency
from tests.rig.control_client import Event
from tests.rig.services import SERVICES, OpenAiService, Service
from tests.rig.sip_peers import programs_missing
from tests.rig.sounds import Samples
from tests.rig.spoken import sounding
from tests.rig.talking_phone import RATE, TalkingPhone, breathe, heard_to_the_end, sounds

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(programs_missing()), reason=f"not installed: {programs_missing()}"),
]

SECONDS = 8.0
COUNTING = " ".join(str(number) for number in range(100, 140))
"""A number every fifth of a second."""
SILENT_AFTER = 1.5
"""The target is a quarter of a second."""
GRAIN_MS = 220
"""What recognition by pieces of 100 ms, and the phone's jitter buffer, may differ from what was counted."""


async def talked_over(service: Service, handset: Handset, phone: TalkingPhone, after: float) -> None:
    """Ask, and talk over the answer when `after` seconds of it were heard."""
    client, since = handset.client, handset.client.mark
    service.will_hear("please count from one hundred")
    service.will_say(COUNTING, SECONDS)
    number, ear = service.said, phone.ear()
    await phone.say("please count from one hundred")
    await sounds(ear, for_seconds=after)

    service.will_hear("thank you that will do")
    service.will_say("Fine.", 1.0)
    onset = len(ear()) / RATE
    lasts = await phone.say("thank you that will do for now and please tell me more")
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
        told = service.server.answers[number].truncated_ms
        assert told == pytest.approx(interrupted["heard_ms"], abs=20)


def assert_words(transcript: Event, heard_ms: float) -> None:
    """What the transcript says was heard are the words of that time."""
    assert COUNTING.startswith(transcript["heard"].rstrip(" .…"))
    words = len(transcript["heard"].split())
    assert words == pytest.approx(heard_ms / (SECONDS * 1000) * len(COUNTING.split()), abs=2)


@pytest.mark.parametrize(
    ("name", "moments"), [("openai", (1.0, 4.0)), ("gemini", (4.0,)), ("gpt_live", (1.0,))], ids=[*SERVICES]
)
async def test_an_answer_that_is_talked_over_ends_where_it_was_heard(name: str, moments: tuple[float, ...]):
    async with cloud(name, sip={}) as (service, handset), TalkingPhone("alice") as alice:
        client = handset.client
        await alice.call(handset.uri)
        session = (await client.event("session.state", to="active"))["session"]
        await breathe(0.5)
        # After 4 s the service has sent all of its answer long ago.
        for after in moments:
            since = client.mark
            await talked_over(service, handset, alice, after)
            asked = await latency(client, session, since=since)
            after_it = await latency(client, session, since=client.events.index(asked) + 1)
            assert asked["turn"] < after_it["turn"]
