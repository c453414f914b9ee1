"""`check` names what is wrong with a provider's section, and never shows a key."""

import argparse
import json
from pathlib import Path

import pytest

from appliance.config.check import check, read, usable
from appliance.config.providers import check_providers
from tests.unit.config.sections import GOOGLE, LADDER, OPENAI, faults


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
