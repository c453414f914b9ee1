"""A service that sends garbage is put up with: each kind is told and counted, and the talk goes on."""

import asyncio
import json

import pytest

from tests.rig.appliance import Handset
from tests.rig.cloud import assert_heard_whole, cloud
from tests.rig.control_client import ControlClient
from tests.rig.services import SERVICES, Service
from tests.rig.spoken import speech
from tests.rig.talking_phone import heard_to_the_end

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]

RATE = 16_000
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


async def garbage_comes(name: str) -> None:
    async with cloud(name) as (service, handset), handset.client_of_own() as client:
        session = await client.open_session(RATE)
        await client.event("session.state", session=session, to="active")
        await in_the_middle_of_an_answer(service, client, session)
        await with_a_tool_call(service, client, session)
        await is_counted(handset, client, session)


async def in_the_middle_of_an_answer(service: Service, client: ControlClient, session: str) -> None:
    service.will_hear("tell me a story")
    service.will_say("Once upon a time there was a telephone.", 3.0)
    client.say(speech("tell me a story", RATE))
    await client.event("turn", session=session, state="speaking")
    await service.send_raw(*ANYBODYS, *OWN[service.name])
    heard = await heard_to_the_end(client.heard_in_time, RATE)
    await assert_heard_whole(service, 0, 3.0, heard, RATE)
    answer = await client.answer(session)
    assert answer["heard"] == "Once upon a time there was a telephone."


async def with_a_tool_call(service: Service, client: ControlClient, session: str) -> None:
    since = client.mark
    service.will_hear("set a timer")
    service.will_call("set_timer", '{"seconds": ', "That went wrong.")
    client.say(speech("set a timer", RATE))
    result = await client.event("tool.result", since=since, session=session)
    assert result["error"]
    answer = await client.answer(session, since=since)
    assert answer["heard"] == "That went wrong."
    assert len(service.results()) == 1


async def is_counted(handset: Handset, client: ControlClient, session: str) -> None:
    assert client.of("warning", session=session)
    counters = (await handset.client.state())["counters"]
    troubles = sum(n for name, n in counters.items() if name.startswith("line.provider_trouble"))
    assert troubles + counters["line.unknown_provider_events"] > 3, counters
    assert counters["line.link_drops"] == 0
    assert (await handset.page("/ready"))[0] == 200


async def test_garbage_is_told_and_counted_and_the_talk_goes_on():
    async with asyncio.TaskGroup() as appliances:
        for name in SERVICES:
            appliances.create_task(garbage_comes(name))
