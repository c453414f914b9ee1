"""ElevenLabs' Scribe as a stage of the chain: what all stages owe, and what is its own."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from appliance.errors import (
    CredentialsRejected,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    SetupRejected,
)
from appliance.providers.stt import elevenlabs
from appliance.providers.stt.elevenlabs import ElevenLabsTranscription
from appliance.providers.stt.live import LiveTranscription
from appliance.stages import Hearing, Transcript
from tests.contract.stt.listener import Listener
from tests.contract.stt.service_contract import SttServiceContract
from tests.fakes.elevenlabs_scribe import STEPS, FakeScribe
from tests.rig.coded_speech import coded


@pytest.fixture
async def cloud() -> AsyncIterator[FakeScribe]:
    async with FakeScribe() as cloud:
        yield cloud


def section(cloud: Any, **more: Any) -> Mapping[str, Any]:
    return {"base_url": cloud.base_url, "api_key": cloud.key, **more}


async def listening(cloud: FakeScribe, hearing: Hearing | None = None, **more: Any) -> Listener:
    stage = ElevenLabsTranscription(section(cloud, **more))
    return Listener(await stage.connect(hearing or Hearing()), stage.rate)


async def ask(listener: Listener, turn: int, text: str) -> str:
    await listener.says(turn, coded(text))
    await listener.transcription.commit(turn)
    return await listener.final(turn)


class TestElevenLabs(SttServiceContract):
    name = "elevenlabs"
    steps = STEPS

    @pytest.fixture
    async def cloud(self) -> AsyncIterator[FakeScribe]:
        async with FakeScribe() as cloud:
            yield cloud

    def section(self, cloud: Any) -> Mapping[str, Any]:
        return section(cloud)


async def test_the_service_is_told_language_and_names_that_it_can_take(cloud: FakeScribe) -> None:
    names = ("Gugel hupf & Co", " ", "x" * 21, *(f"name {number}" for number in range(60)))
    listener = await listening(cloud, Hearing(language="de-AT", keywords=names))
    asked = cloud.sessions[0].asked
    assert ("language_code", "de") in asked
    terms = [value for name, value in asked if name == "keyterms"]
    assert terms == ["Gugel hupf & Co", *(f"name {number}" for number in range(49))]
    await listener.close()
    assert cloud.violations == []


async def test_a_turn_too_short_to_be_committed_is_filled_up(cloud: FakeScribe) -> None:
    listener = await listening(cloud)
    await listener.says(1, coded("one", lead=0.0, tail=0.0))
    await listener.transcription.commit(1)
    assert await listener.final(1) == "one"
    await listener.close()
    assert cloud.violations == []


async def test_an_idle_connection_is_kept_alive(cloud: FakeScribe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elevenlabs, "KEEP_ALIVE_SECONDS", 0.1)
    cloud.idle_limit = 1.0
    listener = await listening(cloud)
    await asyncio.sleep(1.5)
    assert await ask(listener, 1, "one") == "one"
    await listener.close()
    assert cloud.violations == []


async def test_a_discarded_turn_is_taken_out_of_what_the_service_holds(cloud: FakeScribe) -> None:
    listener = await listening(cloud)
    await listener.says(1, coded("one two"))
    await listener.transcription.discard(1)
    assert await ask(listener, 2, "red") == "red"
    assert [len(pcm) for pcm in cloud.sessions[0].commits] == [len(coded("one two")), len(coded("red"))]
    await listener.close()
    assert cloud.violations == []


async def test_a_long_turn_that_the_service_commits_by_itself_stays_one(cloud: FakeScribe) -> None:
    cloud.auto_commit = 0.5
    listener = await listening(cloud)
    assert await ask(listener, 1, "one two three four five six") == "one two three four five six"
    assert len(cloud.sessions[0].commits) > 2
    await listener.close()


async def test_words_that_are_known_stand_where_the_final_ones_do_not_come(cloud: FakeScribe) -> None:
    cloud.keep_silent()
    listener = await listening(cloud, deadline=1.0)
    assert await ask(listener, 1, "one two") == "one two"
    await listener.close()
    assert cloud.violations == []


async def test_a_transcript_that_does_not_come_ends_the_connection(cloud: FakeScribe) -> None:
    cloud.keep_silent()
    listener = await listening(cloud, deadline=1.0)
    await listener.says(1, bytes(32_000))
    await listener.transcription.commit(1)
    assert isinstance(await listener.lost(), ProviderUnavailable)
    await listener.close()
    assert cloud.violations == []


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("auth_error", CredentialsRejected),
        ("quota_exceeded", QuotaExhausted),
        ("rate_limited", RateLimited),
        ("unaccepted_terms", SetupRejected),
        ("session_time_limit_exceeded", ProviderUnavailable),
        ("transcriber_error", ProviderUnavailable),
    ],
)
async def test_a_complaint_of_the_service_ends_the_connection(
    cloud: FakeScribe, kind: str, error: type[Exception]
) -> None:
    listener = await listening(cloud)
    await cloud.complain(kind)
    assert type(await listener.lost()) is error
    await listener.close()


async def test_what_is_told_of_a_turn_that_nobody_said_is_passed_over(cloud: FakeScribe) -> None:
    listener = await listening(cloud)
    assert isinstance(listener.transcription, LiveTranscription)
    await cloud.send_raw(json.dumps({"message_type": "committed_transcript", "text": "boo"}))
    while not listener.transcription.counters().get("unexpected_transcripts"):  # noqa: ASYNC110 # no event says it
        await asyncio.sleep(0.005)
    assert await ask(listener, 1, "one") == "one"
    assert [one for one in listener.events if isinstance(one, Transcript)][-1].text == "one"
    await listener.close()
    assert cloud.violations == []


async def test_an_unknown_model_is_a_matter_of_the_configuration(cloud: FakeScribe) -> None:
    with pytest.raises(SetupRejected):
        await listening(cloud, model="scribe_v0")
