"""Links to realtime services that break, fall silent, end and bring garbage: no word is lost, nothing is said twice.

The log of all that, at its most talkative, has no key, no word that was said, and nothing that a tool was given.
"""

import asyncio
import json

import pytest
import pytest_asyncio

from tests.rig.appliance import Handset
from tests.rig.cloud import assert_arrived, assert_heard_whole, cloud, latency
from tests.rig.clouds import Clouds
from tests.rig.control_client import ControlClient, Event
from tests.rig.peer import until
from tests.rig.services import Service
from tests.rig.spoken import speech
from tests.rig.talking_phone import heard_to_the_end, sounds

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.asyncio(loop_scope="module"),
]

RATE = 16_000
TEXT = "please tell my sister that the train is late and i shall come by taxi"
VOICE = "flite:slt"
ANSWER = "I shall tell her."
BREAKS_AFTER = 1.5
NOTICED_SECONDS = 2.0
SLACK_SECONDS = 4.0
"""For a machine that does much else."""
NO_PAUSE = 9.0
"""Too soon after the dial for a renewal in a pause: it comes 2.5 s before the end, or up to 3.5 s."""
SPEAKS_AT = 4.5
LONG_ENOUGH = 30.0
SECRETS = {
    "the dentist is called quackenbush": "Doctor Quackenbush sees you on Thursday.",
    "remind me of the pills": "The pills, in ten minutes.",
}
HUGE = json.dumps({"type": "x", "pad": "y" * 2_200_000})
ANYBODYS = ["{", "[]", "null", "7", "[" * 100_000, '{"type": 7}', '{"type": "response.sings"}', HUGE]


def _sound(kind: str, data: str) -> str:
    """As Gemini sends it."""
    part = {"inlineData": {"mimeType": kind, "data": data}}
    return json.dumps({"serverContent": {"modelTurn": {"parts": [part]}}})


