"""Each stage of a chain is asked for something small, and what it lacks is told beside what works."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from appliance.errors import ApplianceError, CredentialsRejected, DriverMissing, ProviderUnavailable
from appliance.probe import LOADING_SECONDS, Outcome, probe_all
from appliance.stages import AnswerUsage, Piece, Sound
from tests.fakes.stages import FakeLanguageModel, FakeSpeechToText, FakeStage, FakeTextToSpeech
from tests.rig.virtual_time import virtual_time

SECONDS = 25.0


async def outcomes(**stages: FakeStage) -> list[Outcome]:
    wanted: list[tuple[str, Any, dict[str, Any]]] = [
        (kind, lambda _, stage=stage: stage, {}) for kind, stage in stages.items()
    ]
    return await probe_all(wanted, "en", SECONDS)


class Absent(FakeTextToSpeech):
    async def warm(self) -> None:
        raise DriverMissing("no program")


class Slow(FakeTextToSpeech):
    """Its library loads for so long."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    async def warm(self) -> None:
        await asyncio.sleep(self._seconds)
        await super().warm()


class Dumb(FakeTextToSpeech):
    async def speak(self, piece: Piece) -> AsyncGenerator[Sound, None]:
        nothing: tuple[Sound, ...] = ()
        for sound in nothing:
            yield sound


class Buggy(FakeTextToSpeech):
    async def speak(self, piece: Piece) -> AsyncGenerator[Sound, None]:
        sounds: dict[str, Sound] = {}
        yield sounds[piece.text]


@virtual_time
async def test_stages_that_work_say_how_soon_and_are_closed():
    stages = {"stt": FakeSpeechToText(), "llm": FakeLanguageModel(), "tts": FakeTextToSpeech()}
    for seconds in await outcomes(**stages):
        assert isinstance(seconds, float)
        assert 0 < seconds < 1
    assert all(stage.closed and stage.warmed for stage in stages.values())


@virtual_time
async def test_what_loads_for_long_is_not_counted_as_an_answer_that_comes_late():
    for seconds in await outcomes(llm=FakeLanguageModel(), tts=Slow(SECONDS + 5.0)):
        assert isinstance(seconds, float)
        assert 0 < seconds < 1


@virtual_time
async def test_what_never_loads_is_told_and_costs_the_others_nothing():
    llm, tts = await outcomes(llm=FakeLanguageModel(), tts=Slow(2 * LOADING_SECONDS))
    assert isinstance(llm, float)
    assert isinstance(tts, ApplianceError)
    assert "does not load in 60 s" in tts.message


def refusing(kind: str, fault: ApplianceError) -> FakeStage:
    match kind:
        case "stt":
            ear = FakeSpeechToText()
            ear.refuse_with(fault)
            return ear
        case "llm":
            mind = FakeLanguageModel()
            mind.fail(fault)
            return mind
        case _:
            mouth = FakeTextToSpeech()
            mouth.fail(fault)
            return mouth


@virtual_time
async def test_what_each_stage_refuses_is_told_at_once_for_all():
    fault = CredentialsRejected("no")
    told = await outcomes(**{kind: refusing(kind, fault) for kind in ("stt", "llm", "tts")})
    assert told == [fault, fault, fault]


@pytest.mark.parametrize(
    ("stage", "told"), [(Absent(), "no program"), (Dumb(), "no sound"), (Buggy(), "KeyError")]
)
@virtual_time
async def test_a_voice_that_does_not_speak_is_told(stage: FakeTextToSpeech, told: str):
    [fault] = await outcomes(tts=stage)
    assert isinstance(fault, ApplianceError)
    assert told in fault.message
    assert stage.closed


@virtual_time
async def test_a_model_that_gives_no_word_and_an_ear_that_never_answers_are_faults():
    silent, deaf = FakeLanguageModel(), FakeSpeechToText()
    silent.will_give(AnswerUsage(3, 0))
    deaf.hang_in_final()
    empty, late = await outcomes(llm=silent, stt=deaf)
    assert isinstance(empty, ProviderUnavailable)
    assert isinstance(late, ProviderUnavailable)
    assert late.message == "no answer in 25 s"


@virtual_time
async def test_settings_that_cannot_be_are_told_as_the_stage_tells_them():
    def factory(_: Any) -> FakeStage:
        raise ProviderUnavailable("not so")

    [fault] = await probe_all([("llm", factory, {})], "en")
    assert isinstance(fault, ProviderUnavailable)
