"""The units under a real systemd (`make booted`): frozen processes, updates good and bad, power cuts."""

import json
import platform
import sys
import time
from pathlib import Path

import pytest

from provisioning.release.bundle import manifest_of, pack
from provisioning.release.signature import public_of
from tests.fakes.releases import new_key
from tests.rig.booted_system import ROOT, BootedSystem, thin_release

pytestmark = [
    pytest.mark.slow,
    pytest.mark.booted,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not ROOT, reason="the system is made by make booted"),
]
KEY = new_key()
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
FREEZES = "( sleep 15; kill -STOP $$ ) & :"
"""In a release's program, before the daemon takes its place: it is well at first, and then stands still."""


@pytest.fixture(scope="module")
def system():
    root = Path(ROOT)
    keys = root / "etc/handset/release-keys"
    keys.mkdir(parents=True, exist_ok=True)
    (keys / "test.pem").write_bytes(public_of(KEY))
    (root / "etc/handset/handset.toml").write_text("[sip]\nenabled = true\n")
    with BootedSystem(root) as system:
        system.until(lambda: system.shown("ActiveState") == "active", 60)
        yield system


def bundle(system, tmp_path, version, run=""):
    """A signed release in the system's /root; its path there."""
    tree = thin_release(system.root, tmp_path / version, version, run=run)
    name = f"root/handset-{version}.tar.xz"
    pack(tree, manifest_of(tree, version, platform.machine(), PYTHON), KEY, system.root / name, preset=0)
    return f"/{name}"


def current(system):
    return system.run("readlink", "-f", "/opt/handset/current").stdout.strip()


def test_the_service_is_ready_in_its_sandbox_and_answers(system):
    pid = system.shown("MainPID")
    status = system.run("cat", f"/proc/{pid}/status").stdout
    assert "Seccomp:\t2" in status
    assert "NoNewPrivs:\t1" in status
    assert "CapEff:\t0000000000000000" in status
    assert "\nUid:\t0" not in status
    system.until(lambda: "ready" in system.shown("StatusText"), 30)
    answer = system.run("handset", "ask", "what time is it")
    assert answer.returncode == 0, answer.stderr
    assert "It's" in answer.stdout
    assert "OK" in system.run("systemd-analyze", "--no-pager", "security", "handset.service").stdout


def test_speech_is_understood_and_spoken_within_the_sandbox(system):
    """Recognition, detectors and voice load libraries of their own: none may need what the sandbox takes away."""
    kept = (
        "MemoryDenyWriteExecute",
        "SystemCall",
        "Restrict",
        "PrivateUsers",
        "LockPersonality",
        "User",
        "Protect",
    )
    lines = (system.root / "usr/lib/systemd/system/handset.service").read_text().splitlines()
    properties = [f"--property={line}" for line in lines if line.startswith(kept)]
    system.run("sh", "-c", "espeak-ng -w /tmp/asked.wav 'what time is it' && chmod 644 /tmp/asked.wav")
    talk = ["handset", "talk", "--in", "/tmp/asked.wav", "--out", "/var/lib/handset/told.wav", "--json"]
    done = system.run(
        *(
            "systemd-run",
            "--quiet",
            "--pipe",
            "--wait",
            "--property=StateDirectory=handset",
            *properties,
            *talk,
        ),
        within=120,
    )
    assert done.returncode == 0, done.stderr
    assert '"role":"assistant"' in done.stdout.replace(" ", ""), done.stdout + done.stderr


def test_the_journal_has_fields(system):
    session = system.run(
        "journalctl", "--no-pager", "-u", "handset", "-o", "json", "--output-fields=HANDSET_SESSION,PRIORITY"
    )
    assert '"HANDSET_SESSION":"s-' in session.stdout
    assert '"PRIORITY":"6"' in session.stdout


def test_a_credential_reaches_the_daemon_and_nobody_else(system):
    secret = system.root / "etc/credstore/handset.sip"
    secret.parent.mkdir(exist_ok=True)
    secret.write_text("wonderland")
    secret.chmod(0o600)
    conf = system.root / "etc/handset/handset.toml"
    conf.write_text(
        '[sip]\nenabled = true\nserver = "127.0.0.1:5999"\nuser = "201"\npassword = "credential:sip"\n'
    )
    system.run("systemctl", "restart", "handset")
    assert system.shown("ActiveState") == "active"
    system.until(lambda: "registration of account" in system.log("-u", "handset"), 30)
    assert "wonderland" not in system.log()
    secret.unlink()
    system.run("systemctl", "restart", "--no-block", "handset")
    system.until(lambda: system.shown("ExecMainStatus") == "78", 30)
    assert system.shown("ActiveState") == "failed"
    assert "/etc/credstore/handset.sip" in system.log("-u", "handset")
    conf.write_text("[sip]\nenabled = true\n")
    system.run("systemctl", "restart", "handset")
    system.until(lambda: system.shown("ActiveState") == "active", 30)


RAUC = """#!/bin/sh
echo "asked: $*" | systemd-cat -t rauc
"""
UNCONDITIONAL = "[Unit]\nConditionKernelCommandLine=\n"


