"""What is written to the service and read from it: JSON, base64, numbers."""

import base64
import json

import pytest

from appliance.providers.realtime.openai import wire
from appliance.providers.realtime.openai.wire import Malformed
from tests.unit.realtime.openai.exchange import LOUD


def test_an_append_is_the_json_that_an_encoder_would_write() -> None:
    assert json.loads(wire.append(LOUD)) == {
        "type": "input_audio_buffer.append",
        "audio": base64.b64encode(LOUD).decode(),
    }


@pytest.mark.parametrize("text", ["plain", "\x00\u2028", "\ud800 lone", "\U0001f600", "x" * 30_000])
def test_any_text_can_be_sent(text: str) -> None:
    sent = wire.event("x", text=text).encode("utf-8")
    assert json.loads(sent)["text"] == text.replace("\ud800", "?")


@pytest.mark.parametrize("encoded", [None, 7, "A", "AA=A", "\u00e9", "AAAA AAAA", [], {}])
def test_what_is_no_base64_is_no_audio(encoded: object) -> None:
    with pytest.raises(Malformed):
        wire.pcm(encoded)


@pytest.mark.parametrize("value", [-1, 1e13, float("nan"), float("inf"), "7", True, []])
def test_a_senseless_number_is_refused(value: object) -> None:
    with pytest.raises(Malformed):
        wire.number({"n": value}, "n")
