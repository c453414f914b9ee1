"""OpenAI's transcription of what is being said: what all stages owe, and what is its own."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from appliance.errors import (
    ApplianceError,
    CredentialsRejected,
    ProviderUnavailable,
    QuotaExhausted,
    SetupRejected,
)
from appliance.providers.stt.openai import OpenAiTranscription
from appliance.stages import Ended, Hearing, Spent, Transcript
from tests.contract.stt.listener import Listener
from tests.contract.stt.service_contract import SttServiceContract
from tests.fakes.openai_transcription import RATE, STEPS, FakeOpenAiTranscription
from tests.rig.coded_speech import coded, frames


@pytest.fixture
async def cloud() -> AsyncIterator[FakeOpenAiTranscription]:
    async with FakeOpenAiTranscription() as cloud:
        yield cloud


def section(cloud: Any, **more: Any) -> Mapping[str, Any]:
    return {"base_url": cloud.base_url, "api_key": cloud.key, **more}


async def listening(cloud: FakeOpenAiTranscription, hearing: Hearing | None = None, **more: Any) -> Listener:
    stage = OpenAiTranscription(section(cloud, **more))
    return Listener(await stage.connect(hearing or Hearing()), stage.rate)


async def ask(listener: Listener, turn: int, text: str) -> str:
    await listener.says(turn, coded(text))
    await listener.transcription.commit(turn)
    return await listener.final(turn)


class TestOpenAiRealtime(SttServiceContract):
    name = "openai"
    steps = STEPS

    @pytest.fixture
    async def cloud(self) -> AsyncIterator[FakeOpenAiTranscription]:
        async with FakeOpenAiTranscription() as cloud:
            yield cloud

    def section(self, cloud: Any) -> Mapping[str, Any]:
        return section(cloud)


async def test_the_service_is_told_language_and_names(cloud: FakeOpenAiTranscription) -> None:
    listener = await listening(cloud, Hearing(language="de-AT", keywords=("Gugelhupf",)))
    sound = cloud.sessions[0].config["audio"]["input"]
    assert sound["transcription"] == {
        "model": "gpt-live-transcribe",
        "language": "de",
        "keywords": ["Gugelhupf"],
    }
    assert sound["turn_detection"] is None
    await listener.close()
    assert cloud.violations == []


async def test_a_turn_arrives_whole_at_the_services_rate(cloud: FakeOpenAiTranscription) -> None:
    listener = await listening(cloud)
    await ask(listener, 1, "one two")
    await ask(listener, 2, "three")
    heard = [len(turn.pcm) // 2 / RATE for turn in cloud.sessions[0].turns]
    assert heard == [pytest.approx(len(coded(text)) / 2 / 16_000) for text in ("one two", "three")]
    await listener.close()
    assert cloud.violations == []


async def test_words_are_told_while_they_are_said(cloud: FakeOpenAiTranscription) -> None:
    listener = await listening(cloud)
    await listener.says(1, coded("one two three"))
    await listener.until(lambda: Transcript(1, "one two three", final=False) in listener.events)
    assert not listener.finals(1)
    await listener.close()
    assert cloud.violations == []


async def test_transcripts_in_the_wrong_order_belong_to_their_turns(cloud: FakeOpenAiTranscription) -> None:
    cloud.swap()
    listener = await listening(cloud)
    for turn, text in ((1, "one two"), (2, "red green")):
        await listener.says(turn, coded(text))
        await listener.transcription.commit(turn)
    assert await listener.final(2) == "red green"
    assert await listener.final(1) == "one two"
    await listener.close()
    assert cloud.violations == []


async def test_the_service_ends_turns_where_the_model_can(cloud: FakeOpenAiTranscription) -> None:
    listener = await listening(cloud, Hearing(server_turns=True), model="gpt-transcribe")
    for turn, text in ((1, "one two"), (2, "red green")):
        await listener.says(turn, coded(text) + bytes(16_000))
        await listener.until(lambda turn=turn: Ended(turn) in listener.events)  # type: ignore[misc]
        assert listener.finals(turn) == [text]
    await listener.transcription.commit(2)
    await listener.until(lambda: listener.finals(2) == ["red green"] * 2)
    # The service and the line find the end of this one at the same moment.
    assert await ask(listener, 3, "call nine") == "call nine"
    assert listener.finals(3) == ["call nine"]
    await listener.close()
    assert cloud.violations == []


async def test_a_pause_within_a_turn_loses_no_word(cloud: FakeOpenAiTranscription) -> None:
    listener = await listening(cloud, Hearing(server_turns=True), model="gpt-transcribe")
    await listener.says(1, coded("one two") + bytes(16_000))
    await listener.until(lambda: Ended(1) in listener.events)
    await listener.says(1, coded("three four"))
    await listener.until(lambda: len(cloud.sessions[0].turns) == 2 or bool(listener.finals(1)[1:]))
    await listener.transcription.commit(1)
    await listener.until(lambda: listener.finals(1)[-1] == "one two three four")
    assert await ask(listener, 2, "red") == "red"
    await listener.close()
    assert cloud.violations == []


async def test_a_turn_that_the_service_splits_as_it_is_committed_is_read_whole(
    cloud: FakeOpenAiTranscription,
) -> None:
    listener = await listening(cloud, Hearing(server_turns=True), model="gpt-transcribe")
    # All of it is on its way before a word of the service's is read: the pause in it ends an item.
    for piece in frames(coded("call nine") + bytes(12_800) + coded("red four", tail=0.1), 16_000, 20):
        await listener.transcription.hear(1, piece)
    await listener.transcription.commit(1)
    assert await listener.final(1) == "call nine red four"
    assert len(cloud.sessions[0].turns) == 2
    assert listener.finals(1) == ["call nine red four"]
    await listener.close()
    assert cloud.violations == []


def test_a_model_that_refuses_turn_detection_is_not_asked_for_it() -> None:
    assert not OpenAiTranscription({}).server_turns
    assert OpenAiTranscription({"model": "gpt-transcribe"}).server_turns
    assert not OpenAiTranscription({"model": "gpt-transcribe", "mode": "one_shot"}).server_turns


async def test_a_transcript_that_does_not_come_ends_the_connection(cloud: FakeOpenAiTranscription) -> None:
    cloud.keep_silent()
    cloud.will_say("")
    listener = await listening(cloud, model="gpt-transcribe", deadline=1.0)
    await listener.says(1, coded("one"))
    await listener.transcription.commit(1)
    assert isinstance(await listener.lost(), ProviderUnavailable)
    await listener.close()
    assert cloud.violations == []


async def test_words_that_are_known_stand_where_the_final_ones_do_not_come(
    cloud: FakeOpenAiTranscription,
) -> None:
    cloud.keep_silent()
    listener = await listening(cloud, deadline=1.0)
    assert await ask(listener, 1, "one two") == "one two"
    assert await ask(listener, 2, "red") == "red"
    await listener.close()
    assert cloud.violations == []


@pytest.mark.parametrize(
    ("kind", "code", "error"),
    [
        ("server_error", "internal", ProviderUnavailable),
        ("invalid_request_error", "insufficient_quota", QuotaExhausted),
    ],
)
async def test_a_transcript_that_failed_for_the_services_reasons_ends_the_connection(
    cloud: FakeOpenAiTranscription, kind: str, code: str, error: type[Exception]
) -> None:
    cloud.fail_transcript(kind, code)
    listener = await listening(cloud)
    await listener.says(1, coded("one"))
    await listener.transcription.commit(1)
    assert isinstance(await listener.lost(), error)
    await listener.close()
    assert cloud.violations == []


async def test_a_transcript_that_failed_for_the_audios_sake_is_what_is_known(
    cloud: FakeOpenAiTranscription,
) -> None:
    cloud.fail_transcript("invalid_request_error", "audio_unintelligible")
    listener = await listening(cloud)
    assert await ask(listener, 1, "one") == "one"
    assert await ask(listener, 2, "red") == "red"
    await listener.close()
    assert cloud.violations == []


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (3000, "invalid_request_error.invalid_api_key", CredentialsRejected),
        (1008, "", SetupRejected),
        (1011, "", ProviderUnavailable),
    ],
)
async def test_a_close_during_set_up_says_why(
    cloud: FakeOpenAiTranscription, code: int, reason: str, kind: type[ApplianceError]
) -> None:
    cloud.close_in_setup(code, reason)
    with pytest.raises(ApplianceError) as raised:
        await listening(cloud)
    assert type(raised.value) is kind


async def test_an_unknown_model_is_a_matter_of_the_configuration(cloud: FakeOpenAiTranscription) -> None:
    with pytest.raises(SetupRejected, match="model_not_found"):
        await listening(cloud, model="gpt-nonsense")
    assert cloud.violations == ["session.update: model_not_found session.audio.input.transcription.model"]


async def test_the_end_of_a_session_is_a_disconnect(cloud: FakeOpenAiTranscription) -> None:
    listener = await listening(cloud)
    await cloud.expire()
    assert isinstance(await listener.lost(), ProviderUnavailable)
    await listener.close()
    assert cloud.violations == []


async def test_an_old_session_ends_by_itself_once_no_turn_is_under_way(
    cloud: FakeOpenAiTranscription,
) -> None:
    cloud.expires_at = time.time() + 300.5
    listener = await listening(cloud)
    await listener.says(1, coded("one two"))
    await asyncio.sleep(0.8)
    assert not listener.reader.done()
    await listener.transcription.commit(1)
    assert await listener.lost() is None
    assert listener.finals(1) == ["one two"]
    await listener.close()
    assert cloud.violations == []


async def test_charges_in_tokens_are_told_as_the_seconds_of_sound(cloud: FakeOpenAiTranscription) -> None:
    cloud.charges = {"type": "tokens", "input_tokens": 9, "output_tokens": 3, "total_tokens": 12}
    listener = await listening(cloud)
    await ask(listener, 1, "one two")
    assert [one.seconds for one in listener.events if isinstance(one, Spent)] == [
        pytest.approx(len(coded("one two")) / 2 / 16_000)
    ]
    await listener.close()
    assert cloud.violations == []
