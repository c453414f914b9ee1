"""A chain as a provider: its stages are found by name, warmed, shared, and closed."""

import asyncio
from typing import Any

import pytest

from appliance.errors import (
    ApplianceError,
    ConfigurationInvalid,
    CredentialsRejected,
    DriverMissing,
    GivenUp,
    ProviderUnavailable,
    QuotaExhausted,
    SetupRejected,
    UnknownName,
)
from appliance.interfaces import ProviderTrouble, ResponseFinished, SendText, Setup
from appliance.providers.chain import Chain
from tests.fakes.stages import FakeLanguageModel, FakeSpeechToText, FakeStage, FakeTextToSpeech
from tests.rig.virtual_time import virtual_time


def chain_of(**stages: Any) -> tuple[Chain, dict[str, Any]]:
    kinds: dict[str, Any] = {
        "stt": (FakeSpeechToText(),),
        "llm": (FakeLanguageModel(),),
        "tts": (FakeTextToSpeech(),),
    }
    kinds |= stages
    return Chain({}, {}, load=lambda kind, *_: kinds[kind]), kinds


class Unusable(FakeSpeechToText):
    async def warm(self) -> None:
        raise DriverMissing("no library", hint="install it")


class Mute(FakeTextToSpeech):
    async def warm(self) -> None:
        raise SetupRejected("no voice is set")


@virtual_time
async def test_a_stage_that_cannot_be_warmed_says_why():
    chain, _ = chain_of(stt=(Unusable(),))
    with pytest.raises(DriverMissing):
        await chain.warm()


@virtual_time
async def test_a_stage_that_is_not_installed_leaves_its_place_to_the_next_and_is_told():
    spare = FakeSpeechToText("spare")
    chain, kinds = chain_of(stt=(Unusable("absent"), spare), tts=(Mute("mute"), FakeTextToSpeech("voice")))
    await chain.warm()
    connection = await chain.connect(Setup("s1"))
    assert len(spare.connections) == 1
    await connection.send(SendText(1, "hello"))
    events = []
    async for event in connection:
        events.append(event)
        if isinstance(event, ResponseFinished):
            break
    assert [event.status for event in events if isinstance(event, ResponseFinished)] == ["completed"]
    [told] = [event for event in events if isinstance(event, ProviderTrouble)]
    assert told.code == "stage_skipped"
    assert "stt absent" in told.message
    assert "tts mute" in told.message
    assert told.hint.startswith("install it; ")
    assert kinds["tts"][1].pieces
    await connection.close()
    await chain.close()


@virtual_time
async def test_the_first_stage_of_each_kind_is_warmed_and_all_are_closed():
    chain, kinds = chain_of(stt=(FakeSpeechToText("a"), FakeSpeechToText("b")))
    await chain.warm()
    assert [stage.warmed for stage in kinds["stt"]] == [1, 0]
    await chain.close()
    stages: list[FakeStage] = [stage for each in kinds.values() for stage in each]
    assert all(stage.closed for stage in stages)


@virtual_time
async def test_the_next_connection_of_a_session_hears_with_the_same_ear():
    chain, kinds = chain_of()
    for _ in range(3):
        connection = await chain.connect(Setup("s1"))
        await connection.close()
    assert len(kinds["stt"][0].connections) == 1
    await asyncio.sleep(10)
    assert not kinds["stt"][0].connections[0].open
    await chain.close()


@virtual_time
async def test_what_the_ear_survived_is_counted_for_the_connection_that_it_heard_for():
    chain, kinds = chain_of()
    connection = await chain.connect(Setup("s1"))
    kinds["stt"][0].drop()
    await asyncio.sleep(1.0)
    assert connection.counters()["stt_drops"] == 1
    await connection.close()
    after = await chain.connect(Setup("s1"))
    assert after.counters()["stt_drops"] == 0
    await after.close()
    await chain.close()


@virtual_time
async def test_another_language_is_heard_by_another_ear():
    chain, kinds = chain_of()
    await (await chain.connect(Setup("s1"))).close()
    await (await chain.connect(Setup("s1", language="de"))).close()
    assert [connection.hearing.language for connection in kinds["stt"][0].connections] == ["en", "de"]
    await chain.close()


@virtual_time
async def test_nothing_is_left_open_when_it_is_closed_early():
    chain, kinds = chain_of()
    await (await chain.connect(Setup("s1"))).close()
    await chain.close()
    assert not kinds["stt"][0].connections[0].open


@virtual_time
async def test_a_refused_ear_refuses_the_connection_and_says_why():
    chain, kinds = chain_of()
    kinds["stt"][0].refuse_with(QuotaExhausted("empty"))
    with pytest.raises(QuotaExhausted):
        await chain.connect(Setup("s1"))
    await chain.close()


async def answered(chain: Chain, *turns: int) -> list[str]:
    """How the answers to `turns`, typed one after the other, ended. Raise what ended the connection."""
    connection = await chain.connect(Setup("s1"))
    ends: list[str] = []
    left = list(turns)
    try:
        await connection.send(SendText(left.pop(0), "hello"))
        async for event in connection:
            if isinstance(event, ResponseFinished):
                ends.append(event.status)
                if not left:
                    break
                await connection.send(SendText(left.pop(0), "hello"))
    finally:
        await connection.close()
    return ends


@virtual_time
async def test_models_that_answer_nothing_again_and_again_are_left_alone_for_a_while():
    chain, kinds = chain_of()
    [model] = kinds["llm"]
    model.fail(ProviderUnavailable("away"), times=4)
    for seconds in (10, 20):
        with pytest.raises(GivenUp):
            await answered(chain, 1)
        await asyncio.sleep(seconds - 1)
        with pytest.raises(GivenUp):
            await chain.connect(Setup("s1"))
        await asyncio.sleep(2)
    assert len(model.prompts) == 4
    assert await answered(chain, 2) == ["completed"]
    model.fail(ProviderUnavailable("away"), times=2)
    with pytest.raises(GivenUp):
        await answered(chain, 3)
    await asyncio.sleep(11)
    assert await answered(chain, 4) == ["completed"]
    await chain.close()


@virtual_time
async def test_a_refused_key_beside_a_stage_that_is_away_does_not_refuse_the_chain():
    chain, kinds = chain_of(
        stt=(FakeSpeechToText("a"), FakeSpeechToText("b")),
        llm=(FakeLanguageModel("a"), FakeLanguageModel("b")),
    )
    kinds["stt"][0].refuse_with(CredentialsRejected("no"))
    kinds["stt"][1].refuse_with(ProviderUnavailable("away"))
    with pytest.raises(ProviderUnavailable):
        await chain.connect(Setup("s1"))
    kinds["llm"][0].fail(CredentialsRejected("no"))
    kinds["llm"][1].fail(ProviderUnavailable("away"), times=2)
    with pytest.raises(GivenUp):
        await answered(chain, 1)
    await chain.close()


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"stt": "deepgrim"}, UnknownName),
        ({"llm": ["openai", "opnai"]}, UnknownName),
        ({"turns": "remote"}, ConfigurationInvalid),
        ({"tts": []}, ConfigurationInvalid),
        ({"context_characters": 3}, ConfigurationInvalid),
        ({"llm_temperature": "hot"}, ConfigurationInvalid),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], fault: type[ApplianceError]):
    with pytest.raises(fault):
        Chain(settings, {})


def test_a_key_of_the_chain_reaches_the_stages_that_have_it():
    chain = Chain(
        {"llm_base_url": "http://127.0.0.1:9/v1", "llm_model": "tiny", "tts": "espeak"},
        {"openai": {"model": "x"}},
    )
    assert not chain.capabilities.local
