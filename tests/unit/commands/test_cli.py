import argparse
import subprocess
import sys

import pytest

from appliance import cli
from appliance.commands.address import find, parse
from appliance.errors import (
    ApplianceError,
    ConfigurationInvalid,
    Forbidden,
    LineBusy,
    NotPossible,
    NotRunning,
    RequestInvalid,
    UnknownName,
)


def leaves(parser, path=()):
    # argparse has no public way to walk a tree of parsers.
    below = [action.choices for action in vars(parser)["_actions"] if isinstance(action.choices, dict)]
    for choices in below:
        for name, child in choices.items():
            yield from leaves(child, (*path, name))
    if not below:
        yield path, parser


LEAVES = dict(leaves(cli.build()))


def test_the_verbs_are_those_of_the_contract():
    contract = """run check config talk doctor status say ask call answer hangup record reject hold resume transfer
        dtmf dnd mute volume tail pair setup update backup restore factory-reset provision fetch portal version"""
    audio = {("audio", "list"), ("audio", "test"), ("audio", "level"), ("audio", "calibrate")}
    assert set(LEAVES) == {(verb,) for verb in contract.split()} | audio


@pytest.mark.parametrize("path", sorted(LEAVES), ids=" ".join)
def test_every_help_has_an_example_that_parses(path, capsys):
    assert cli.main([*path, "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"example: handset {' '.join(path)}" in shown


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["rnu"], "did you mean 'run'?"),
        (["audio", "lst"], "did you mean 'list'?"),
        (["frobnicate"], "choose from"),
        ([], "VERB"),
        (["mute"], "state"),
        (["volume", "loud"], "0 to 100"),
        (["pair", "--scope", "amdin"], "did you mean 'admin'?"),
        (["status", "--jsn"], "--jsn"),
        (["pair", "--revoke", ""], "must not be empty"),
        (["pair", "--name", " "], "must not be empty"),
        (["ask", ""], "must not be empty"),
        (["call", ""], "must not be empty"),
    ],
)
def test_wrong_use_exits_with_2_and_says_what_is_wrong(words, told, capsys):
    assert cli.main(words) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotRunning("x"), 3),
        (Forbidden("x"), 4),
        (LineBusy("x"), 4),
        (ConfigurationInvalid("x"), 2),
        (RequestInvalid("x"), 2),
        (UnknownName("x"), 1),
        (NotPossible("x"), 1),
        (ApplianceError("x"), 1),
    ],
)
def test_an_error_has_its_exit_code(error, code):
    assert cli.exit_code(error) == code


@pytest.mark.slow
def test_a_client_verb_does_not_load_the_heavy_parts():
    script = (
        "import sys, appliance.cli, appliance.commands.lines;"
        "print([name for name in ('pydantic', 'numpy', 'segno', 'appliance.daemon') if name in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )


def test_the_version_is_a_verb_and_an_option(capsys):
    assert cli.main(["--version"]) == cli.main(["version"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == second


def given(**options):
    return argparse.Namespace(**{"address": None, "config": None, **options})


def test_the_address_is_looked_for_in_order(tmp_path):
    assert str(find(given(), {}, tmp_path)) == "ws://127.0.0.1:8765"
    directory = tmp_path / "etc/handset/conf.d"
    directory.mkdir(parents=True)
    (tmp_path / "etc/handset/handset.toml").write_text('[control]\nbind = "0.0.0.0"\nport = 1000\n')
    assert str(find(given(), {}, tmp_path)) == "ws://127.0.0.1:1000"
    (directory / "a.toml").write_text('[control]\nport = 1001\ntls_certificate = "/c.pem"\n')
    assert str(find(given(), {}, tmp_path)) == "wss://127.0.0.1:1001"
    assert str(find(given(), {"HANDSET_CONTROL__PORT": "1002"}, tmp_path)) == "wss://127.0.0.1:1002"
    assert str(find(given(), {"HANDSET_ADDRESS": "kiosk:1003"}, tmp_path)) == "ws://kiosk:1003"
    assert (
        str(find(given(address="wss://[::1]:1004"), {"HANDSET_ADDRESS": "x"}, tmp_path)) == "wss://[::1]:1004"
    )


@pytest.mark.parametrize("text", ["kiosk:port", "ftp://kiosk", "ws://", "kiosk:99999", "[::1"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(RequestInvalid):
        parse(text)


def test_a_port_that_is_none_is_refused():
    with pytest.raises(RequestInvalid):
        find(given(), {"HANDSET_CONTROL__PORT": "many"})


def test_the_hint_to_check_names_the_file_that_is_meant():
    fault = ConfigurationInvalid("it is wrong")
    assert (
        cli.hint_of(fault, argparse.Namespace(config="my file.toml"))
        == "run: handset check --config 'my file.toml'"
    )
    assert cli.hint_of(fault, argparse.Namespace(config=None)) == "run: handset check"
    assert cli.hint_of(NotRunning("no"), argparse.Namespace(config="my.toml")) == NotRunning.default_hint
