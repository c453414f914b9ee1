"""The configuration tells every fault at once, with its origin and a remedy."""

import argparse
import os
from pathlib import Path

import pytest
from pydantic import SecretStr

from appliance.commands.address import find
from appliance.config.check import _toml, show
from appliance.config.files import CHECKOUT
from appliance.config.load import load
from appliance.config.rules import check_rules
from appliance.config.secrets import reveal
from appliance.errors import ConfigurationInvalid

TEN_FAULTS = """
[room]
enabled = "perhaps"
mode = "opened"
duplx = "auto"
[vad]
aggressiveness = 7
[conversation]
providers = []
max_sesions = 4
[sip]
port = 99999
srtp = "on"
[contrl]
port = 1
[agents.assistant]
tools = "time"
"""


def write(directory: Path, text: str, name: str = "handset.toml") -> Path:
    path = directory / name
    path.write_text(text)
    return path


def test_no_file_at_all_gives_the_defaults(tmp_path: Path) -> None:
    loaded = load(environ={}, root=tmp_path)
    assert loaded.faults == ()
    assert loaded.require().control.port == 8765
    assert loaded.require().conversation.providers == ("offline",)


def test_ten_faults_are_told_at_once_with_file_key_and_suggestion(
    tmp_path: Path,
) -> None:
    path = write(tmp_path, TEN_FAULTS)
    loaded = load(path, environ={})
    assert loaded.configuration is None
    told = {fault.key: fault for fault in loaded.faults}
    assert set(told) == {
        "room.enabled", "room.mode", "room.duplx", "vad.aggressiveness", "conversation.providers",
        "conversation.max_sesions", "sip.port", "sip.srtp", "contrl", "agents.assistant.tools",
    }  # fmt: skip
    assert all(fault.origin == str(path) for fault in loaded.faults)
    assert "did you mean 'duplex'?" in told["room.duplx"].hint
    assert "did you mean 'max_sessions'?" in told["conversation.max_sesions"].hint
    assert "did you mean 'control'?" in told["contrl"].hint
    assert "did you mean 'open'?" in told["room.mode"].hint


def test_a_file_that_is_not_toml_is_told_with_its_line(tmp_path: Path) -> None:
    loaded = load(write(tmp_path, "[room]\nenabled = yes\n"), environ={})
    assert "line 2" in loaded.faults[0].message


def test_a_missing_file_is_a_fault_and_not_a_traceback(tmp_path: Path) -> None:
    loaded = load(tmp_path / "none.toml", environ={})
    assert "no such file" in loaded.faults[0].message


def test_later_layers_win_and_each_value_knows_its_origin(tmp_path: Path) -> None:
    etc = tmp_path / "etc/handset"
    (etc / "conf.d").mkdir(parents=True)
    write(etc, '[device]\nname = "shop"\n[control]\nport = 1000\n')
    write(etc / "conf.d", "[control]\nport = 2000\n", "10-port.toml")
    loaded = load(
        environ={"HANDSET_SIP__USER": "0100", "HANDSET_SIP__ALLOW": '["10.0.0.1"]'},
        root=tmp_path,
    )
    configuration = loaded.require()
    assert (configuration.device.name, configuration.control.port) == ("shop", 2000)
    assert configuration.sip.user == "0100"
    assert configuration.sip.allow == ("10.0.0.1",)
    assert loaded.origins["control.port"].endswith("conf.d/10-port.toml")
    assert loaded.origins["sip.user"] == "HANDSET_SIP__USER"


def test_an_agent_of_ones_own_stands_beside_the_built_in_one(tmp_path: Path) -> None:
    loaded = load(write(tmp_path, '[agents.porter]\ngreeting = "Hello"\n'), environ={})
    assert set(loaded.require().agents) == {"assistant", "porter"}


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[conversation]\nagent = "assistent"', "conversation.agent"),
        ('[room]\nmode = "wake-word"\n[wake_word]\nstop_words = ["hey_jarvsi"]', "wake_word.stop_words"),
        ('[control]\nbind = "0.0.0.0"', "control.bind"),
        ('[control]\ntls_certificate = "x.pem"', "control.tls_key"),
        ('[sip]\nenabled = true\nallow = ["here"]', "sip.allow"),
        ('[sip]\nallow = ["here"]', "sip.allow"),
        ('[sip]\nenabeld = true\nbind = "nonsense"', "sip.bind"),
        ('[sip]\nserver = "pbx.example.org:99999"\nuser = "1"', "sip.server"),
        ('[sip]\noutbound_proxy = ["h:99999"]', "sip.outbound_proxy"),
        ('[sip]\nstun = ["h:0"]', "sip.stun"),
        ('[sip]\nenabled = true\ncodecs = ["G729"]', "sip.codecs"),
        ('[sip]\nenabled = true\nrtp_ports = "5-9"', "sip.rtp_ports"),
        (
            '[sip]\nenabled = true\nserver = "sip:pbx"\nuser = "1"\npassword = "x"',
            "sip.server",
        ),
        ('[sip]\nenabled = true\nserver = "pbx"\nuser = "sip:201@pbx"\npassword = "x"', "sip.user"),
        (
            '[sip]\nenabled = true\nserver = "pbx"\nuser = "1"\npassword = "env:NOT_THERE_AT_ALL"',
            "sip.password",
        ),
    ],
)
def test_settings_that_make_no_sense_together_are_faults(tmp_path: Path, text: str, key: str) -> None:
    loaded = check_rules(load(write(tmp_path, text), environ={}))
    assert key in [fault.key for fault in loaded.faults]


