"""The `[providers.openai]` section."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from appliance.errors import ConfigurationInvalid, CredentialsRejected
from appliance.providers.realtime.openai.settings import KEY_VARIABLES, read


def test_nothing_needs_to_be_set() -> None:
    settings = read({})
    assert (settings.model, settings.turns) == ("gpt-realtime-2.1", "local")
    assert settings.key("openai", KEY_VARIABLES, {"OPENAI_API_KEY": "sk-1"}) == "sk-1"


def test_an_empty_value_is_the_default() -> None:
    assert read({"model": "", "voice": "", "api_key": SecretStr(""), "speed": None}) == read({})


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"modle": "x"}, "no key 'modle': did you mean 'model'"),
        ({"zzz": 1}, "no key 'zzz'"),
        ({"turns": "vad"}, "providers.openai.turns"),
        ({"speed": 3}, "providers.openai.speed"),
        ({"speed": "fast"}, "providers.openai.speed"),
        ({"base_url": "ws://host/v1"}, "http:// or https://"),
        ({"base_url": "host"}, "http:// or https://"),
        ({"max_output_tokens": 0}, "providers.openai.max_output_tokens"),
        ({"reasoning": "much"}, "providers.openai.reasoning"),
    ],
)
def test_a_fault_names_its_key(section: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationInvalid) as fault:
        read(section)
    assert told in fault.value.message


def test_all_faults_are_told_at_once_and_no_value() -> None:
    with pytest.raises(ConfigurationInvalid) as fault:
        read({"speed": 9, "turns": "sk-secret", "api_kee": "sk-secret"})
    assert fault.value.message.count(";") == 2
    assert "sk-secret" not in fault.value.message


@pytest.mark.parametrize("content", ["", " \n", "sk 1", "sk-\u00e9", "sk-1\nsk-2"])
def test_a_key_that_cannot_be_one_is_rejected_without_being_shown(tmp_path: Path, content: str) -> None:
    file = tmp_path / "key"
    file.write_text(content)
    file.chmod(0o600)
    with pytest.raises(CredentialsRejected) as fault:
        read({"api_key": f"file:{file}"}).key("openai", KEY_VARIABLES, {})
    assert "sk" not in fault.value.message


def test_a_key_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(CredentialsRejected, match="cannot be read"):
        read({"api_key": f"file:{tmp_path / 'none'}"}).key("openai", KEY_VARIABLES, {})
