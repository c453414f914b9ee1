"""`handset talk`: a conversation between two WAV files, as a person types it."""

import asyncio
import json
import time
import wave
from pathlib import Path

import numpy as np
import pytest

from appliance.control.protocol import TOPICS
from tests.rig.answers import assert_tells_the_time
from tests.rig.appliance import Handset
from tests.rig.sounds import Samples, write_wav
from tests.rig.spoken import sounding, speech

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(120)]


QUESTION = "what time is it"
LONGEST_AFTERWARDS = 12 + 5
"""The contract's 12 s, and the start of the program on a busy machine."""


@pytest.fixture
def handset():
    """Not started: only its place, its configuration and its environment are used."""
    handset = Handset()
    handset.config.write_text("")
    return handset


async def talk(handset: Handset, question: Path, answer: Path, *more: str) -> tuple[int, str, str]:
    return await handset.run("talk", "--in", str(question), "--out", str(answer), *more)


def read(path: Path) -> tuple[Samples, int]:
    with wave.open(str(path)) as file:
        assert file.getnchannels() == 1
        return np.frombuffer(file.readframes(file.getnframes()), dtype="<i2"), file.getframerate()


async def test_the_time_is_asked_in_one_file_and_told_in_the_other(handset, tmp_path):
    question = write_wav(tmp_path / "a.wav", speech("what time is it", lead=0.5, tail=0.5), 16_000)
    began = time.monotonic()
    code, out, err = await talk(handset, question, tmp_path / "b.wav")
    took = time.monotonic() - began
    assert code == 0, err
    assert "what time is it" in out.lower()
    samples, rate = read(tmp_path / "b.wav")
    assert_tells_the_time(samples, rate, time.time())
    asked = len(read(question)[0]) / 16_000
    assert took < asked + LONGEST_AFTERWARDS
    assert "Traceback" not in err


async def test_another_rate_will_do_and_json_lines_are_events(handset, tmp_path):
    rate = 22_050
    question = write_wav(tmp_path / "a.wav", speech(QUESTION, rate, lead=0.5), rate)
    code, out, err = await talk(handset, question, tmp_path / "b.wav", "--json")
    assert code == 0, err
    events = [json.loads(line) for line in out.splitlines()]
    assert {event["type"] for event in events} <= set(TOPICS)
    assert all(event["at"] > 1e9 for event in events)
    final = [event for event in events if event["type"] == "transcript" and event["final"]]
    assert QUESTION in next(event["text"] for event in final if event["role"] == "user").lower()
    answer = next(event for event in final if event["role"] == "assistant")
    assert answer["text"]
    assert answer["heard"] == answer["text"]


async def test_silence_ends_without_an_answer_and_without_a_fault(handset, tmp_path):
    question = write_wav(tmp_path / "a.wav", np.zeros(16_000, np.int16), 16_000)
    began = time.monotonic()
    code, out, err = await talk(handset, question, tmp_path / "b.wav")
    assert (code, out) == (0, ""), err
    assert time.monotonic() - began < 15
    samples, rate = read(tmp_path / "b.wav")
    assert not sounding(samples, rate)


async def test_files_that_will_not_do_are_named_with_what_is_wrong(handset, tmp_path):
    no_wav = tmp_path / "letter.wav"
    no_wav.write_text("Dear Sir or Madam,\n" * 20)
    good = write_wav(tmp_path / "good.wav", speech("help"), 16_000)
    cases = [
        (tmp_path, tmp_path / "b.wav", (), tmp_path.name),
        (no_wav, tmp_path / "b.wav", (), "letter.wav"),
        (good, good, (), "good.wav"),
        (good, tmp_path / "b.wav", ("--provider", "oracle"), "oracle"),
    ]
    outcomes = await asyncio.gather(
        *(talk(handset, question, answer, *more) for question, answer, more, _ in cases)
    )
    for (code, out, err), (*_, name) in zip(outcomes, cases, strict=True):
        assert code == 2, (name, code, out, err)
        assert name in err
        assert "Traceback" not in err
        assert out == ""