def test_a_stop_word_is_a_model_or_a_phrase(tmp_path: Path) -> None:
    text = '[room]\nmode = "wake-word"\n[wake_word]\nstop_words = ["stop", "be quiet", "hey_jarvis"]'
    assert not check_rules(load(write(tmp_path, text), environ={})).faults


def test_a_secret_comes_from_where_its_reference_points(tmp_path: Path) -> None:
    (tmp_path / "sip").write_text("wonderland\n")
    (tmp_path / "sip").chmod(0o600)
    assert reveal(SecretStr("plain")) == "plain"
    assert reveal(SecretStr("env:KEY"), {"KEY": "k"}) == "k"
    assert reveal(SecretStr("credential:sip"), {"CREDENTIALS_DIRECTORY": str(tmp_path)}) == "wonderland"
    assert reveal(SecretStr(f"file:{tmp_path}/sip")) == "wonderland"


def test_a_credential_that_systemd_imported_by_pattern_keeps_its_prefix(tmp_path: Path) -> None:
    (tmp_path / "handset.sip").write_text("wonderland\n")
    assert reveal(SecretStr("credential:sip"), {"CREDENTIALS_DIRECTORY": str(tmp_path)}) == "wonderland"


def test_a_credential_that_is_not_there_says_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationInvalid) as raised:
        reveal(SecretStr("credential:sip"), {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert "/etc/credstore/handset.sip" in raised.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look everywhere")
def test_a_directory_of_credentials_that_is_closed_has_none(tmp_path: Path) -> None:
    tmp_path.chmod(0)
    with pytest.raises(ConfigurationInvalid, match="not there"):
        reveal(SecretStr("credential:sip"), {"CREDENTIALS_DIRECTORY": str(tmp_path)})


def test_a_secret_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sip").write_text("wonderland")
    (tmp_path / "sip").chmod(0o644)
    with pytest.raises(ConfigurationInvalid, match="others"):
        reveal(SecretStr(f"file:{tmp_path}/sip"))


def test_secrets_are_masked_and_references_are_shown() -> None:
    assert _toml(SecretStr("wonderland")) == '"********"'
    assert _toml(SecretStr("credential:sip")) == '"credential:sip"'


def test_a_wrong_secret_value_is_not_shown_in_its_fault(tmp_path: Path) -> None:
    loaded = load(write(tmp_path, "[sip]\npassword = true\n"), environ={})
    assert "True" not in str(loaded.faults[0])


def test_what_the_rules_find_is_told_together_with_wrong_types(tmp_path: Path) -> None:
    text = '[vad]\naggressiveness = 7\n[sip]\npasswrd = "y"\nenabled = true\nserver = "a b"\nuser = "1"\n'
    loaded = check_rules(load(write(tmp_path, text)))
    assert {"vad.aggressiveness", "sip.server"} <= {fault.key for fault in loaded.faults}
    assert loaded.configuration is None


def test_a_list_entry_or_section_of_the_wrong_kind_does_not_hide_the_rest(tmp_path: Path) -> None:
    text = 'device = 3\n[sip]\ncodecs = [1.5, {}]\n[control]\nbind = "0.0.0.0"\n[agents]\nx = 1\n'
    loaded = check_rules(load(write(tmp_path, text)))
    assert {"device", "agents.x", "control.bind"} <= {fault.key for fault in loaded.faults}


def test_a_certificate_that_is_none_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "x.pem").write_text("x")
    text = f'[control]\ntls_certificate = "{tmp_path}/x.pem"\ntls_key = "{tmp_path}/x.pem"\n'
    loaded = check_rules(load(write(tmp_path, text)))
    assert "control.tls_certificate" in {fault.key for fault in loaded.faults}


def test_a_secret_that_only_its_provider_knows_is_masked_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, '[providers.x]\nvoice_token = "hunter2"\nname = "seen"\n')
    wanted = argparse.Namespace(config=str(path))
    show(wanted)
    shown = capsys.readouterr().out
    assert "hunter2" not in shown
    assert '"seen"' in shown


