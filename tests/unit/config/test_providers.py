"""`check` and `doctor` name what is wrong with a provider's section, and never show a key."""

import argparse
import asyncio
import json
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from appliance.config.check import check, read, usable
from appliance.config.load import Fault, load
from appliance.config.providers import check_providers
from appliance.config.rules import check_rules
from appliance.config.schema import Configuration
from appliance.doctor import CHECKS, refusal
from appliance.errors import (
    ApplianceError,
    CredentialsRejected,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    SetupRejected,
)
from appliance.finding import Finding
from appliance.link_faults import unreachable
from tests.fakes.openai_chat import FakeOpenAiChat
from tests.fakes.openai_realtime import FakeOpenAi

OPENAI = "sk-proj-0123456789abcdefghijABCDEFGHIJ"
GOOGLE = "AIza0123456789abcdefghijABCDEFGHIJ01234"
LAN = "http://127.0.0.1:9999/v1"
LADDER = "[conversation]\nproviders = {}\n"
CHAIN_OF = (
    LADDER.format('["chain"]')
    + '[providers.chain]\nstt = {}\nllm = "openai"\ntts = "espeak"\n'
    + f'llm_base_url = "{LAN}"\nllm_model = "tiny"\n'
)


def faults(directory: Path, text: str, **environ: str) -> dict[str, Fault]:
    path = directory / "handset.toml"
    path.write_text(text)
    found = check_providers(check_rules(load(path, environ={})), environ).faults
    return {fault.key: fault for fault in found}


def test_a_configuration_without_a_cloud_needs_no_key(tmp_path: Path) -> None:
    assert faults(tmp_path, "") == {}


@pytest.mark.parametrize(
    ("provider", "variable"),
    [("openai", "OPENAI_API_KEY"), ("gpt_live", "OPENAI_API_KEY"), ("gemini", "GOOGLE_API_KEY")],
)
def test_a_missing_key_is_named_with_its_section_and_variable(
    tmp_path: Path, provider: str, variable: str
) -> None:
    [fault] = faults(tmp_path, LADDER.format(f'["{provider}", "offline"]')).values()
    assert fault.key == f"providers.{provider}.api_key"
    assert variable in fault.hint
    assert f"[providers.{provider}]" in fault.hint


@pytest.mark.parametrize(
    ("provider", "variable", "key"),
    [
        ("openai", "OPENAI_API_KEY", OPENAI),
        ("gpt_live", "OPENAI_API_KEY", OPENAI),
        ("gemini", "GOOGLE_API_KEY", GOOGLE),
        ("gemini", "GEMINI_API_KEY", GOOGLE),
    ],
)
def test_a_key_in_the_usual_variable_will_do(tmp_path: Path, provider: str, variable: str, key: str) -> None:
    assert faults(tmp_path, LADDER.format(f'["{provider}"]'), **{variable: key}) == {}


@pytest.mark.parametrize(
    ("provider", "key", "told"),
    [
        ("openai", f'"{OPENAI}"', "quotes"),
        ("openai", f"{OPENAI}\n", "white space around"),
        ("openai", f" {OPENAI}", "white space around"),
        ("openai", OPENAI[:20] + " " + OPENAI[20:], "white space in"),
        ("openai", OPENAI + "…", "characters"),
        ("openai", GOOGLE, "Google"),
        ("openai", "sk-ant-" + OPENAI, "Anthropic"),
        ("openai", "hunter2hunter2hunter2hunter2", "does not begin with sk-"),
        ("openai", "sk-123", "too short"),
        ("gemini", OPENAI, "OpenAI"),
        ("gemini", "AIza12", "too short"),
    ],
)
def test_a_malformed_key_is_told_without_a_part_of_it(
    tmp_path: Path, provider: str, key: str, told: str
) -> None:
    variable = "OPENAI_API_KEY" if provider == "openai" else "GEMINI_API_KEY"
    [fault] = faults(tmp_path, LADDER.format(f'["{provider}"]'), **{variable: key}).values()
    assert fault.origin == variable
    assert told in fault.message
    bare = key.strip(" \n\"'")
    assert not [part for part in (bare, bare[:8], bare[-6:]) if part in str(fault)]


def test_the_server_of_somebody_else_may_have_keys_of_its_own(tmp_path: Path) -> None:
    text = (
        LADDER.format('["openai"]')
        + '[providers.openai]\nbase_url = "http://127.0.0.1:9/v1"\napi_key = "x"\n'
    )
    assert faults(tmp_path, text) == {}


