"""First boot and factory reset under a real systemd (`make booted`): settings reach the daemon, and go again."""

from pathlib import Path

import pytest

from tests.rig.booted_system import ROOT, BootedSystem
from tests.unit.provisioning.test_first_boot import FAULTY, NETWORK, USER_DATA

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.booted,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not ROOT, reason="the system is made by make booted"),
]
SECRETS = ("hush-hush", "a secret passphrase", "$5$")


@pytest.fixture(scope="module")
def system():
    root = Path(ROOT)
    card = root / "boot/firmware"
    card.mkdir(parents=True, exist_ok=True)
    for path in card.iterdir():
        path.unlink()
    (card / "user-data").write_text(USER_DATA)
    (card / "network-config").write_text(NETWORK)
    (card / "handset.toml").write_text(FAULTY)
    (root / "etc/hostname").write_text("handset\n")
    with BootedSystem(root) as system:
        system.until(lambda: system.shown("ActiveState") == "active", 90)
        yield system


def test_the_daemon_starts_with_what_stood_on_the_card(system):
    assert system.shown("Result", "handset-firstboot.service") == "success"
    shown = system.run("handset", "config").stdout
    assert 'server = "pbx.example.org"' in shown
    assert 'name = "Kitchen"' in shown
    assert system.run("hostname").stdout.strip() == "kitchen-pi"
    system.until(lambda: "provisioning_fault" in system.log(), 30)


def test_the_secret_belongs_to_the_daemons_user_alone(system):
    told = system.run("sh", "-c", "stat -c '%U %a' /etc/handset/secrets /etc/handset/secrets/*").stdout
    assert told.splitlines() == ["handset 700", "handset 600"]


def test_neither_the_card_nor_the_journal_holds_a_secret(system):
    card = "".join(path.read_text() for path in (system.root / "boot/firmware").iterdir())
    log = system.log()
    assert not any(secret in card + log for secret in SECRETS)
    assert "3 faults" in log
    assert "line 10" in (system.root / "boot/firmware/handset-result.txt").read_text()


def test_whoever_was_named_can_log_in_with_the_password_that_was_meant(system):
    shadow = next(
        line for line in (system.root / "etc/shadow").read_text().splitlines() if line.startswith("anna:")
    )
    assert shadow.split(":")[1].startswith("$5$abcdefgh$")
    assert system.run("stat", "-c", "%U %a", "/home/anna/.ssh/authorized_keys").stdout.strip() == "anna 600"


def test_the_daemon_may_ask_for_a_factory_reset_and_the_machine_starts_as_new(system):
    system.run(
        "setpriv",
        "--reuid=handset",
        "--regid=handset",
        "--clear-groups",
        "touch",
        "/var/lib/handset/factory-reset",
    )
    system.until(lambda: system.run("true").returncode == 255, 60)  # it started itself anew
    assert not list((system.root / "etc/handset").rglob("*.toml"))
    assert not list((system.root / "var/lib/handset").glob("handset.db*"))
    system.cut_power()
    system.start()
    system.until(lambda: system.shown("ActiveState") == "active", 90)
    assert system.run("hostname").stdout.strip() == "kitchen-pi"
    assert "the account has no password" in system.log("-u", "handset-firstboot", "-b")