def checkout(root: Path, **files: str) -> Path:
    """A root directory whose files include those of the checkout."""
    place = root / CHECKOUT.relative_to("/")
    place.mkdir(parents=True)
    for name, text in files.items():
        write(place, text, f"{name}.toml")
    return place


def test_a_checkout_has_defaults_of_its_own_and_its_users_settings_beside_them(tmp_path: Path) -> None:
    place = checkout(
        tmp_path, checkout=(CHECKOUT / "checkout.toml").read_text(), handset="[sip]\nport = 5070\n"
    )
    loaded = load(environ={}, root=tmp_path)
    assert loaded.require().storage.directory == place / ".state"
    assert loaded.require().sip.enabled
    assert loaded.require().sip.port == 5070
    assert loaded.origins["sip.enabled"] == str(place / "checkout.toml")
    assert loaded.origins["sip.port"] == str(place / "handset.toml")


def test_the_client_verbs_find_the_daemon_of_the_checkout(tmp_path: Path) -> None:
    checkout(tmp_path, checkout="", handset="[control]\nport = 8799\n")
    assert find(argparse.Namespace(address=None, config=None), {}, tmp_path).port == 8799


def test_an_installed_appliance_does_not_read_what_lies_beside_its_packages(tmp_path: Path) -> None:
    checkout(tmp_path, handset="[sip]\nenabled = true\n")
    assert not load(environ={}, root=tmp_path).require().sip.enabled


def test_config_stands_in_for_the_files_of_a_checkout_too(tmp_path: Path) -> None:
    checkout(tmp_path, checkout="[sip]\nenabled = true\n")
    loaded = load(write(tmp_path, "[sip]\nport = 5070\n"), environ={}, root=tmp_path).require()
    assert not loaded.sip.enabled
    assert loaded.storage.directory == Path("/var/lib/handset")


def test_a_relative_directory_counts_from_the_file_that_names_it(tmp_path: Path) -> None:
    path = write(tmp_path, '[storage]\ndirectory = "state"\n[recording]\ndirectory = "calls"\n')
    configuration = load(path, environ={}).require()
    assert configuration.storage.directory == tmp_path / "state"
    assert configuration.recording.directory == str(tmp_path / "calls")


def test_a_relative_directory_in_a_variable_is_a_fault() -> None:
    loaded = check_rules(load(environ={"HANDSET_STORAGE__DIRECTORY": "state"}))
    assert [(fault.origin, fault.key) for fault in loaded.faults] == [
        ("HANDSET_STORAGE__DIRECTORY", "storage.directory")
    ]


def test_a_secret_file_that_is_missing_is_told_in_words_with_the_way_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationInvalid, match="there is no such file") as caught:
        reveal(SecretStr(f"file:{tmp_path}/sip"))
    assert "Errno" not in caught.value.message
    assert "install -D -m 600" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[contacts]\nkitchen = ""', "contacts.kitchen"),
        ('[contacts]\nkitchen = "not a number at all"', "contacts.kitchen"),
        ("[gpio]\nbutton = 99", "gpio.button"),
        ("[gpio]\nhook = 17", "gpio.hook"),
        ("[gpio]\nknob_a = 5", "gpio.knob_b"),
        ("[gpio]\nlong_ms = 3000\nvery_long_ms = 6000", "gpio.very_long_ms"),
        ("[gpio]\nactive_low = false\nbutton = 2", "gpio.button"),
        ('[gpio]\nring = "apa102"\nmute = 10', "gpio.mute"),
        ('[gpio]\ndriver = "gpiozeros"', "gpio.driver"),
        ('[gpio]\ninverted = ["hock"]', "gpio.inverted.0"),
        ('[storage]\ndirectory = "/proc/x"', "storage.directory"),
        ('[recording]\ndirectory = "handset.toml/calls"', "recording.directory"),
    ],
)
def test_what_could_not_work_is_a_fault_of_its_own_key(tmp_path: Path, text: str, key: str) -> None:
    path = write(tmp_path, f"{text}\n")
    [fault] = check_rules(load(path, environ={})).faults
    assert (fault.key, fault.origin) == (key, str(path))
    assert fault.hint


