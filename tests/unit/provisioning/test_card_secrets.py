"""In whatever way a secret is written on the card: once it is in force, the card does not have it any more."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from provisioning.effects import Effects
from provisioning.first_boot import Partition, provision
from provisioning.outcome import Outcome

NOW = datetime(2026, 11, 22, tzinfo=UTC)
XML = '<?xml version="1.0"?>\n'


def start(directory: Path, name: str, text: str) -> Outcome:
    (directory / "boot").mkdir()
    (directory / "boot" / name).write_text(text)
    return provision(Partition(directory / "boot"), Effects.on(directory / "root"), NOW, "salt")


def kept(directory: Path) -> list[str]:
    return sorted(path.read_text().strip() for path in directory.glob("root/etc/handset/secrets/*"))


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        pytest.param('sip = { server = "pbx", user = "47", password = "4711" }\n', "4711", id="braces"),
        pytest.param('[sip]\nserver = "pbx"\npassword = """\n4711"""\nuser = "47"\n', "4711", id="lines"),
        pytest.param(
            '[sip]\nserver = "pbx"\nuser = "47"\npassword = """hush\\\n 11"""\n', "hush11", id="joined"
        ),
        pytest.param(
            '[sip]\nserver = "pbx"\nuser = "47"\npassword = "hu\\u0073h-11"\n', "hush-11", id="escaped"
        ),
        pytest.param('[sip]\nserver = "pbx"\nuser = "47"\npassword = 4711\n', "4711", id="number"),
        pytest.param('"Kit" <sip:47@pbx.example.org>;auth_pass=4711;regint=600\n', "4711", id="baresip"),
        pytest.param('"Kit" <sip:47:4711@pbx.example.org>;regint=600\n', "4711", id="baresip-uri"),
        pytest.param('"Kit" <sip:47:hush%2611@pbx.example.org>\n', "hush&11", id="baresip-percent"),
        pytest.param("P271=1\nP47=pbx\nP35=47\nP36=47\nP34=4711\n", "4711", id="grandstream"),
        pytest.param(
            f"{XML}<settings><phone-settings>\n<user_name idx='1'>47</user_name>\n<user_host idx='1'>pbx</user_host>\n"
            "<user_pass idx='1'>hush&amp;&quot;11</user_pass>\n</phone-settings></settings>\n",
            'hush&"11',
            id="snom",
        ),
        pytest.param(
            f'{XML}<polycomConfig><reg reg.1.address="47" reg.1.auth.userId="47" reg.1.auth.password="4711"'
            ' reg.1.server.1.address="pbx"/></polycomConfig>\n',
            "4711",
            id="polycom",
        ),
    ],
)
def test_a_secret_in_force_is_gone_from_the_card_and_the_rest_of_the_settings_stands(tmp_path, text, secret):
    outcome = start(tmp_path, "handset.toml", text)
    assert not outcome.faults
    assert kept(tmp_path) == [secret]
    left = (tmp_path / "boot/handset.toml").read_text()
    assert len(left.encode()) == len(text.encode())
    assert not any(part in left for part in ("4711", "hush", "u0073h"))
    assert "47" in left


def test_a_file_whose_secret_cannot_be_found_in_its_text_goes_as_a_whole_and_that_is_told(tmp_path):
    point = 'access-points:\n        Home:\n          password: "a long\n            secret"\n'
    text = f"network:\n  wifis:\n    wlan0:\n      {point}"
    outcome = start(tmp_path, "network-config", text)
    left = (tmp_path / "boot/network-config").read_text()
    assert "secret" not in left
    assert len(left.encode()) == len(text.encode())
    assert any("as a whole" in note.message for note in outcome.notes)
    assert "a long secret" in next(tmp_path.rglob("*.nmconnection")).read_text()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("handset.toml", '[sip]\nserver = "47:hush-hush@pbx"\nuser = "47"\npassword = "x"\n'),
        ("handset.toml", '[sip]\nserver = "pbx"\nuser = "47"\npassword = "x"\nturn = "47:hush-hush@relay"\n'),
        ("handset.toml", '[mqtt]\nenabled = true\nserver = "47:hush-hush@broker"\n'),
        ("handset.toml", '[provisioning]\nurl = "https://47:hush-hush@pbx.example.org/"\n'),
        ("network-config", "network: {wifis: {wlan0: {access-points: {Home: {password: !hush-hush }}}}}\n"),
    ],
)
def test_a_fault_is_told_without_the_password_that_stands_in_it(tmp_path, name, text):
    outcome = start(tmp_path, name, text)
    assert outcome.faults
    assert "hush-hush" not in "".join(map(str, outcome.notes))
    assert "hush-hush" not in (tmp_path / "boot/handset-result.txt").read_text()


def test_an_address_with_a_zone_writes_no_lines_of_its_own_into_a_connection(tmp_path):
    text = 'network: {ethernets: {eth0: {addresses: ["fe80::1%a\\n[ipv4]\\nmethod=shared"]}}}\n'
    assert start(tmp_path, "network-config", text).faults
    assert not list(tmp_path.rglob("*.nmconnection"))
