"""`check` names what is wrong with the stages of a chain, and with those that a provider borrows."""

from pathlib import Path

import pytest

from appliance.config.load import Fault, load
from appliance.config.providers import check_providers
from appliance.config.rules import check_rules
from tests.unit.config.sections import LADDER, LAN, OPENAI, faults

FREE = LADDER.format('["chain", "offline"]')
CHAIN_OF = (
    LADDER.format('["chain"]')
    + '[providers.chain]\nstt = {}\nllm = "openai"\ntts = "espeak"\n'
    + f'llm_base_url = "{LAN}"\nllm_model = "tiny"\n'
)


@pytest.mark.parametrize(
    ("name", "kind"), [("deepgram", "stt"), ("cartesia", "tts"), ("elevenlabs", "stt"), ("piper", "tts")]
)
def test_a_part_of_a_chain_cannot_answer_alone(tmp_path: Path, name: str, kind: str) -> None:
    [fault] = faults(tmp_path, LADDER.format(f'["{name}", "offline"]')).values()
    assert fault.key == "conversation.providers"
    assert fault.message == f"'{name}' is a part of a chain, and no provider by itself"
    assert f'{kind} = "{name}"' in fault.hint


def test_the_address_of_a_part_of_a_chain_is_looked_at(tmp_path: Path) -> None:
    [fault] = faults(tmp_path, '[providers.deepgram]\nbase_url = "api.deepgram.com"\n').values()
    assert fault.key == "providers.deepgram.base_url"


def test_values_and_keys_of_the_chain_are_looked_at_as_those_of_the_services(tmp_path: Path) -> None:
    text = """
[providers.chain]
turn = "server"
model = "qwen"
stt = "deepgram"
tts = "cartesia"
llm_api = "chta"
llm_temperature = "hot"
llm_base_url = "192.168.1.5:8080"
stt_endpointing_ms = "soon"
tts_voice = 3
"""
    found = faults(tmp_path, text)
    told = {"turn", "model", "llm_api", "llm_temperature", "llm_base_url", "stt_endpointing_ms", "tts_voice"}
    assert found.keys() == {f"providers.chain.{key}" for key in told}
    assert all(fault.origin.endswith("handset.toml") for fault in found.values())
    assert "'chta'" in found["providers.chain.llm_api"].message
    assert found["providers.chain.turn"].hint == "did you mean 'turns'?"
    assert "llm_model" in found["providers.chain.model"].hint


def test_of_a_stage_whose_name_is_wrong_no_key_is_judged(tmp_path: Path) -> None:
    text = '[providers.chain]\nllm = "opnai"\nllm_base_url = "http://127.0.0.1:9/v1"\n'
    [fault] = faults(tmp_path, text).values()
    assert (fault.key, fault.hint) == ("providers.chain.llm", "did you mean 'openai'?")


def test_a_table_without_keys_says_that_there_is_nothing_to_set(tmp_path: Path) -> None:
    [fault] = faults(tmp_path, '[providers.pocketsphinx]\nmodel = "x"\n').values()
    assert fault.hint == "there is nothing to set"


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ('tts = "cartesia"', "tts"),
        ('output = "text"', "output"),
        ('output = "text"\ntts = "cartesiaa"', "tts"),
        ('stt = "deepgrm"', "stt"),
    ],
)
def test_an_ear_or_a_voice_that_does_not_fit_a_realtime_provider_is_told(
    tmp_path: Path, keys: str, told: str
) -> None:
    [fault] = faults(tmp_path, f"[providers.openai]\n{keys}\n").values()
    assert fault.key == f"providers.openai.{told}"


def test_the_key_of_a_service_that_lends_its_voice_is_asked_for(tmp_path: Path) -> None:
    text = LADDER.format('["openai"]') + '[providers.openai]\noutput = "text"\ntts = "cartesia"\n'
    [fault] = faults(tmp_path, text, OPENAI_API_KEY=OPENAI).values()
    assert fault.key == "providers.cartesia.api_key"


@pytest.mark.parametrize(
    ("keys", "tables", "told"),
    [
        ('tts = "piper"', "", ["piper is not installed", "no model is set"]),
        ('tts = ["espeak", "piper"]', '[providers.piper]\nmodel = "/nope.onnx"', ["there is no /nope.onnx"]),
        ('stt = "whisper"', "", ["no model_directory is set"]),
        (
            'stt = "whisper"',
            '[providers.whisper]\nmodel_directory = "/nope"',
            ["/nope does not hold config.json"],
        ),
    ],
)
def test_a_program_or_a_model_that_is_not_there_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: str, tables: str, told: list[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    chain = {"stt": 'stt = "pocketsphinx"', "tts": 'tts = "espeak"'} | {keys.partition(" ")[0]: keys}
    text = FREE + "[providers.chain]\n" + "\n".join(chain.values()) + f'\nllm_base_url = "{LAN}"\n{tables}\n'
    path = tmp_path / "handset.toml"
    path.write_text(text)
    found = check_providers(check_rules(load(path, environ={})), {}).faults
    for words in told:
        assert any(words in fault.message and fault.hint for fault in found), found


def checked(directory: Path, text: str) -> tuple[bool, dict[str, Fault]]:
    """Whether it can be used, and what is told, without a key in the environment."""
    path = directory / "handset.toml"
    path.write_text(text)
    loaded = check_providers(check_rules(load(path, environ={})), {})
    return loaded.configuration is not None, {fault.key: fault for fault in loaded.faults}


@pytest.mark.parametrize(
    ("text", "usable_as_it_is"),
    [
        (LADDER.format('["openai", "offline"]'), True),
        (LADDER.format('["openai", "gemini"]'), False),
        (LADDER.format('["openai", "offlin"]'), False),
        (CHAIN_OF.format('["deepgram", "pocketsphinx"]'), True),
        (CHAIN_OF.format('"deepgram"'), False),
    ],
)
def test_a_key_that_is_missing_is_a_warning_where_somebody_else_serves(
    tmp_path: Path, text: str, usable_as_it_is: bool
) -> None:
    usable_now, told = checked(tmp_path, text)
    missing = [fault for fault in told.values() if fault.key.endswith("api_key")]
    assert missing
    assert (usable_now, {fault.warning for fault in missing}) == (usable_as_it_is, {usable_as_it_is})


def test_all_faults_of_a_chain_are_told_at_once(tmp_path: Path) -> None:
    _, told = checked(
        tmp_path,
        """
[conversation]
providers = ["chain"]
[providers.chain]
stt = "depgram"
llm = "openai"
tts = ["piper", "espeak"]
stt_langauge = "en"
tts_speed = 9
tts_spede = 1
context_characters = "3s"
llm_base_url = "192.168.1.5:11434/v1"
""",
    )
    assert set(told) == {
        "providers.chain.stt",
        "providers.chain.stt_langauge",
        "providers.chain.tts_speed",
        "providers.chain.tts_spede",
        "providers.chain.context_characters",
        "providers.chain.llm_base_url",
        "providers.piper",
    }
    assert told["providers.chain.stt_langauge"].hint == "did you mean 'stt_language'?"
    assert told["providers.chain.tts_spede"].message == "piper, the chain's first tts, has no such key"
    assert told["providers.chain.context_characters"].message == "should be a whole number, not '3s'"
    assert "http://" in told["providers.chain.llm_base_url"].message