def test_a_new_system_is_proved_in_its_sandbox_by_a_doctor_that_has_the_credentials(system):
    secret = system.root / "etc/credstore/handset.sip"
    secret.write_text("wonderland")
    conf = system.root / "etc/handset/handset.toml"
    before = conf.read_text()
    conf.write_text('[sip]\nserver = "127.0.0.1:5999"\nuser = "201"\npassword = "credential:sip"\n')
    system.run("systemctl", "restart", "handset")
    program = system.root / "usr/bin/rauc"
    program.write_text(RAUC)
    program.chmod(0o755)
    # There is no card here: what was found before the update, and whose slot it is, stands in the trial.
    trial = {"id": "1", "slot": "", "version": "2", "from_version": "1", "boot": "another", "installed": True}
    trial |= {"failing": ["clock", "room", "sip"], "doctor": ["daemon sip"]}
    (system.root / "opt/handset/slot-trial.json").write_text(json.dumps(trial))
    drop_in = system.root / "etc/systemd/system/handset-slot.service.d/test.conf"
    drop_in.parent.mkdir(exist_ok=True)
    drop_in.write_text(UNCONDITIONAL)
    system.run("systemctl", "daemon-reload")
    system.run("systemctl", "start", "handset-slot")
    try:
        system.until(lambda: system.shown("ActiveState", "handset-slot.service") == "inactive", 120)
        assert "system 2 is good" in system.log("-u", "handset-slot")
        assert "asked: status mark-good booted" in system.log("-t", "rauc")
        report = json.loads((system.root / "opt/handset/slot-report.json").read_text())
        assert report["outcome"] == "updated"
    finally:
        program.unlink()
        secret.unlink()
        conf.write_text(before)
        system.run("systemctl", "restart", "handset")


def test_a_reload_reads_the_configuration_again(system):
    pid = system.shown("MainPID")
    done = system.run("systemctl", "reload", "handset")
    assert done.returncode == 0, done.stderr
    system.until(lambda: "configuration reloaded" in system.log("-u", "handset"), 30)
    assert system.shown("MainPID") == pid


def test_a_daemon_that_stands_still_is_ended_and_started_again(system):
    pid, began = system.shown("MainPID"), time.monotonic()
    system.run("kill", "-STOP", pid)
    system.until(lambda: system.shown("NRestarts") == "1" and system.shown("ActiveState") == "active", 90)
    assert time.monotonic() - began < 60
    assert system.shown("MainPID") != pid
    assert "Watchdog timeout" in system.log("-u", "handset")


def test_a_good_release_is_kept_and_told(system, tmp_path):
    done = system.run("handset", "update", bundle(system, tmp_path, "0.9.1"), within=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "version 0.9.1 is in force" in done.stdout
    assert current(system) == "/opt/handset/releases/0.9.1"
    assert "0.9.1" in system.run("handset", "version").stdout
    system.until(lambda: "update of the application to 0.9.1: updated" in system.log("-u", "handset"), 30)


@pytest.mark.parametrize(
    ("version", "run", "reason"),
    [
        ("0.9.2", "exit 70", "it ended by itself and was restarted"),
        ("0.9.3", FREEZES, "it ended by itself and was restarted"),
    ],
    ids=["it ends", "it freezes"],
)
def test_a_bad_release_is_taken_back_and_told(system, tmp_path, version, run, reason):
    before = current(system)
    done = system.run("handset", "update", bundle(system, tmp_path, version, run), within=400)
    assert done.returncode == 1, done.stdout + done.stderr
    assert reason in done.stdout
    assert current(system) == before
    system.until(lambda: system.shown("ActiveState") == "active", 60)
    system.until(
        lambda: f"update of the application to {version}: stepped_back" in system.log("-u", "handset"), 30
    )


def test_an_update_whose_process_is_killed_is_taken_back(system, tmp_path):
    before, path = current(system), bundle(system, tmp_path, "0.9.4")
    system.run("systemd-run", "--quiet", "handset", "update", path)
    system.until(lambda: current(system).endswith("0.9.4"), 60)
    system.run("systemctl", "kill", "--signal=KILL", "handset-update.service")
    system.until(lambda: current(system) == before, 60)
    assert "was taken back" in system.run("handset", "update").stdout


def test_a_power_cut_while_a_release_is_tried_is_a_step_back_at_the_next_start(system, tmp_path):
    before, path = current(system), bundle(system, tmp_path, "0.9.5")
    system.until(lambda: system.shown("ActiveState", "handset-update.service") != "active", 60)
    system.run("systemd-run", "--quiet", "handset", "update", path)
    system.until(lambda: current(system).endswith("0.9.5"), 60)
    system.cut_power()
    system.start()
    system.until(lambda: system.shown("ActiveState") == "active", 60)
    assert current(system) == before
    assert "the power went" in system.run("handset", "update").stdout
    system.until(
        lambda: "update of the application to 0.9.5: stepped_back" in system.log("-u", "handset", "-b"), 30
    )


def test_a_release_of_somebody_else_is_refused(system, tmp_path):
    tree = thin_release(system.root, tmp_path / "x", "0.9.6")
    pack(
        tree,
        manifest_of(tree, "0.9.6", platform.machine(), PYTHON),
        new_key(),
        system.root / "root/x",
        preset=0,
    )
    before = system.shown("MainPID")
    done = system.run("handset", "update", "/root/x")
    assert done.returncode == 1
    assert "not signed by a key" in done.stderr
    assert system.shown("MainPID") == before
