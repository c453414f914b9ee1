"""Faults in files on the boot partition: each told with its line and remedy, and the good part in force."""

import json

import pytest

from provisioning.draft import LONGEST
from tests.rig.boot_card import Card

PLACEHOLDERS = """[sip]
enabled = true
server = "pbx.example.org"
user = "201"
password = "..."
[sip.accounts.door]
server = "door.example.org"
user = "202"
password = "hush-hush"
[providers.openai]
api_key = "sk-..."
[wlan]
ssid = "home"
password = "your password here"
[contacts]
bob = "12"
"""


@pytest.fixture
def card(tmp_path):
    return Card(tmp_path)


FAULTY = """[device]
name = "Kitchen"
[sip]
server = "pbx.example.org"
user = "201"
password = "hush-hush"
transport = "pigeon"
[wlan]
ssid = "home"
password = "short"
[room
mode = "opened"
[contacts]
bob = "12"
"""


LACKING = """[sip]
enabled = true
server = "pbx.example.org"
user = "201"
transport = "tpc"
"""


def test_of_a_file_with_faults_the_good_part_is_in_force_and_each_fault_is_told_with_line_and_remedy(card):
    outcome = card.put(settings=FAULTY).start()
    told = {(fault.file, fault.line, fault.key) for fault in outcome.faults}
    assert told == {
        ("handset.toml", 7, "sip.transport"), ("handset.toml", 10, "wlan.password"), ("handset.toml", 11, ""),
    }  # fmt: skip
    assert card.configuration.contacts == {"bob": "12"}
    assert (card.configuration.sip.server, card.configuration.sip.transport) == ("pbx.example.org", "udp")
    result = (card.boot / "handset-result.txt").read_bytes().decode()
    assert "line 10: wlan.password: it has 5 characters (a Wi-Fi password has 8 to 63)\r\n" in result
    text = (card.boot / "handset.toml").read_text()
    assert '"short"' in text  # it is not in force, and has to be corrected there
    assert "hush-hush" not in text


def test_what_keeps_the_place_of_a_secret_is_told_and_what_does_not_need_it_is_in_force(card):
    outcome = card.put(settings=PLACEHOLDERS).start()
    assert [(fault.line, fault.key) for fault in outcome.faults] == [
        (14, "wlan.password"), (5, "sip.password"), (11, "providers.openai.api_key"),
    ]  # fmt: skip
    result = (card.boot / "handset-result.txt").read_text()
    told = "this stands for a secret, and is none (put the real key in its place, or take the line out)"
    assert f"handset.toml, line 11: providers.openai.api_key: {told}" in result
    configuration = card.configuration
    assert configuration.contacts == {"bob": "12"}
    assert (configuration.sip.server, configuration.sip.accounts["door"].server) == ("", "door.example.org")
    assert configuration.conversation.providers == ("offline",)
    assert not list((card.root / "etc").glob("NetworkManager/system-connections/*"))

    card.put(settings=PLACEHOLDERS.replace('"..."', '"hush"').replace("your password here", "long enough"))
    assert [fault.key for fault in card.start().faults] == ["providers.openai.api_key"]
    assert card.configuration.sip.server == "pbx.example.org"
    assert list((card.root / "etc").glob("NetworkManager/system-connections/*"))


def test_of_an_account_without_a_password_the_other_faults_are_told_too_and_it_counts_as_not_taken(card):
    outcome = card.put(settings=LACKING).start()
    assert {(fault.line, fault.key) for fault in outcome.faults} == {
        (3, "sip.password"),
        (5, "sip.transport"),
    }
    assert card.configuration.sip.server == ""
    assert outcome.taken == ["the settings of sip"]


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("settings", '[locale]\ntimezone = "Europe/Nowhere"\n', 2),
        ("user_data", "#cloud-config\nhostname: hall\ntimezone: Europe/Nowhere\n", 3),
    ],
)
def test_a_time_zone_that_there_is_not_is_told_and_not_taken(card, name, text, line):
    zones = card.root / "usr/share/zoneinfo/Europe"
    zones.mkdir(parents=True)
    (zones / "Vienna").touch()
    outcome = card.put(**{name: text}).start()
    (fault,) = outcome.faults
    assert (fault.key, fault.line, bool(fault.file)) == ("locale.timezone", line, True)
    assert not (card.root / "etc/localtime").is_symlink()
    outcome = card.put(**{name: text.replace("Nowhere", "Vienna")}).start()
    assert not outcome.faults
    assert (card.root / "etc/localtime").is_symlink()


def test_what_the_daemon_is_told_holds_the_sentence_and_no_secret(card):
    card.put(settings=FAULTY).start()
    told = json.loads((card.root / "run/handset-provisioned.json").read_text())
    assert not told["ok"]
    assert told["sentence"].startswith("3 things are wrong with the settings on my card, first in line 11")
    assert "hush-hush" not in json.dumps(told)


@pytest.mark.parametrize(
    ("name", "text", "line", "part"),
    [
        ("user_data", "#cloud-config\nhostname: 'a\nusers:\n  - x\n", 5, "not YAML"),
        ("user_data", "a: &x [1]\nb: *x\n", 2, "alias"),
        ("user_data", "- just\n- a list\n", 1, "no settings"),
        ("user_data", "hostname: my_pi!\n", 1, "cannot be used"),
        ("user_data", "users:\n- name: root\n", 1, "nobody can be called"),
        ("user_data", "users:\n- name: pi\n  plain_text_passwd: raspberry\n", 1, "everybody knows"),
        (
            "network_config",
            "network:\n  wifis:\n    wlan0:\n      access-points:\n        x: {password: '1'}\n",
            1,
            "1 char",
        ),
        ("settings", "\x00\x01", 1, "not TOML"),
        ("settings", "[wlan]\nssid = 5\n", 2, "should be text"),
        ("settings", "[user]\nname = 'anna'\npasword = 'x'\n", 3, "unknown key"),
        ("settings", "[ssh]\nauthorized_keys = ['hello']\n[user]\nname = 'anna'\n", 2, "no SSH key"),
    ],
)
def test_faults_of_each_file_have_their_line(card, name, text, line, part):
    outcome = card.put(**{name: text}).start()
    assert any(
        part in fault.message and fault.line == line and fault.hint is not None for fault in outcome.faults
    ), [(fault.line, fault.message) for fault in outcome.faults]


def test_a_file_that_is_no_text_is_told(card):
    (card.boot / "handset.toml").write_bytes(b"\xff\xfe[\x00d\x00")
    outcome = card.start()
    assert [(fault.file, fault.message) for fault in outcome.faults] == [("handset.toml", "is not text")]


def test_a_file_that_is_too_long_is_told_and_left_whole(card):
    text = '[sip]\nserver = "pbx.example.org"\nuser = "201"\npassword = "hush-hush"\n'
    filled = text + "#" * (LONGEST - len(text))
    outcome = card.put(settings=filled, user_data=filled + "#").start()
    assert [(fault.file, fault.message) for fault in outcome.faults] == [("user-data", "is too long")]
    assert (card.boot / "user-data").read_text() == filled + "#"
    assert card.sip_password() == "hush-hush"
