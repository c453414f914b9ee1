"""Which keys of which tables concern a stage of the chain."""

import pytest

from appliance.config.stages import stage_settings
from appliance.providers.llm.openai import OpenAiLanguageModel

SECTION = {
    "api_key": "sk-of-the-account",
    "model": "gpt-realtime-2.1",
    "voice": "marin",
    "llm_model": "gpt-6-luna",
}
LAN = "http://192.168.1.5:8080/v1"


def _settings(section, chain):
    return stage_settings("llm", OpenAiLanguageModel, section, chain)


def test_a_stage_has_the_shared_keys_and_its_own():
    assert _settings(SECTION, {}) == {"api_key": "sk-of-the-account", "model": "gpt-6-luna"}


def test_keys_of_the_chain_come_first_and_those_of_another_service_are_none():
    chain = {
        "llm": "openai",
        "llm_model": "gpt-6-sol",
        "llm_voice": "none",
        "stt_model": "nova-3",
        "llm_api": "",
    }
    assert _settings(SECTION, chain) == {"api_key": "sk-of-the-account", "model": "gpt-6-sol"}


@pytest.mark.parametrize(
    ("section", "chain"),
    [(SECTION, {"llm_base_url": LAN}), ({**SECTION, "llm_base_url": LAN}, {})],
    ids=["in the chain's table", "in the service's"],
)
def test_the_accounts_key_is_not_told_to_another_address(section, chain):
    assert _settings(section, chain) == {"base_url": LAN, "model": "gpt-6-luna"}
    assert _settings(section, {**chain, "llm_api_key": "of the server"})["api_key"] == "of the server"


def test_the_services_own_address_keeps_its_key():
    settings = _settings({**SECTION, "base_url": "https://gateway.example.org/v1"}, {"llm_base_url": ""})
    assert settings["api_key"] == "sk-of-the-account"
    assert settings["base_url"] == "https://gateway.example.org/v1"
