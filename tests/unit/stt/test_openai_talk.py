"""The protocol of OpenAI's transcription: whose words are whose, and what its errors mean."""

import json
from typing import Any

import pytest

from appliance.errors import (
    ApplianceError,
    CredentialsRejected,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    SetupRejected,
)
from appliance.openai_faults import of_answer, of_setup
from appliance.providers.stt.openai_session import session_update
from appliance.providers.stt.openai_talk import OpenAiTalk
from appliance.stages import Spent, Transcript
from tests.unit.stt.openai_words import PREFIX, read, said, speak


def test_words_before_the_commit_are_of_the_turn_that_is_spoken() -> None:
    talk = OpenAiTalk(server_turns=False)
    speak(talk, 1)
    read(talk, f"{PREFIX}.delta", item_id="a", delta="it is")
    assert said(talk) == [Transcript(1, "it is", final=False)]
    talk.commit(1)
    speak(talk, 2)
    read(talk, f"{PREFIX}.delta", item_id="a", delta=" noon")
    read(talk, "input_audio_buffer.committed", item_id="a")
    read(talk, f"{PREFIX}.delta", item_id="b", delta="thanks")
    read(
        talk,
        f"{PREFIX}.completed",
        item_id="a",
        transcript="It is noon.",
        usage={"type": "duration", "seconds": 2},
    )
    assert said(talk) == [
        Transcript(1, "it is noon", final=False),
        Transcript(2, "thanks", final=False),
        Spent(2.0),
        Transcript(1, "It is noon.", final=True),
    ]


def test_words_of_a_turn_that_was_none_are_not_told() -> None:
    talk = OpenAiTalk(server_turns=False)
    speak(talk, 1)
    talk.discard(1)
    speak(talk, 2)
    read(talk, f"{PREFIX}.delta", item_id="a", delta="cough")
    read(talk, "input_audio_buffer.cleared")
    read(talk, f"{PREFIX}.delta", item_id="b", delta="yes")
    assert said(talk) == [Transcript(2, "yes", final=False)]


def test_a_name_that_the_service_uses_again_is_of_the_turn_that_it_commits() -> None:
    talk = OpenAiTalk(server_turns=False)
    speak(talk, 1)
    read(talk, f"{PREFIX}.delta", item_id="a", delta="cough")
    talk.discard(1)
    read(talk, "input_audio_buffer.cleared")
    talk.post.events.clear()
    speak(talk, 2)
    talk.commit(2)
    read(talk, "input_audio_buffer.committed", item_id="a")
    read(talk, f"{PREFIX}.completed", item_id="a", transcript="Yes.")
    assert said(talk)[-1] == Transcript(2, "Yes.", final=True)


def test_a_refused_commit_is_answered_with_what_is_known() -> None:
    talk = OpenAiTalk(server_turns=False)
    speak(talk, 1)
    talk.commit(1)
    read(talk, "error", error={"code": "input_audio_buffer_commit_empty", "event_id": "commit_1"})
    assert said(talk) == [Transcript(1, "", final=True)]
    assert talk.post.fault is None


def test_after_a_refused_commit_the_next_transcript_is_of_the_next_turn() -> None:
    talk = OpenAiTalk(server_turns=False)
    for turn in (1, 2):
        speak(talk, turn)
        talk.commit(turn)
    read(talk, "error", error={"code": "input_audio_buffer_commit_empty", "event_id": "commit_1"})
    read(talk, "input_audio_buffer.committed", item_id="b")
    read(talk, f"{PREFIX}.completed", item_id="b", transcript="Yes.")
    finals = [event for event in said(talk) if isinstance(event, Transcript)]
    assert finals == [Transcript(1, "", final=True), Transcript(2, "Yes.", final=True)]


def test_nothing_is_told_of_a_refused_commit_of_a_turn_that_was_none() -> None:
    talk = OpenAiTalk(server_turns=False)
    speak(talk, 1)
    talk.commit(1)
    talk.discard(1)
    read(talk, "error", error={"code": "input_audio_buffer_commit_empty", "event_id": "commit_1"})
    assert said(talk) == []


def test_two_names_before_any_commit_are_of_two_turns() -> None:
    talk = OpenAiTalk(server_turns=False)
    speak(talk, 1)
    read(talk, f"{PREFIX}.delta", item_id="a", delta="one")
    talk.commit(1)
    speak(talk, 2)
    read(talk, f"{PREFIX}.delta", item_id="b", delta="two")
    assert said(talk) == [Transcript(1, "one", final=False), Transcript(2, "two", final=False)]


def test_nothing_known_of_an_overdue_turn_ends_the_connection() -> None:
    talk = OpenAiTalk(server_turns=False)
    speak(talk, 1)
    talk.commit(1)
    talk.expire(1)
    assert isinstance(talk.post.fault, ProviderUnavailable)


def test_half_a_sample_is_cut_off() -> None:
    talk = OpenAiTalk(server_turns=False)
    talk.hear(1, b"\x01" * 641)
    assert talk.post.counts["odd_audio"] == 1


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        ({"code": "insufficient_quota"}, QuotaExhausted),
        ({"code": "rate_limit_exceeded"}, RateLimited),
        ({"code": "session_expired"}, ProviderUnavailable),
        ({"type": "authentication_error"}, CredentialsRejected),
        ({"type": "server_error", "code": None}, ProviderUnavailable),
        ({"type": "invalid_request_error", "code": "model_not_found"}, SetupRejected),
        ({}, SetupRejected),
    ],
)
def test_what_an_error_during_set_up_means(error: dict[str, Any], meaning: type[ApplianceError]) -> None:
    assert type(of_setup(error)) is meaning


def test_an_error_about_one_event_is_survived() -> None:
    assert of_answer({"type": "invalid_request_error", "code": "invalid_value"}) is None


def test_keywords_are_told_to_models_that_take_them() -> None:
    def told(model: str) -> Any:
        update = json.loads(session_update(model, "de-AT", ["Gugelhupf"], server_turns=True))
        return update["session"]["audio"]["input"]

    assert told("gpt-transcribe")["transcription"] == {
        "model": "gpt-transcribe",
        "language": "de",
        "keywords": ["Gugelhupf"],
    }
    assert told("whisper-1")["transcription"] == {"model": "whisper-1", "language": "de"}
    assert told("gpt-transcribe")["turn_detection"] == {"type": "server_vad"}
