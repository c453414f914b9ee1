"""A start with files on the boot partition: the good part in force, the faults told, the secrets gone from the card."""

import errno
import os
import stat
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provisioning import cloud_init
from provisioning.actions import Run
from provisioning.outcome import Outcome, sentence
from provisioning.scrub import is_taken_over, scrubbed
from provisioning.toml_text import dump
from tests.rig.boot_card import Card

HASH = "$5$abcdefgh$T.XTAh8iyIhSIMAjN1jGBNI5nCRdEg4q8Ua0HVqMS9/"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1u0vFbqmtzTeFmTvNy6oKcLqTg0qPgOgM8rM0e3t7B anna@laptop"
USER_DATA = f"""#cloud-config
hostname: kitchen-pi
manage_etc_hosts: true
timezone: Europe/Vienna
keyboard:
  model: pc105
  layout: "de"
users:
- name: anna
  groups: users,adm
  lock_passwd: false
  passwd: {HASH}
  ssh_authorized_keys:
    - {KEY}
  sudo: ALL=(ALL) NOPASSWD:ALL
ssh_pwauth: true
runcmd:
- [ rfkill, unblock, wifi ]
"""
NETWORK = """network:
  version: 2
  wifis:
    renderer: networkd
    wlan0:
      dhcp4: true
      regulatory-domain: "AT"
      access-points:
        "Home net":
          password: "a secret passphrase"
      optional: true
"""
SETTINGS = """[device]
name = "Kitchen"
[sip]
enabled = true
server = "pbx.example.org"
user = "201"
password = "hush-hush"
"""


@pytest.fixture
def card(tmp_path):
    return Card(tmp_path)


def test_what_imager_writes_and_our_own_file_are_carried_out_and_the_card_keeps_no_secret(card):
    outcome = card.put(user_data=USER_DATA, network_config=NETWORK, settings=SETTINGS).start()
    assert not outcome.faults
    assert (card.root / "etc/hostname").read_text() == "kitchen-pi\n"
    assert str((card.root / "etc/localtime").readlink()) == "/usr/share/zoneinfo/Europe/Vienna"
    assert (card.configuration.device.name, card.configuration.sip.user) == ("Kitchen", "201")
    assert card.sip_password() == "hush-hush"
    (network,) = (card.root / "etc/NetworkManager/system-connections").iterdir()
    assert "psk=a secret passphrase\n" in network.read_text()
    assert stat.S_IMODE(network.stat().st_mode) == 0o600
    assert (card.root / "home/anna/.ssh/authorized_keys").read_text() == f"{KEY}\n"
    assert Run(("chpasswd", "--encrypted"), f"anna:{HASH}\n", needed=True) in card.programs.ran
    assert Run(("iw", "reg", "set", "AT")) in card.programs.ran
    assert Run(("systemctl", "--no-block", "enable", "--now", "ssh.service")) in card.programs.ran
    left = card.on_the_card()
    assert not any(secret in left for secret in (HASH, "a secret passphrase", "hush-hush"))
    assert "kitchen-pi.local" in left
    assert "runcmd" in (card.boot / "handset-result.txt").read_text()


def test_files_keep_their_length_so_that_the_secret_is_what_is_written_over(card):
    card.put(user_data=USER_DATA, network_config=NETWORK, settings=SETTINGS).start()
    for name, text in (("user-data", USER_DATA), ("network-config", NETWORK), ("handset.toml", SETTINGS)):
        assert (card.boot / name).stat().st_size == len(text.encode())


def test_the_next_start_does_nothing_and_says_nothing(card):
    card.put(settings=SETTINGS, network_config=NETWORK).start()
    before = {path: path.stat().st_mtime_ns for path in card.root.rglob("*") if path.is_file()}
    outcome = card.start()
    assert not outcome.asked
    assert {path: path.stat().st_mtime_ns for path in card.root.rglob("*") if path.is_file()} == before
    assert card.programs.ran == [Run(("iw", "reg", "set", "AT"))]


def test_a_later_edit_is_taken_over_and_the_password_that_is_blanked_out_by_then_is_kept(card):
    card.put(settings=SETTINGS, user_data=USER_DATA, network_config=NETWORK).start()
    edited = (card.boot / "handset.toml").read_text().replace("Kitchen", "Hall") + "expiry = 600\n"
    outcome = card.put(settings=edited).start()
    assert not outcome.faults
    assert (card.configuration.device.name, card.configuration.sip.expiry) == ("Hall", 600)
    assert card.sip_password() == "hush-hush"
    (network,) = (card.root / "etc/NetworkManager/system-connections").iterdir()
    assert "psk=a secret passphrase\n" in network.read_text()


def test_another_account_does_not_get_the_password_of_the_one_before_it(card):
    card.put(settings=SETTINGS).start()
    edited = (card.boot / "handset.toml").read_text().replace("pbx.example.org", "evil.example.net")
    outcome = card.put(settings=edited).start()
    assert [fault.key for fault in outcome.faults] == ["sip.password"]
    assert card.configuration.sip.server == "pbx.example.org"
    assert card.sip_password() == "hush-hush"


def test_without_a_name_it_takes_one_from_its_hardware_address(card):
    outcome = card.start()
    assert outcome.host_name == "handset-3f2a"
    assert (card.root / "etc/hostname").read_text() == "handset-3f2a\n"
    assert Run(("hostname", "handset-3f2a")) in card.programs.ran


def test_a_name_that_somebody_gave_stays(card):
    (card.root / "etc/hostname").write_text("lobby\n")
    assert card.start().host_name == "lobby"


