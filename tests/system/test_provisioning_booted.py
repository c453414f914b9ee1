"""First boot and factory reset under a real systemd (`make booted`): settings reach the daemon, and go again."""

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.rig.booted_system import ROOT, BootedSystem
from tests.unit.provisioning.test_boot_faults import FAULTY
from tests.unit.provisioning.test_first_boot import NETWORK, USER_DATA

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.booted,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not ROOT, reason="the system is made by make booted"),
]
SECRETS = ("hush-hush", "a secret passphrase", "$5$")
SSH = """[Unit]
Description=in place of sshd
[Service]
ExecStart=/bin/sleep infinity
[Install]
WantedBy=multi-user.target
"""
MORE = """[user]
name = "berta"
password = "not hashed yet"
password_encrypted = false
[locale]
timezone = "Europe/Vienna"
"""
FETCHED = b"""[device]
name = "Fetched"
[sip]
enabled = true
server = "127.0.0.1:5999"
user = "9"
password = "hush-hush"
"""


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
    (root / "etc/systemd/system/ssh.service").write_text(SSH)
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


def test_ssh_is_switched_on_and_the_start_does_not_wait_for_it(system):
    """It begins after the first boot is done: whoever waited for it would wait for ever."""
    assert system.run("systemctl", "is-enabled", "ssh.service").stdout.strip() == "enabled"
    system.until(lambda: system.shown("ActiveState", "ssh.service") == "active", 30)
    began, done = (
        int(system.shown(f"{moment}TimestampMonotonic", "handset-firstboot.service"))
        for moment in ("InactiveExit", "ActiveEnter")
    )
    assert done - began < 30e6, "microseconds"


def test_a_card_that_is_mounted_for_reading_alone_is_written_to_and_somebody_new_can_log_in(system):
    system.run("mount", "-t", "tmpfs", "tmpfs", "/boot/firmware")
    system.run("sh", "-c", f"cat > /boot/firmware/handset.toml <<'END'\n{MORE}END")
    system.run("mount", "-o", "remount,ro", "/boot/firmware")
    system.run("systemctl", "restart", "handset-firstboot.service")
    assert system.shown("Result", "handset-firstboot.service") == "success"
    told = system.run("cat", "/boot/firmware/handset-result.txt", "/boot/firmware/handset.toml").stdout
    mounted = system.run("findmnt", "-no", "OPTIONS", "/boot/firmware").stdout
    system.run("umount", "/boot/firmware")
    assert "the user berta" in told
    assert "not hashed yet" not in told
    assert mounted.startswith("ro,")
    shadow = (system.root / "etc/shadow").read_text()
    assert [line for line in shadow.splitlines() if line.startswith("berta:$")]
    assert system.run("stat", "-c", "%U", "/home/berta").stdout.strip() == "berta"
    assert (system.root / "etc/localtime").readlink() == Path("/usr/share/zoneinfo/Europe/Vienna")


def test_settings_of_a_server_are_fetched_and_put_in_force(system):
    key = Ed25519PrivateKey.generate()
    page = system.root / "root/page"
    page.mkdir(exist_ok=True)
    (page / "x.toml").write_bytes(FETCHED)
    (page / "x.toml.sig").write_bytes(key.sign(FETCHED))
    public = base64.b64encode(key.public_key().public_bytes_raw()).decode()
    settings = f'[provisioning]\nurl = "http://127.0.0.1:8000/x.toml"\npublic_key = "{public}"\n'
    (system.root / "etc/handset/conf.d/70-server.toml").write_text(settings)
    system.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth1")
    server = ("python3", "-m", "http.server", "8000")
    system.run("systemd-run", "--quiet", "--property=WorkingDirectory=/root/page", *server)
    system.until(lambda: system.run("curl", "-fs", "http://127.0.0.1:8000/").returncode == 0, 30)
    done = system.run("systemctl", "start", "handset-fetch.service", within=120)
    assert done.returncode == 0, system.log("-u", "handset-fetch")
    assert 'name = "Fetched"' in system.run("handset", "config").stdout
    told = system.run("sh", "-c", "stat -c '%U %a' /etc/handset/secrets/*").stdout
    assert told.splitlines() == ["handset 600"]
    system.until(lambda: "registration of account" in system.log("-u", "handset"), 30)


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