def test_a_reference_to_a_key_that_is_not_there_is_told(tmp_path: Path) -> None:
    text = LADDER.format('["openai"]') + '[providers.openai]\napi_key = "env:MY_KEY"\n'
    [fault] = faults(tmp_path, text, OPENAI_API_KEY=OPENAI).values()
    assert "MY_KEY" in fault.message
    assert fault.origin.endswith("handset.toml")


@pytest.mark.parametrize(
    ("key", "near"),
    [("openai.modle", "model"), ("gemini.temprature", "temperature"), ("offline.sped", "speed")],
)
def test_an_unknown_key_of_a_provider_is_told_with_the_nearest(tmp_path: Path, key: str, near: str) -> None:
    provider, _, name = key.partition(".")
    [fault] = faults(tmp_path, f"[providers.{provider}]\n{name} = 1\n").values()
    assert fault.key == f"providers.{key}"
    assert fault.message == "unknown key"
    assert fault.hint == f"did you mean {near!r}?"
    assert fault.origin.endswith("handset.toml")


def test_a_value_that_the_provider_refuses_is_told(tmp_path: Path) -> None:
    [fault] = faults(tmp_path, '[providers.openai]\nturns = "remote"\n').values()
    assert fault.key == "providers.openai.turns"
    assert "'remote'" in fault.message


def test_a_section_of_an_unknown_provider_is_told_with_the_nearest(tmp_path: Path) -> None:
    found = faults(tmp_path, LADDER.format('["opnai"]') + "[providers.gemni]\n")
    assert found["conversation.providers"].hint == "did you mean 'openai'?"
    assert found["providers.gemni"].hint == "did you mean 'gemini'?"


CONTRACT = """
[providers.openai]
model = "gpt-realtime-2.1"
[providers.gemini]
voice = "Puck"
[providers.chain]
stt = "deepgram"
llm = "openai"
tts = "cartesia"
[providers.deepgram]
model = "nova-3"
api_key = "env:NOBODY_SET_THIS"
[providers.cartesia]
voice = "a-voice"
[providers.elevenlabs]
base_url = "https://127.0.0.1:8443"
[providers.offline]
"""


def test_every_table_that_is_promised_may_stand_there(tmp_path: Path) -> None:
    assert faults(tmp_path, CONTRACT) == {}


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


@pytest.mark.parametrize(
    "address",
    ["api.openai.com/v1", "ws://host/v1", "http://", "http://host:99999", "http://a b", "http://h:x"],
)
@pytest.mark.parametrize("provider", ["openai", "gemini", "gpt_live"])
def test_an_address_without_scheme_or_host_is_a_fault(tmp_path: Path, provider: str, address: str) -> None:
    [fault] = faults(tmp_path, f'[providers.{provider}]\nbase_url = "{address}"\n').values()
    assert fault.key == f"providers.{provider}.base_url"


def test_check_prints_the_faults_and_exits_with_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "handset.toml"
    path.write_text(LADDER.format('["openai"]'))
    monkeypatch.setenv("OPENAI_API_KEY", f"'{OPENAI}'")
    assert check(argparse.Namespace(config=str(path), json=True)) == 2
    printed = capsys.readouterr().out
    assert [fault["key"] for fault in json.loads(printed)["faults"]] == ["providers.openai.api_key"]
    assert OPENAI not in printed
    monkeypatch.setenv("OPENAI_API_KEY", OPENAI)
    assert check(argparse.Namespace(config=str(path), json=True)) == 0


# --- the chain ---

FREE = LADDER.format('["chain", "offline"]')


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


def test_the_daemon_starts_without_a_key_or_a_program_but_not_with_a_setting_that_cannot_be(
    tmp_path: Path,
) -> None:
    path = tmp_path / "handset.toml"
    path.write_text(LADDER.format('["openai", "chain"]') + '[providers.chain]\ntts = "piper"\n')
    assert usable(str(path)).configuration is not None
    path.write_text(LADDER.format('["openai", "offline"]') + '[providers.openai]\nturns = "lokal"\n')
    found = usable(str(path))
    assert found.configuration is None
    assert [fault.origin for fault in found.faults if fault.key == "providers.openai.turns"] == [str(path)]
    assert found.faults == check_providers(read(str(path))).faults
    path.write_text(path.read_text() + "[gpio]\nbutton = 99\n")
    assert usable(str(path)).faults == check_providers(read(str(path))).faults