def test_all_that_can_be_called_may_be_a_contact(tmp_path: Path) -> None:
    numbers = [
        "210",
        "+49 (0)30 123-45",
        "*43#",
        "reception",
        "sip:desk@pbx.example",
        "SIPS:a@b:5061",
        "bob@host",
    ]
    text = "[contacts]\n" + "".join(f'c{at} = "{number}"\n' for at, number in enumerate(numbers))
    assert check_rules(load(write(tmp_path, text), environ={})).faults == ()


def test_two_switches_without_a_pin_do_not_share_one(tmp_path: Path) -> None:
    text = "[gpio]\nbutton = 0\nhook = 0\nmute = 22\n"
    assert check_rules(load(write(tmp_path, text), environ={})).faults == ()


def test_of_a_provider_what_is_in_force_is_shown_and_no_key_that_it_does_not_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = '[providers.chain]\nllm_model = "qwen3"\n[providers.offline]\npitch = 60\n'
    text += '[providers.deepgram]\nstt_model = "x"\n'
    path = write(tmp_path, text)
    show(argparse.Namespace(config=str(path)))
    _, _, shown = capsys.readouterr().out.partition("[providers.chain]")
    chain, _, rest = shown.partition("[providers.offline]")
    offline, _, deepgram = rest.partition("[providers.deepgram]")
    assert _keys(chain) == ["stt", "llm", "tts", "turns", "keywords", "context_characters", "llm_model"]
    assert _keys(offline) == ["voice", "speed", "pitch", "language"]
    assert "speed = 160  # default" in offline
    assert f"pitch = 60  # {path}" in offline
    assert _keys(deepgram.partition("\n[")[0]) == ["stt_model"]


def _keys(shown: str) -> list[str]:
    return [line.partition(" =")[0] for line in shown.split("\n") if line.strip()]


@pytest.mark.parametrize("language", ["xx", "english!", "deutsch-sprache"])
def test_a_language_that_is_none_is_a_fault(tmp_path: Path, language: str) -> None:
    path = write(tmp_path, f'[agents.assistant]\nlanguage = "{language}"\n')
    [fault] = check_rules(load(path, environ={})).faults
    assert (fault.key, fault.hint) == ("agents.assistant.language", 'for example "en" or "de-AT"')


@pytest.mark.parametrize("language", ["", "en", "de-AT", "zh-Hans-CN", "yue", "multi", "PT-br"])
def test_a_language_is_taken_as_services_write_it(tmp_path: Path, language: str) -> None:
    path = write(tmp_path, f'[agents.assistant]\nlanguage = "{language}"\n')
    assert check_rules(load(path, environ={})).faults == ()


def test_a_secrets_file_counts_from_the_file_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    key = write(tmp_path / "keys", "s3cret\n", "openai")
    key.chmod(0o600)
    text = '[providers.openai]\napi_key = "file:keys/openai"\nllm_api_key = "file:/etc/x"\nvoice = "file:v"\n'
    section = load(write(tmp_path, text), environ={}).require().providers["openai"]
    assert reveal(section.api_key) == "s3cret"
    assert section.model_dump()["llm_api_key"] == "file:/etc/x"
    assert section.voice == "file:v"


def test_a_directory_of_models_counts_from_the_file_that_names_it(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
[providers.whisper]
model_directory = "models/whisper"
[providers.chain]
stt_model_directory = "~/whisper"
""",
    )
    providers = load(path, environ={}).require().providers
    assert providers["whisper"].model_dump()["model_directory"] == str(tmp_path / "models/whisper")
    assert providers["chain"].model_dump()["stt_model_directory"] == "~/whisper"


ONE_FAULT_EACH = [
    ('[sip]\nserver = "pbx.example.org"\n', "sip.user"),
    ('[sip]\nserver = "pbx.example.org"\nuser = "100"\n', "sip.password"),
]


@pytest.mark.parametrize(("text", "key"), ONE_FAULT_EACH)
def test_a_key_that_is_missing_is_a_fault_of_the_file_that_makes_it_needed(
    tmp_path: Path, text: str, key: str
) -> None:
    (tmp_path / "etc/handset/conf.d").mkdir(parents=True)
    write(tmp_path / "etc/handset", "[sip]\nenabled = true\n")
    own = write(tmp_path / "etc/handset/conf.d", text)
    faults = check_rules(load(environ={}, root=tmp_path)).faults
    assert (str(own), key) in {(fault.origin, fault.key) for fault in faults}
    assert {fault.origin for fault in faults} == {str(own)}


def test_a_server_that_is_none_is_one_fault(tmp_path: Path) -> None:
    text = '[sip]\nenabled = true\n[sip.accounts.sales]\nuser = "1"\npassword = "x"\n'
    faults = check_rules(load(write(tmp_path, text), environ={})).faults
    assert [fault.key for fault in faults] == ["sip.accounts.sales.server"]
