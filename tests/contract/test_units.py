"""The unit files, read by systemd's own tools."""

import configparser
import re
import shlex
import shutil
import subprocess
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "systemd"
SYSTEM = Path("/usr/lib/systemd/system")
WITH_BACK_OFF = 254
EXPOSURE = {
    "handset.service": 2.0,
    "handset-release.service": 2.0,
    "handset-reset.service": 1.5,
    "handset-slot.service": 2.0,
    "handset-fleet.service": 1.5,
    "handset-firstboot.service": 3.0,
    "handset-fetch.service": 3.0,
    "handset-setup.service": 3.0,
}
COMMANDS = (
    "opt/handset/current/bin/handset",
    "usr/lib/handset/release/bin/handset",
    "usr/bin/rauc-hawkbit-updater",
    "usr/bin/sh",
    "usr/bin/systemctl",
)

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="systemd-analyze is not installed (Debian's package systemd)",
)


def version() -> int:
    told = subprocess.run(["systemd-analyze", "--version"], capture_output=True, text=True, check=True).stdout
    found = re.match(r"systemd (\d+)", told)
    return int(found.group(1)) if found else 0


@pytest.fixture
def root(tmp_path):
    """A system with our units, the units that come with systemd, and the programs that ours start."""
    into = tmp_path / "usr/lib/systemd/system"
    shutil.copytree(SYSTEM, into, symlinks=True)
    for unit in UNITS.glob("*.service"):
        shutil.copy(unit, into)
    if version() >= WITH_BACK_OFF:
        shutil.copytree(UNITS / "handset.service.d", into / "handset.service.d")
    for command in COMMANDS:
        program = tmp_path / command
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    (tmp_path / "bin").symlink_to("usr/bin")
    return tmp_path


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *arguments], capture_output=True, text=True, check=False, timeout=60
    )


@needs_systemd
@pytest.mark.parametrize("unit", sorted(path.name for path in UNITS.glob("*.service")))
def test_systemd_finds_nothing_wrong_with_the_units(root, unit):
    told = analyze("verify", f"--root={root}", "--man=no", "--recursive-errors=no", unit)
    about_us = [line for line in told.stderr.splitlines() if "handset" in line]
    assert not about_us
    assert told.returncode == 0, told.stderr


@needs_systemd
@pytest.mark.parametrize(("unit", "most"), sorted(EXPOSURE.items()))
def test_the_sandbox_is_tight(root, unit, most):
    told = analyze("security", "--offline=true", f"--root={root}", f"--threshold={most * 10:.0f}", unit)
    assert told.returncode == 0, told.stdout[-2000:] + told.stderr


def test_every_service_is_held_to_a_score():
    assert EXPOSURE.keys() == {path.name for path in UNITS.glob("*.service")}


@needs_systemd
def test_a_misspelt_key_would_be_found(root):
    unit = root / "usr/lib/systemd/system/handset.service"
    unit.write_text(unit.read_text().replace("WatchdogSec=", "WatchdogSecs="))
    told = analyze("verify", f"--root={root}", "--man=no", "--recursive-errors=no", "handset.service")
    assert "WatchdogSecs" in told.stderr


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(UNITS / name)
    return parser


def service() -> configparser.SectionProxy:
    return unit("handset.service")["Service"]


@pytest.mark.parametrize(("result", "left"), [("success", True), ("exit-code", False), ("timeout", False)])
def test_a_reset_that_failed_is_asked_for_no_more_and_the_daemon_runs_again(tmp_path, result, left):
    reset = unit("handset-reset.service")
    assert reset["Unit"]["OnFailure"] == reset["Unit"]["Conflicts"] == "handset.service"
    (request := tmp_path / "factory-reset").touch()
    command = shlex.split(reset["Service"]["ExecStopPost"])
    command[-1] = command[-1].replace("/var/lib/handset", str(tmp_path))
    subprocess.run(command, env={"PATH": "/usr/bin:/bin", "SERVICE_RESULT": result}, check=True)
    assert request.exists() is left


def test_the_exit_codes_mean_to_systemd_what_the_daemon_means_by_them():
    from appliance.process import EXIT_CONFIGURATION, EXIT_CONFIGURATION_SERVICE, EXIT_INTERNAL

    never_again = {int(code) for code in service()["RestartPreventExitStatus"].split()}
    assert service()["Restart"] == "on-failure"
    assert {EXIT_CONFIGURATION, EXIT_CONFIGURATION_SERVICE} == never_again
    assert EXIT_INTERNAL not in never_again


def test_systemd_waits_longer_than_the_daemon_takes_to_end():
    from appliance.daemon import LINGER_SECONDS, STOP_SECONDS

    assert float(service()["TimeoutStopSec"]) > STOP_SECONDS + LINGER_SECONDS


def test_a_newer_systemd_is_given_the_same_credentials_by_pattern_and_none_by_name_twice():
    def credentials(name: str) -> list[tuple[str, str]]:
        lines = (UNITS / name).read_text().splitlines()
        pairs = [(key, value) for key, _, value in (line.partition("=") for line in lines)]
        return [(key, value) for key, value in pairs if key in ("LoadCredential", "ImportCredential")]

    by_name = [value.partition(":")[2] for _, value in credentials("handset.service")]
    reset, (_, pattern) = credentials("handset.service.d/50-newer.conf")
    assert reset == ("LoadCredential", "")
    assert "handset.sip" in by_name
    assert all(fnmatchcase(name, pattern) for name in by_name)