def test_on_the_image_the_time_zone_goes_where_its_link_leads(card):
    (card.root / "etc/localtime").symlink_to("/data/state/localtime")
    card.put(user_data="timezone: Europe/Vienna\n").start()
    assert str((card.root / "data/state/localtime").readlink()) == "/usr/share/zoneinfo/Europe/Vienna"
    assert str((card.root / "etc/localtime").readlink()) == "/data/state/localtime"


def test_the_older_file_of_imager_has_the_same_tables(card):
    text = 'config_version = 1\n[system]\nhostname = "old"\n[wlan]\nssid = "home"\npassword = "a secret passphrase"\n'
    outcome = card.put(custom=text).start()
    assert (outcome.host_name, outcome.faults) == ("old", [])
    assert "a secret passphrase" not in card.on_the_card()


def test_on_the_image_keys_open_root_and_nobody_gets_a_password(card):
    (card.root / "etc/ssh/keys").mkdir(parents=True)
    outcome = card.put(user_data=USER_DATA).start()
    assert (card.root / "etc/ssh/keys/authorized_keys.root").read_text() == f"{KEY}\n"
    assert not {"useradd", "chpasswd"} & {run.command[0] for run in card.programs.ran}
    assert not outcome.faults
    assert HASH not in card.on_the_card()


def test_a_part_that_cannot_be_carried_out_is_told_and_the_others_are(tmp_path):
    card = Card(tmp_path, "chpasswd", "nmcli")
    outcome = card.put(user_data=USER_DATA, settings=SETTINGS).start()
    assert [fault.message for fault in outcome.faults] == ["there is no program chpasswd"]
    assert HASH in (card.boot / "user-data").read_text()
    assert card.sip_password() == "hush-hush"


def test_a_power_cut_before_the_end_has_it_all_done_again(card, monkeypatch):
    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    card.put(settings=SETTINGS)
    with monkeypatch.context() as patched:
        patched.setattr("provisioning.first_boot.overwrite", cut)
        with pytest.raises(KeyboardInterrupt):
            card.start()
    assert card.start().asked
    assert card.sip_password() == "hush-hush"
    assert "hush-hush" not in card.on_the_card()
    assert len(list((card.root / "etc/handset/secrets").iterdir())) == 1


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.ENOSPC, "make room"), (errno.EROFS, "read-only"), (errno.EIO, "another"), (errno.EACCES, "root")],
)
def test_a_place_that_takes_nothing_is_told_with_a_remedy_and_the_secret_stays_on_the_card(
    card, monkeypatch, number, remedy
):
    real = os.open

    def refuse(path: Any, flags: int, mode: int = 0o777) -> int:
        if str(path).endswith(".new"):
            raise OSError(number, os.strerror(number), str(path))
        return real(path, flags, mode)

    card.put(settings=SETTINGS, network_config=NETWORK)
    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refuse)
        outcome = card.start()
    assert len(outcome.faults) == 2
    assert remedy in outcome.faults[1].hint
    assert "hush-hush" in card.on_the_card()
    assert not card.start().faults
    assert card.sip_password() == "hush-hush"


def test_nothing_on_the_partition_is_nothing_to_tell(tmp_path):
    card = Card(tmp_path)
    card.boot.rmdir()
    assert not card.start().asked


def test_a_control_api_that_the_network_reaches_is_announced_there(card):
    text = "[control]\nbind = '0.0.0.0'\nallow_plain = true\nport = 9000\n"
    card.put(settings=text).start()
    service = (card.root / "etc/avahi/services/handset.service").read_text()
    assert "<type>_handset._tcp</type>" in service
    assert "<port>9000</port>" in service
    assert "id=b827eb123f2a" in service
    card.put(settings="[control]\nbind = '127.0.0.1'\n").start()
    assert not (card.root / "etc/avahi/services/handset.service").exists()


def test_a_static_address_becomes_a_connection(card):
    text = (
        "network:\n  ethernets:\n    eth0:\n      addresses: [192.168.1.20/24]\n      routes:\n"
        "      - {to: default, via: 192.168.1.1}\n      nameservers: {addresses: [192.168.1.1]}\n"
    )
    card.put(network_config=text).start()
    connection = (card.root / "etc/NetworkManager/system-connections/handset-eth0.nmconnection").read_text()
    assert "address1=192.168.1.20/24,192.168.1.1\ndns=192.168.1.1;\n" in connection


def test_the_sentence_is_short_enough_to_be_understood():
    outcome = Outcome(taken=["its name"], host_name="kitchen")
    assert sentence(outcome) == "I am set up. My name on the network is kitchen."


@given(st.text(max_size=300), st.text(max_size=300), st.text(max_size=200))
@settings(max_examples=60, deadline=None)
def test_no_file_of_imager_whatever_it_holds_breaks_the_start(user_data, network, meta):
    drafts = cloud_init.parse({"user-data": user_data, "network-config": network, "meta-data": meta})
    assert len(drafts) == 3


@pytest.mark.slow
@settings(deadline=None)
@given(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=8, max_size=20).filter(
        lambda text: not is_taken_over(text) and text.strip() == text
    )
)
def test_a_secret_of_any_characters_is_gone_and_the_file_is_as_long_as_it_was(secret):
    text = dump({"device": {"name": "hall"}, "sip": {"password": secret}})
    left = scrubbed(text, [secret])
    assert secret not in left
    assert len(left.encode()) == len(text.encode())


def test_a_short_secret_takes_no_other_word_along():
    text = 'user = "sip"\n[sip]\npassword = "sip"\n'
    assert scrubbed(text, ["sip"]) == 'user = "sip"\n[sip]\npassword = "###"\n'