# --- doctor ---


async def findings(cloud: FakeOpenAi, model: str = "") -> list[Finding]:
    """What `doctor` says of the provider."""
    section = {"base_url": cloud.base_url, "api_key": cloud.key, "model": model}
    configuration = Configuration.model_validate(
        {"conversation": {"providers": ["openai"]}, "providers": {"openai": section}}
    )
    [check] = [check for check in CHECKS if check.__name__ == "_provider"]
    async with asyncio.timeout(20):
        return await asyncio.to_thread(lambda: list(check(configuration)))


@pytest.mark.slow
async def test_doctor_dials_the_provider_and_says_what_refused() -> None:
    async with FakeOpenAi() as cloud:
        [fine] = await findings(cloud)
        assert fine.state == "ok"
        [unknown] = await findings(cloud, model="gpt-9")
        assert unknown.message.startswith("model or settings: ")
        cloud.reject_credentials(standing=True)
        [refused] = await findings(cloud)
        assert refused.state == "failed"
        assert refused.message.startswith("credentials: ")
        assert cloud.key not in refused.message


def test_a_refusal_names_who_refused() -> None:
    early = ssl.SSLCertVerificationError("certificate is not yet valid")
    early.verify_code, early.verify_message = 9, "certificate is not yet valid"

    def told(fault: BaseException) -> str:
        error = unreachable("openai", "api.openai.com", fault)
        if error is not fault:
            error.__cause__ = fault
        return refusal(error)[0].partition(":")[0]

    expected: dict[str, BaseException] = {
        "clock": early,
        "name resolution": socket.gaierror(-2, "Name or service not known"),
        "network": ConnectionRefusedError(),
        "credentials": CredentialsRejected("no"),
        "quota": QuotaExhausted("no"),
        "model or settings": SetupRejected("no"),
        "internal": ApplianceError("no"),
    }
    assert {name: told(fault) for name, fault in expected.items()} == {name: name for name in expected}


@pytest.mark.parametrize(
    "kind", [CredentialsRejected, QuotaExhausted, RateLimited, SetupRejected, ProviderUnavailable]
)
def test_each_refusal_has_a_remedy(kind: type[ApplianceError]) -> None:
    assert refusal(kind("no"))[1]
    assert refusal(kind("no", hint="do this"))[1] == "do this"


async def chain_findings(cloud: FakeOpenAiChat, **keys: Any) -> dict[str, Finding]:
    """What `doctor` says of a chain whose language model is `cloud`, by stage."""
    chain = {"stt": "pocketsphinx", "tts": ["piper", "espeak"], "llm_base_url": cloud.base_url, **keys}
    configuration = Configuration.model_validate(
        {"conversation": {"providers": ["chain", "offline"]}, "providers": {"chain": chain}}
    )
    [check] = [check for check in CHECKS if check.__name__ == "_provider"]
    async with asyncio.timeout(60):
        told = await asyncio.to_thread(lambda: list(check(configuration)))
    return {finding.check: finding for finding in told}


@pytest.mark.slow
async def test_doctor_asks_each_stage_of_a_chain_and_names_all_that_do_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    async with FakeOpenAiChat() as cloud:
        fine = await chain_findings(cloud, llm_api_key=cloud.key)
        assert fine["provider chain: llm openai"].state == "ok"
        assert fine["provider chain: stt pocketsphinx"].state == "ok"
        assert fine["provider piper"].state == "warning", "espeak speaks"
        refused = (await chain_findings(cloud, llm_api_key="another-key"))["provider chain: llm openai"]
        assert refused.state == "failed"
        assert refused.message.startswith("credentials: ")
        assert "check" not in refused.remedy
        assert "api_key in the configuration" in refused.remedy
        monkeypatch.setenv("MY_KEY", "another-key")
        refused = (await chain_findings(cloud, llm_api_key="env:MY_KEY"))["provider chain: llm openai"]
        assert refused.remedy.endswith("(this one: env:MY_KEY)")
    gone = (await chain_findings(cloud))["provider chain: llm openai"]
    assert gone.state == "failed"
    assert gone.message.startswith("network: ")
    assert gone.remedy


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
