"""Whose voice a name is, and how OpenAI takes it."""

import pytest

from appliance.voice_names import openai_voice, wished


@pytest.mark.parametrize(
    ("voice", "service", "taken"),
    [
        ("marin", "openai", True),
        ("af_bella", "openai", True),
        ("voice_1234", "openai", True),
        ("f786b574-daa5-4673-aa0c-cbe3e8534c02", "openai", False),
        ("JBFqnCBsd6RMkjVDRZzb", "openai", False),
        ("JBFqnCBsd6RMkjVDRZzb", "elevenlabs", True),
        ("JBFqnCBsd6RMkjVDRZzb", "cartesia", False),
        ("f786b574-daa5-4673-aa0c-cbe3e8534c02", "cartesia", True),
        ("marin", "cartesia", False),
        ("", "cartesia", False),
        ("", "gemini", True),
        ("marin", "gemini", False),
        ("voice_1234", "gemini", False),
        ("Kore", "openai", False),
        ("Kore", "gemini", True),
        ("A voice of tomorrow", "gemini", True),
    ],
)
def test_a_voice_is_wished_from_the_service_that_has_it(voice: str, service: str, taken: bool) -> None:
    assert wished(voice, service) == (voice if taken else "")


@pytest.mark.parametrize(("name", "sent"), [("marin", "marin"), ("voice_1234", {"id": "voice_1234"})])
def test_a_voice_of_ones_own_goes_by_its_id(name: str, sent: object) -> None:
    assert openai_voice(name) == sent
