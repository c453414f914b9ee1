"""What is written to the Live API and read out of it, by vectors, good and invalid."""

import base64
import json
from typing import Any

import pytest

from appliance.interfaces import Delivery
from appliance.providers.realtime.gemini import messages as wire
from appliance.providers.realtime.gemini.messages import Malformed
from tests.fakes.gemini_wire import MESSAGES, Refused, camel, check, one_of, pcm_of


@pytest.mark.parametrize(
    "message",
    [
        wire.ACTIVITY_START,
        wire.ACTIVITY_END,
        wire.AUDIO_STREAM_END,
        wire.audio(b"\1\2\3\4", 16_000),
        wire.realtime_text('"\n\u2028 ü'),
        wire.content("hello", complete=True),
        wire.history([{"role": "model", "parts": [{"text": "x"}]}]),
        wire.function_response("a", "b", {"x": {1, 2}}, "", "SILENT"),
        wire.function_response("a", "b", {}, "it failed", "WHEN_IDLE"),
    ],
)
def test_whatever_is_sent_the_service_takes(message: str) -> None:
    parsed = camel(json.loads(message))
    check(parsed, MESSAGES, "message")
    one_of(parsed, "message")


def test_sound_goes_out_as_it_is() -> None:
    pcm = bytes(range(256)) * 5
    message = json.loads(wire.audio(pcm, 16_000))
    assert pcm_of(message["realtimeInput"]["audio"]) == (pcm, 16_000)


@pytest.mark.parametrize(
    ("delivery", "speaking", "when"),
    [
        (Delivery.IMMEDIATE, False, "INTERRUPT"),
        (Delivery.IMMEDIATE, True, "WHEN_IDLE"),
        (Delivery.INTERRUPT, True, "INTERRUPT"),
        (Delivery.WHEN_IDLE, False, "WHEN_IDLE"),
        (Delivery.SILENT, True, "SILENT"),
    ],
)
def test_when_a_result_is_spoken_about(delivery: Delivery, speaking: bool, when: str) -> None:
    assert wire.scheduling(delivery, speaking=speaking) == when


@pytest.mark.parametrize(
    ("mime", "rate"),
    [
        ("audio/pcm;rate=24000", 24_000),
        ("audio/pcm; rate=16000", 16_000),
        ("audio/L16;codec=pcm;rate=48000", 48_000),
        ("audio/pcm", 24_000),
        (None, 24_000),
    ],
)
def test_a_declared_rate_is_read(mime: Any, rate: int) -> None:
    assert wire.rate_of(mime) == rate


@pytest.mark.parametrize(
    "mime", ["audio/ogg", "", 24_000, "audio/pcm;rate=1", "audio/pcm;rate=999999", "x audio/pcm"]
)
def test_another_sound_is_none(mime: Any) -> None:
    with pytest.raises(Malformed):
        wire.rate_of(mime)


def test_samples_are_whole() -> None:
    assert wire.samples(base64.b64encode(b"abcd").decode()) == (b"abcd", False)
    assert wire.samples(base64.b64encode(b"abc").decode()) == (b"ab", True)
    assert wire.samples("") == (b"", False)


@pytest.mark.parametrize("data", ["=", "a", "ab!d", "ab cd", "äöüß", None, 5, b"YWJj", "YWJj\n"])
def test_what_is_no_base64_is_no_sound(data: Any) -> None:
    with pytest.raises(Malformed):
        wire.samples(data)


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'"x"', b"1", b"\xff", "{'a':1}", b"[" * 200_000])
def test_what_is_no_object_is_no_message(raw: bytes | str) -> None:
    with pytest.raises(Malformed):
        wire.parsed(raw)


@pytest.mark.parametrize("count", [-1, 1.5, "7", True, None, 10**12])
def test_what_is_no_count_is_not_counted(count: Any) -> None:
    with pytest.raises(Malformed):
        wire.tokens({"a": count}, "a")


def test_names_from_outside_are_shortened_and_harmless() -> None:
    named = wire.named(["b" * 99, "a\n\x1b[31m", "c", "d", "e", "f"])
    assert named == f"a???31m, {'b' * 40}, c, d, e"


@pytest.mark.parametrize(
    "message",
    [
        {"realtimeInput": {"audio": {"data": "AAAA", "mimeType": "x"}, "text": "both"}},
        {"realtimeInput": {}, "clientContent": {}},
    ],
)
def test_the_strict_service_refuses_two_of_one(message: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        one_of(message if len(message) > 1 else message["realtimeInput"], "message")


@pytest.mark.parametrize(
    "message",
    [
        {"realtime_input": {"audio": {"data": "AAAA", "mime_type": "x", "volume": 3}}},
        {"setup": {"model": "gemini"}},
        {"setup": {"model": "models/x", "proactivity": {"proactiveAudio": "yes"}}},
        {"toolResponse": {"functionResponses": [{"id": "a", "name": "b", "scheduling": "silent"}]}},
        {"clientContent": {"turns": [{"role": "assistant", "parts": []}]}},
        {"media": {}},
    ],
)
def test_the_strict_service_refuses_what_it_does_not_know(message: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        check(camel(message), MESSAGES, "message")