OWN = {
    "openai": [
        '{"type": "response.output_audio.delta", "response_id": "r", "item_id": "i", "delta": "!!!"}',
        '{"type": "input_audio_buffer.speech_started", "audio_start_ms": -5e300, "item_id": "i"}',
        '{"type": "session.updated", "session": {"expires_at": NaN}}',
        '{"type": "error", "error": {"event_id": [], "code": {}, "type": "odd"}}',
    ],
    "gemini": [
        _sound("audio/pcm;rate=-1", "AAAA"),
        _sound("audio/pcm", "!!!"),
        '{"serverContent": 7, "toolCall": []}',
        '{"toolCall": {"functionCalls": [{"id": "", "name": 7, "args": "none"}]}}',
        '{"usageMetadata": {"promptTokenCount": -1e300}}',
    ],
    "gpt_live": [
        '{"type": "session.output_audio.delta", "delta": "!!!"}',
        '{"type": "session.usage.updated", "usage": {"seconds": -1e300}}',
        '{"type": "response.event", "event": {"type": "response.output_item.done", "item": 7}}',
        '{"type": "error", "error": 7}',
    ],
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def clouds():
    async with Clouds(lambda name: cloud(name, log={"level": "debug"})) as clouds:
        yield clouds


# --- in the middle of what somebody says ---


async def spoken_through(
    service: Service, client: ControlClient, session: str, outage: float, *, silent: bool
) -> None:
    """Say TEXT, break the link in the middle of it for `outage` seconds, and be answered as if nothing had been."""
    since, number = client.mark, service.said
    began = len(client.heard_in_time())
    service.will_hear(TEXT)
    service.will_say(ANSWER, 1.5)
    said = speech(TEXT, RATE, voice=VOICE)
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

    await assert_arrived(service, speech(TEXT, service.rate, voice=VOICE))
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


async def breaks_and_falls_silent(service: Service, handset: Handset) -> None:
    before = await drops(handset)
    async with handset.client_of_own() as client:
        session = await client.open_session(RATE)
        await client.event("session.state", session=session, to="active")
        await spoken_through(service, client, session, 1.0, silent=False)
        await spoken_through(service, client, session, 3.0, silent=True)
        turns = (await client.ask("history.get", session=session))["turns"]
        said = [(turn["role"], turn["text"]) for turn in turns]
        assert said == [("user", TEXT), ("assistant", ANSWER)] * 2
        assert await drops(handset) >= before + 2


async def drops(handset: Handset) -> int:
    return int((await handset.client.state())["counters"].get("line.link_drops", 0))


async def test_a_link_that_breaks_or_falls_silent_costs_no_word(clouds):
    await clouds.each(breaks_and_falls_silent)


# --- in the middle of an answer ---


async def breaks_off(service: Service, handset: Handset) -> None:
    """What came is heard, and said to have been cut off; the next answer is whole."""
    number = service.said
    async with handset.client_of_own() as client:
        session = await client.open_session(RATE)
        await client.event("session.state", session=session, to="active")
        service.will_hear("tell me everything")
        service.will_say(" ".join(["and"] * 200), 40.0)
        client.say(speech("tell me everything", RATE))
        await sounds(client.heard_in_time, RATE, for_seconds=0.5)
        service.wire.cut(0.5)
        told = (await client.event("warning", 60, session=session, code="cut_off"))["message"]
        await client.event("transcript", 30, session=session, role="assistant", final=True, heard=told)
        assert service.said == number + 1
        half = client.of("transcript", session=session, role="assistant", final=True)[0]
        assert 0 < len(half["heard"]) < 200 * 4

        since, began = client.mark, len(client.heard_in_time())
        service.will_hear("go on")
        service.will_say("There is no more.", 1.0)
        client.say(speech("go on please", RATE))
        heard = await heard_to_the_end(lambda: client.heard_in_time()[began:], RATE)
        await assert_heard_whole(service, number + 1, 1.0, heard, RATE)
        assert (await client.answer(session, since=since))["heard"] == "There is no more."


async def test_an_answer_that_breaks_off_is_heard_as_far_as_it_came(clouds):
    await clouds.each(breaks_off)


# --- before its end ---


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
        before = ("the password is swordfish", "I keep it to myself.")
        await until(lambda: all(said in service.told() for said in before), 10, "it is told what was said")
        assert [service.told().count(said) for said in before] == [1, 1], service.told()
        await is_answered(service, client, session, "so what is the password", "It is swordfish.")
        assert len(renewals(client, session)) == 1
        assert not client.of("warning", session=session)
        assert not client.of("error", session=session)


def renewals(client: ControlClient, session: str) -> list[Event]:
    return client.of("provider", session=session, state="renewing")


async def is_renewed_twice(service: Service, handset: Handset) -> None:
    await in_mid_sentence(service, handset)
    await until(lambda: service.links == 0, 20, "the first session ends")
    await in_a_pause(service, handset)


async def test_a_connection_is_renewed_before_its_end_and_nobody_notices(clouds):
    await clouds.each(is_renewed_twice)


# --- garbage ---


async def in_the_middle_of_an_answer(service: Service, client: ControlClient, session: str) -> None:
    number = service.said
    service.will_hear("tell me a story")
    service.will_say("Once upon a time there was a telephone.", 3.0)
    client.say(speech("tell me a story", RATE))
    await client.event("turn", session=session, state="speaking")
    await service.send_raw(*ANYBODYS, *OWN[service.name])
    heard = await heard_to_the_end(client.heard_in_time, RATE)
    await assert_heard_whole(service, number, 3.0, heard, RATE)
    answer = await client.answer(session)
    assert answer["heard"] == "Once upon a time there was a telephone."


async def with_a_tool_call(service: Service, client: ControlClient, session: str) -> None:
    since, told_before = client.mark, len(service.results())
    service.will_hear("set a timer")
    service.will_call("set_timer", '{"seconds": ', "That went wrong.")
    client.say(speech("set a timer", RATE))
    result = await client.event("tool.result", since=since, session=session)
    assert result["error"]
    answer = await client.answer(session, since=since)
    assert answer["heard"] == "That went wrong."
    assert len(service.results()) == told_before + 1


async def garbage_comes(service: Service, handset: Handset) -> None:
    dropped, before = await drops(handset), await garbage_in(handset)
    async with handset.client_of_own() as client:
        session = await client.open_session(RATE)
        await client.event("session.state", session=session, to="active")
        await in_the_middle_of_an_answer(service, client, session)
        await with_a_tool_call(service, client, session)
        assert client.of("warning", session=session)
    assert await garbage_in(handset) > before + 3
    assert await drops(handset) == dropped
    assert (await handset.page("/ready"))[0] == 200


async def garbage_in(handset: Handset) -> int:
    counters = (await handset.client.state())["counters"]
    troubles = sum(n for name, n in counters.items() if name.startswith("line.provider_trouble"))
    return int(troubles + counters.get("line.unknown_provider_events", 0))


async def test_garbage_is_told_and_counted_and_the_talk_goes_on(clouds):
    await clouds.each(garbage_comes)


# --- what the log tells ---


async def much_is_logged(service: Service, handset: Handset) -> None:
    async with handset.client_of_own() as client:
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
        for told in (
            f"provider {service.name} is up",
            f"provider {service.name} is down",
            "(credentials_rejected: ",
        ):
            assert told in handset.text()
    service.accept()
    await handset.client.ask("config.reload")


async def test_the_most_talkative_log_tells_what_happened_and_not_what_was_said(clouds):
    """That it does not is seen when its appliance ends, for all tests of this file."""
    await clouds.each(much_is_logged)
