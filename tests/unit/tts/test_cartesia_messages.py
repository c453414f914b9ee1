"""What is said to Cartesia, checked against the SDK's own models."""

import typing

import pytest
from cartesia.types.generation_config_param import GenerationConfigParam
from cartesia.types.generation_request_param import GenerationRequestParam
from cartesia.types.raw_output_format_param import RawOutputFormatParam

from appliance.providers.tts.cartesia_messages import RATES, CartesiaDialect, CartesiaSettings
from appliance.stages import Piece


def asked(text="Hello.", rate=8_000, **settings):
    dialect = CartesiaDialect(CartesiaSettings(**settings))
    return dialect.ask("c-1", dialect.utterance(Piece(text, rate=rate)))


def test_every_field_is_one_that_the_sdk_knows():
    (message,) = asked(speed=1.2, volume=0.8, emotion="calm")
    assert set(message) <= set(typing.get_type_hints(GenerationRequestParam))
    assert set(message["generation_config"]) == set(typing.get_type_hints(GenerationConfigParam))
    assert set(message["output_format"]) == set(typing.get_type_hints(RawOutputFormatParam))


def test_the_rates_are_those_of_the_sdk():
    hints = typing.get_type_hints(RawOutputFormatParam)
    assert set(typing.get_args(hints["sample_rate"])) == set(RATES)


def test_what_is_not_set_is_left_to_the_service():
    (message,) = asked()
    assert "generation_config" not in message


def test_a_long_text_is_one_context_in_several_messages():
    messages = asked("Hello there. " * 500)
    assert [message["continue"] for message in messages] == [True] * (len(messages) - 1) + [False]
    assert "".join(message["transcript"] for message in messages) == ("Hello there. " * 500).strip()
    assert len({str({**message, "transcript": "", "continue": ""}) for message in messages}) == 1


@pytest.mark.parametrize("setting", [{"speed": 3}, {"volume": 0.1}, {"parallel": 0}, {"base_url": "ftp://x"}])
def test_values_that_cannot_be(setting):
    with pytest.raises(ValueError, match="validation error"):
        CartesiaSettings(**setting)
