"""Further SIP accounts: what they inherit, what is faulty, and what a reload may change."""

import argparse
from pathlib import Path

import pytest
from pydantic import SecretStr

from appliance.config.accounts import open_keys, over_tls, plain, reloadable, switched_off, without_password
from appliance.config.check import check
from appliance.config.load import load
from appliance.config.rules import MAX_ACCOUNTS, check_rules
from appliance.config.schema import Sip, SipAccount

TWO = """
[sip]
enabled = true
server = "pbx"
user = "100"
password = "one"
transport = "tcp"
display_name = "Desk"
outbound_proxy = ["edge"]
[sip.accounts.sales]
server = "carrier"
user = "4711"
password = "two"
expiry = 60
"""


def faults(path: Path, text: str) -> dict[str, str]:
    (path / "handset.toml").write_text(text)
    return {fault.key: fault.message for fault in check_rules(load(path / "handset.toml", {})).faults}


def sip(path: Path, text: str) -> Sip:
    (path / "handset.toml").write_text(text)
    return load(path / "handset.toml", {}).require().sip


def test_an_account_has_its_own_keys_and_the_section_s_for_the_rest(tmp_path: Path) -> None:
    account = sip(tmp_path, TWO).of("sales")
    assert (account.server, account.user, account.expiry) == ("carrier", "4711", 60)
    assert (account.transport, account.display_name, account.outbound_proxy) == ("tcp", "Desk", ())


def test_the_telephone_is_told_all_keys_of_each_account(tmp_path: Path) -> None:
    told = plain(sip(tmp_path, TWO))
    assert (told["server"], told["password"]) == ("pbx", "one")
    assert told["accounts"]["sales"]["password"] == "two"
    assert told["accounts"]["sales"]["codecs"] == told["codecs"]


def test_a_sound_configuration_has_no_fault(tmp_path: Path) -> None:
    assert faults(tmp_path, TWO) == {}


@pytest.mark.parametrize(
    ("addition", "key"),
    [
        ("usr = 'x'", "sip.accounts.sales.usr"),
        ("agent = 'nobody'", "sip.accounts.sales.agent"),
        ("ca = '/no/such/file'", "sip.accounts.sales.ca"),
        ("turn = 'not a host'", "sip.accounts.sales.turn"),
        ("turn = 'relay'\nturn_password = 'env:NOT_SET'", "sip.accounts.sales.turn_password"),
        ("[sip.accounts.empty]\nuser = 'a'\npassword = 'b'", "sip.accounts.empty.server"),
        ("[sip.accounts.nopass]\nserver = 'a'\nuser = 'b'", "sip.accounts.nopass.password"),
        ("[sip.accounts.'a b']\nserver = 'a'\nuser = 'b'\npassword = 'c'", "sip.accounts.a b"),
        ("[sip.accounts.default]\nserver = 'a'\nuser = 'b'\npassword = 'c'", "sip.accounts.default"),
    ],
)
def test_a_fault_is_named_by_its_account(tmp_path: Path, addition: str, key: str) -> None:
    assert list(faults(tmp_path, TWO + addition)) == [key]


def test_there_is_a_limit(tmp_path: Path) -> None:
    table = "[sip.accounts.n{0}]\nserver = 'a'\nuser = 'u{0}'\npassword = 'c'\n"
    assert faults(tmp_path, TWO + "".join(table.format(n) for n in range(MAX_ACCOUNTS - 2))) == {}
    assert list(faults(tmp_path, TWO + "".join(table.format(n) for n in range(MAX_ACCOUNTS - 1)))) == [
        "sip.accounts"
    ]


def test_accounts_may_change_while_it_runs_and_ports_may_not(tmp_path: Path) -> None:
    before = sip(tmp_path, TWO)
    assert reloadable(before, sip(tmp_path, TWO.replace("4711", "4712").replace("one", "new")))
    assert not reloadable(before, sip(tmp_path, TWO.replace("enabled = true", "enabled = true\nport = 5070")))


def test_keys_of_srtp_that_travel_in_plain_text_are_told_once_at_the_account_that_says_so():
    accounts = {"a": SipAccount(server="a"), "b": SipAccount(server="b", transport="tls")}
    accounts["c"] = SipAccount(server="c", srtp="optional")
    sip = Sip(enabled=True, srtp="mandatory", transport="udp", accounts=accounts)
    assert [key for key, _, _ in open_keys(sip)] == ["sip.srtp", "sip.accounts.c.srtp"]
    assert list(open_keys(Sip(enabled=True, srtp="mandatory", transport="tls"))) == []
    assert list(open_keys(Sip(enabled=True, transport="udp"))) == []


def test_accounts_without_a_password_are_told_and_so_are_those_over_tls():
    accounts = {
        "a": SipAccount(server="a", password=SecretStr("x")),
        "b": SipAccount(server="b", transport="tls"),
    }
    sip = Sip(enabled=True, server="pbx", user="201", password=SecretStr(""), accounts=accounts)
    assert [(key, hint.split(",")[0]) for key, _, hint in without_password(sip)] == [
        ("sip.password", 'password = "credential:sip"'),
    ]
    assert over_tls(sip) == ["sip.accounts.b.transport"]
    assert over_tls(sip.model_copy(update={"force_old_tls": True})) == []
    assert over_tls(Sip(enabled=True, server="pbx", transport="tls")) == ["sip.transport"]
    assert over_tls(Sip(server="pbx", transport="tls")) == [], "the line is switched off"


def test_an_account_of_a_telephone_that_is_off_is_told():
    assert [key for key, _, _ in switched_off(Sip(server="pbx", user="201"))] == ["sip.enabled"]
    assert [key for key, _, _ in switched_off(Sip(accounts={"a": SipAccount(server="a")}))] == ["sip.enabled"]
    assert list(switched_off(Sip())) == []
    assert list(switched_off(Sip(enabled=True, server="pbx"))) == []


def test_a_key_that_holds_for_all_accounts_is_told_where_it_belongs(tmp_path: Path, capsys) -> None:
    path = tmp_path / "handset.toml"
    path.write_text('[sip.accounts.b]\nserver = "pbx"\nuser = "2"\nport = 5070\ndial_time = 20\nusr = 1\n')
    assert check(argparse.Namespace(config=str(path), json=False)) == 2
    told = capsys.readouterr().err
    assert (
        "sip.accounts.b.port: unknown key (port holds for all accounts: set it in [sip]; the server's port"
        in told
    )
    assert "dial_time holds for all accounts: set it in [sip])" in told
    assert "did you mean" in told


def test_check_warns_of_them_and_finds_no_fault(tmp_path, capsys):
    path = tmp_path / "handset.toml"
    path.write_text('[sip]\nenabled = true\nsrtp = "optional"\n[conversation]\nproviders = ["offline"]\n')
    assert check(argparse.Namespace(config=str(path), json=False)) == 0
    told = capsys.readouterr().err
    assert f"warning: {path}:3: sip.srtp: with transport udp" in told
