"""`handset talk` with a realtime service: one WAV file asks, the other is answered into."""

import asyncio
import json
import wave
from pathlib import Path

import numpy as np
import pytest

from appliance.control.protocol import TOPICS
from tests.rig.appliance import Handset, toml
from tests.rig.cloud import assert_heard_whole
from tests.rig.peer import until
from tests.rig.services import SERVICES, OpenAiService
from tests.rig.sounds import Samples, write_wav
from tests.rig.spoken import speech

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]

ASKED = "where is the nearest bakery"
ANSWER = "It is around the corner."
TALK = [f"user: {ASKED}", f"assistant: {ANSWER}"]
"""The appliance may say something of its own between, where a busy machine takes long to load the library."""


def read(path: Path) -> tuple[Samples, int]:
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), dtype="<i2"), file.getframerate()


async def talk(handset: Handset, name: str, place: Path, *more: str) -> tuple[int, str, str]:
    """Ask in `a.wav`, be answered in `b.wav`."""
    question = write_wav(place / "a.wav", speech(ASKED, lead=0.5, tail=0.5), 16_000)
    handset.config.write_text(toml(handset.sections))
    words = ("--in", str(question), "--out", str(place / "b.wav"), "--provider", name, *more)
    return await handset.run("talk", *words)


async def one_file_answers_the_other(name: str, place: Path) -> None:
    async with SERVICES[name](in_daemon=True) as service:
        service.will_hear(ASKED)
        service.will_say(ANSWER, 1.5)
        sections = {**service.daemon, "conversation": {"providers": ["offline"]}}
        handset = Handset(**sections)
        code, out, err = await talk(handset, name, place, "--json")
        assert code == 0, err
        samples, rate = read(place / "b.wav")
        await assert_heard_whole(service, 0, 1.5, samples, rate)
        assert service.violations == []
        assert service.said == 1
    events = [json.loads(line) for line in out.splitlines()]
    assert {event["type"] for event in events} <= set(TOPICS)
    final = [event for event in events if event["type"] == "transcript" and event["final"]]
    said = [f"{event['role']}: {event.get('heard', event['text'])}" for event in final]
    assert [line for line in said if line in TALK] == TALK, said
    assert [event["provider"] for event in events if event["type"] == "provider"] == [name]
    marks = next(event for event in events if event["type"] == "latency")
    assert marks["end_of_speech"] <= marks["first_audio"] <= marks["first_sound"]
    assert "Traceback" not in err
    assert str(service.section["api_key"]) not in out + err


async def test_a_service_is_asked_in_one_file_and_answers_in_the_other(tmp_path):
    async with asyncio.TaskGroup() as talks:
        for name in SERVICES:
            (tmp_path / name).mkdir()
            talks.create_task(one_file_answers_the_other(name, tmp_path / name))


async def test_a_service_that_refuses_the_key_is_told_in_words_and_fails(tmp_path):
    async with SERVICES["openai"](in_daemon=True) as service:
        service.refuse("credentials_rejected")
        code, _, err = await talk(Handset(**service.daemon), "openai", tmp_path)
    assert code == 1
    assert "key" in err
    assert str(service.section["api_key"]) not in err
    assert "Traceback" not in err


async def test_a_link_that_breaks_in_the_middle_of_the_file_costs_nothing(tmp_path):
    async with OpenAiService(in_daemon=True) as service:
        service.will_hear(ASKED)
        service.will_say(ANSWER, 1.5)
        talking = asyncio.create_task(talk(Handset(**service.daemon), "openai", tmp_path))
        server = service.server
        await until(lambda: server.sessions and server.session.received, 60, "it speaks")
        service.wire.cut(1.0)
        code, out, err = await talking
        assert code == 0, err
        assert [line for line in out.splitlines() if line in TALK] == TALK, out
        samples, rate = read(tmp_path / "b.wav")
        await assert_heard_whole(service, 0, 1.5, samples, rate)
        assert service.said == 1
