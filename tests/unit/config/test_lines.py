"""Faults are told with the line that they stand in."""

import json
from pathlib import Path

import pytest

from appliance.cli import main
from appliance.config.lines import lines_of
from appliance.config.load import load
from appliance.config.rules import check_rules

FAULTY = """[room]
duplx = "full"

[conversation]
providers = [
  "opnai",
]
[sip]
enabled = true
server = "pbx.example.org"
transport = "pigeon"
[agents.assistant]
language = "no language"
[providers.openai]
modl = "x"
[providers.chain]
stt = "nobody"
"""


def test_lines_are_found_of_headings_and_of_dotted_and_quoted_keys():
    assert lines_of('[sip]\n"user" = 1\n\n[sip.accounts."a b"]\nserver = 2\ndevice.name = 3') == {
        "sip": 1, "sip.user": 2, "sip.accounts.a b": 4, "sip.accounts.a b.server": 5, "sip.accounts.a b.device.name": 6,
    }  # fmt: skip


def test_what_looks_like_a_heading_or_a_key_in_a_text_of_several_lines_is_none():
    text = (
        '[agents.a]\ninstructions = """Be\n[sip]\nvoice = 1\n"""\nvoice = "x"\ngreeting = """Hi."""\nuser = 1'
    )
    assert lines_of(text) == {
        "agents.a": 1, "agents.a.instructions": 2, "agents.a.voice": 6, "agents.a.greeting": 7, "agents.a.user": 8,
    }  # fmt: skip


def test_a_text_without_an_end_hides_nothing_that_follows():
    assert lines_of('a = """x\n[sip]\nuser = 1') == {"a": 1, "sip": 2, "sip.user": 3}


def test_check_tells_each_fault_with_file_and_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "handset.toml"
    file.write_text(FAULTY)
    assert main(["check", "--config", str(file)]) == 2
    told = [line.removeprefix("warning: ").split(": ") for line in capsys.readouterr().err.splitlines()]
    places = {key: place for place, key, *_ in told[:-1]}
    for key, line in {
        "room.duplx": 2, "conversation.providers": 5, "sip.user": 8, "sip.transport": 11,
        "agents.assistant.language": 13, "providers.openai.modl": 15, "providers.chain.stt": 17,
    }.items():  # fmt: skip
        assert places[key] == f"{file}:{line}"
    main(["check", "--config", str(file), "--json"])
    faults = json.loads(capsys.readouterr().out)["faults"]
    assert {fault["line"] for fault in faults if fault["key"] == "room.duplx"} == {2}


def test_of_several_files_it_is_the_line_of_the_one_that_counts_and_variables_have_none(
    tmp_path: Path,
) -> None:
    etc = tmp_path / "etc/handset"
    (etc / "conf.d").mkdir(parents=True)
    (etc / "handset.toml").write_text("[vad]\nstart_ms = 60\n")
    (etc / "conf.d/50-own.toml").write_text("# mine\n[vad]\n\nstart_ms = 6\n")
    loaded = check_rules(load(environ={"HANDSET_SIP__PORT": "x"}, root=tmp_path))
    told = {fault.key: (Path(fault.origin).name, fault.line) for fault in loaded.faults}
    assert told == {"vad.start_ms": ("50-own.toml", 4), "sip.port": ("HANDSET_SIP__PORT", 0)}


def test_what_is_not_toml_is_told_with_its_line_in_front(tmp_path: Path) -> None:
    file = tmp_path / "handset.toml"
    file.write_text("[room]\nenabled = yes\n")
    (fault,) = load(file, environ={}).faults
    assert str(fault).startswith(f"{file}:2: is not TOML: ")
