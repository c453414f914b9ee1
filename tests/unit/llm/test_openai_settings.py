"""To whom the key is told, and which API is spoken."""

import pytest

from appliance.errors import CredentialsRejected
from appliance.providers.llm.openai_settings import Settings

ENVIRON = {"OPENAI_API_KEY": "sk-of-the-account"}


@pytest.mark.parametrize(
    ("base_url", "official"),
    [
        ("", True),
        ("https://api.openai.com/v1", True),
        ("https://eu.api.openai.com/v1", True),
        ("https://api.openai.com.example.org/v1", False),
        ("https://notapi.openai.com/v1", False),
        ("http://192.168.1.5:8080/v1", False),
    ],
)
def test_the_service_itself_is_known_by_its_address(base_url, official):
    settings = Settings(base_url=base_url)
    assert settings.official is official
    assert settings.responses is official


@pytest.mark.parametrize(
    ("base_url", "told"),
    [
        ("", True),
        ("https://gateway.example.org/v1", True),
        ("http://127.0.0.1:8080/v1", True),
        ("http://localhost:8080/v1", True),
        ("http://[::1]:8080/v1", True),
        ("http://192.168.1.5:8080/v1", False),
        ("http://llama.local/v1", False),
    ],
)
def test_the_accounts_key_is_not_told_to_a_network_in_the_clear(base_url, told):
    settings = Settings(base_url=base_url)
    assert settings.bearer(ENVIRON) == ("sk-of-the-account" if told else "")


def test_a_key_that_stands_beside_an_address_is_told_there():
    settings = Settings.model_validate(
        {"base_url": "http://192.168.1.5:8080/v1", "api_key": "sk-of-the-server"}
    )
    assert settings.bearer(ENVIRON) == "sk-of-the-server"


def test_without_a_key_a_server_of_ones_own_is_spoken_to_and_the_service_is_not():
    assert Settings(base_url="http://192.168.1.5:8080/v1").bearer({}) == ""
    with pytest.raises(CredentialsRejected, match="no key"):
        Settings().bearer({})


def test_a_key_that_leads_nowhere_is_a_fault_everywhere():
    settings = Settings.model_validate({"base_url": "http://192.168.1.5:8080/v1", "api_key": "env:NOT_THERE"})
    with pytest.raises(CredentialsRejected, match="NOT_THERE"):
        settings.bearer({})
