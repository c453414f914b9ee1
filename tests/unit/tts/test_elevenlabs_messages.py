"""What ElevenLabs' messages mean."""

import base64

import pytest

from appliance.errors import (
    CredentialsRejected,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    SetupRejected,
)
from appliance.providers.tts.elevenlabs_messages import ElevenLabsDialect, ElevenLabsSettings
from appliance.stages import Piece

DIALECT = ElevenLabsDialect(ElevenLabsSettings())
AUDIO = base64.b64encode(b"\x01\x00" * 800).decode()  # 100 ms at 8 kHz


def chunk(letters, starts):
    return {
        "audio": AUDIO,
        "alignment": {"chars": list(letters), "charStartTimesMs": starts},
        "contextId": "c",
    }


def test_times_of_a_chunk_are_added_to_the_sound_before_it():
    utterance = DIALECT.utterance(Piece("Hello you", rate=8_000))
    DIALECT.read("c", chunk("Hel", [0, 20, 40]), utterance)
    DIALECT.read("c", chunk("lo you", [0, 20, 40, 60, 70, 80]), utterance)
    DIALECT.read("c", {"isFinal": True, "contextId": "c"}, utterance)
    words = [word for sound in utterance.sounds for word in sound.words]
    assert [(word.text, word.start_ms) for word in words] == [("Hello", 0), ("you", 160)]
    assert utterance.over
    assert utterance.fault is None


def test_a_context_is_closed_once_and_only_after_its_first_sound():
    utterance = DIALECT.utterance(Piece("Hello", rate=8_000))
    assert DIALECT.read("c", {"audio": "", "contextId": "c"}, utterance) == ()
    assert DIALECT.read("c", chunk("He", [0, 20]), utterance) == [{"context_id": "c", "close_context": True}]
    assert DIALECT.read("c", chunk("llo", [0, 20, 40]), utterance) == ()


def test_a_context_that_ends_without_a_sound_has_failed():
    utterance = DIALECT.utterance(Piece("Hello"))
    DIALECT.read("c", {"isFinal": True, "contextId": "c"}, utterance)
    assert isinstance(utterance.fault, ProviderUnavailable)


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("invalid_api_key", CredentialsRejected),
        ("quota_exceeded", QuotaExhausted),
        ("voice_id_does_not_exist", SetupRejected),
        ("too_many_concurrent_requests", RateLimited),
        ("max_active_conversations", ProviderUnavailable),
        ("a secret of yours", ProviderUnavailable),
        (7, ProviderUnavailable),
        ({}, ProviderUnavailable),
    ],
)
def test_errors_are_told_for_what_they_are_and_never_repeated(code, fault):
    told = DIALECT.fault({"message": "a secret of yours", "error": code, "code": 1008})
    assert type(told) is fault
    assert "secret" not in str(told)


def test_pieces_with_the_same_voice_rate_and_language_share_an_address():
    def address(**how):
        return DIALECT.address(DIALECT.utterance(Piece("Hello", **how)))

    assert address(language="en-GB") == address(language="en-US")
    assert address(rate=8_000) != address(rate=16_000)
    assert "language_code=de" in address(language="de")
    assert "/v1/text-to-speech/a%2Fb/" in ElevenLabsDialect(ElevenLabsSettings(voice="a/b")).address(
        DIALECT.utterance(Piece("Hello"))
    )
