"""A factory reset takes what somebody gave, leaves what the device is, and is asked for twice."""

import io

from appliance import factory_reset
from provisioning.reset import REQUEST


def test_a_factory_reset_takes_what_somebody_gave_and_leaves_what_the_device_is(box, key, file):
    box.put("etc/NetworkManager/system-connections/handset-1.nmconnection", "psk=x", 0o600)
    box.put("etc/ssh/keys/authorized_keys.root", "ssh-ed25519 AAAA")
    box.put("etc/ssh/keys/ssh_host_ed25519_key", "host key")
    box.put("etc/credstore/handset.sip", "pw", 0o600)
    box.put("etc/credstore/other", "not ours", 0o600)
    box.put("etc/hostname", "kitchen")
    box.run("backup", file, *key)
    box.run("restore", file, *key)
    assert box.run("factory-reset", "--yes") == 0
    assert set(box.everything()) == {
        "etc/ssh/keys/ssh_host_ed25519_key",
        "etc/credstore/other",
        "etc/hostname",
    }


def test_a_link_that_the_daemon_made_takes_nothing_of_the_system_along(box):
    box.put("etc/ssh/keys/ssh_host_ed25519_key", "host key")
    (box.root / "var/lib/handset/before-restore-x").symlink_to(box.root / "etc/ssh")
    (box.root / "var/lib/handset/recordings/b").symlink_to(box.root / "etc/ssh")
    (box.root / "var/lib/handset/c.json").symlink_to(box.root / "etc/ssh/keys/ssh_host_ed25519_key")
    box.run("factory-reset", "--yes")
    assert list(box.everything()) == ["etc/ssh/keys/ssh_host_ed25519_key"]


def test_the_network_may_be_kept(box):
    box.put("etc/NetworkManager/system-connections/handset-1.nmconnection", "psk=x", 0o600)
    box.run("factory-reset", "--yes", "--keep-network")
    assert list(box.everything()) == ["etc/NetworkManager/system-connections/handset-1.nmconnection"]


def test_nobody_there_to_confirm_is_no_confirmation(box, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    before = box.everything()
    assert box.run("factory-reset") == 2
    assert box.everything() == before


async def test_the_daemon_asks_for_it_with_a_file_that_the_reset_takes_away_last(box):
    await factory_reset.ask(box.root / "var/lib/handset")
    assert (box.root / "var/lib/handset" / REQUEST).exists()
    assert factory_reset.REQUEST == REQUEST
    box.run("factory-reset", "--yes")
    assert not (box.root / "var/lib/handset" / REQUEST).exists()
