"""A hawkBit server updates the system: the client, RAUC and our unit, settings and handlers (make fleet)."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from image import bundle, loader
from image.build import HERE
from image.signing import Signing, signing
from tests.fakes import hawkbit
from tests.fakes.certificate import loopback_certificate
from tests.loader.board import CHECKOUT, Board
from tests.rig.booted_system import BootedSystem

ROOT = Path(os.environ.get("HANDSET_FLEET", "/nowhere"))
SETTINGS = HERE / "overlay/fleet/usr/lib/handset/hawkbit.conf"
CLIENT = ROOT / "usr/bin/rauc-hawkbit-updater"

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not ROOT.is_dir(), reason="RAUC and the fleet's client: make fleet"),
]


class Fleet:
    """What a server serves, and what it was told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "token").write_text("8d1c07c5b3e04a2f")
        for source, name in zip(loopback_certificate(), ("certificate.pem", "key.pem"), strict=True):
            shutil.copyfile(source, folder / name)

    @property
    def told(self) -> list[dict[str, Any]]:
        return self._lines("told.jsonl")

    @property
    def wrong(self) -> list[dict[str, Any]]:
        return self._lines("wrong.jsonl")

    @property
    def result(self) -> str:
        """Of the update; empty until the device is done."""
        return next((line["result"] for line in self.told if line.get("execution") == "closed"), "")

    @property
    def details(self) -> str:
        """What it was told of the steps, a line each."""
        return "\n".join(detail for line in self.told for detail in line.get("details", []))

    def settings(self, **more: str) -> str:
        """The image's file, filled in as its comments ask."""
        mine = {
            "hawkbit_server": f"127.0.0.1:{self.until(self._port)}",
            "target_name": hawkbit.TARGET,
            "auth_token": (self.folder / "token").read_text(),
        } | more
        text = SETTINGS.read_text()
        for key, value in mine.items():
            text, count = re.subn(rf"^{key} = .*$", f"{key} = {value}", text, flags=re.MULTILINE)
            assert count == 1, key
        return text

    def until(self, found: Any, seconds: float = 60.0) -> Any:
        deadline = time.monotonic() + seconds
        while not (answer := found()):
            assert time.monotonic() < deadline, (self.told, self.wrong)
            time.sleep(0.1)
        return answer

    def _port(self) -> str:
        path = self.folder / "port"
        return path.read_text() if path.exists() else ""

    def _lines(self, name: str) -> list[dict[str, Any]]:
        path = self.folder / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path / "fleet")


@pytest.fixture
def board(board: Board) -> Board:
    """It runs from slot A, which no boot loader had to start."""
    board.slot, board.boots = "A", 1
    return board


def updated(board: Board, fleet: Fleet, by: Signing) -> subprocess.CompletedProcess[str]:
    """The client asks once, and does what it is told."""
    shutil.copyfile(board.bundle("2", by), fleet.folder / "update.raucb")
    with subprocess.Popen([sys.executable, hawkbit.__file__, str(fleet.folder)]) as server:
        try:
            settings = board.folder / "hawkbit.conf"
            settings.write_text(fleet.settings(bundle_download_location=str(board.folder / "fetched.raucb")))
            trust = f"cat {fleet.folder}/certificate.pem > /etc/ssl/certs/ca-certificates.crt"
            (libraries,), (linker,) = ROOT.glob("usr/lib/*-linux-gnu"), ROOT.glob("usr/lib*/ld-linux-*.so.?")
            client = f"{linker} --library-path {libraries} {CLIENT}"
            return board.run("sh", "-ec", f"{trust}; exec {client} -r -c {settings}")
        finally:
            server.kill()


def test_an_update_of_the_fleets_is_written_and_told_step_by_step(board, fleet):
    done = updated(board, fleet, board.by)
    assert fleet.result == "success", done.stdout + done.stderr + (board.folder / "run/rauc.log").read_text()
    assert fleet.wrong == []
    attributes = {"product": "handset", "hw_boardname": bundle.COMPATIBLE}
    assert fleet.told[:2] == [{"attributes": attributes}, {"fetches": "update.raucb"}]
    assert "Copying image to rootfs.1 done." in fleet.details
    assert not (board.folder / "fetched.raucb").exists()
    assert "update --slot restart" in (board.folder / "run/asked").read_text()
    kept = loader.read_variables(board.card)
    assert kept is not None
    assert kept["BOOT_ORDER"] == "B A"


def test_a_call_keeps_it_waiting_and_nothing_is_written_meanwhile(board, fleet, appliance):
    appliance.calls = 1
    seen: list[tuple[str, Any]] = []

    def hang_up() -> None:
        fleet.until(lambda: {"fetches": "update.raucb"} in fleet.told)
        time.sleep(10)
        seen.append((fleet.result, loader.read_variables(board.card)))
        appliance.calls = 0

    before = loader.read_variables(board.card)
    caller = threading.Thread(target=hang_up)
    caller.start()
    done = updated(board, fleet, board.by)
    caller.join()
    assert seen == [("", before)]
    assert fleet.result == "success", done.stdout + done.stderr


def test_what_somebody_else_signed_is_refused_and_the_server_is_told(board, fleet, tmp_path):
    before = loader.read_variables(board.card)
    updated(board, fleet, signing({}, tmp_path / "others"))
    assert fleet.result == "failure"
    assert fleet.wrong == []
    assert loader.read_variables(board.card) == before


@pytest.fixture
def system(board: Board, fleet: Fleet) -> Iterator[BootedSystem]:
    """With our unit, its user, RAUC and its settings; the server is in `/srv`."""
    for name in ("etc/handset", "etc/rauc", "var/lib/rauc", "srv"):
        shutil.rmtree(ROOT / name, ignore_errors=True)
    (ROOT / "etc/handset").mkdir()
    (ROOT / "var/lib/rauc").mkdir()
    shutil.copytree(HERE / "overlay/update/etc/rauc", ROOT / "etc/rauc")
    shutil.copyfile(board.by.authority, ROOT / "etc/rauc/keyring.pem")
    shutil.copyfile(
        CHECKOUT / "systemd/handset-fleet.service", ROOT / "etc/systemd/system/handset-fleet.service"
    )
    shutil.copyfile(CHECKOUT / "systemd/sysusers.d/handset.conf", ROOT / "usr/lib/sysusers.d/handset.conf")
    shutil.copyfile(board.bundle("2", board.by, "verity"), fleet.folder / "update.raucb")
    shutil.copyfile(hawkbit.__file__, fleet.folder / "hawkbit.py")
    fleet.folder = shutil.copytree(fleet.folder, ROOT / "srv")
    with BootedSystem(ROOT) as system:
        system.run("systemd-sysusers")
        (ROOT / "srv/cmdline").write_text("rauc.slot=A\n")
        system.run("mount", "--bind", "/srv/cmdline", "/proc/cmdline")
        yield system


def test_the_unit_runs_it_in_its_sandbox_and_rauc_looks_into_what_it_fetched(system, fleet):
    """RAUC ends there: the box has no device to mount a bundle by."""
    system.run("systemctl", "start", "handset-fleet")
    assert system.shown("ConditionResult", "handset-fleet") == "no", "it is off where nobody set it up"
    system.run("systemd-run", "--unit=server", "python3", "/srv/hawkbit.py", "/srv")
    (ROOT / "etc/handset/hawkbit.conf").write_text(fleet.settings())
    (ROOT / "etc/handset/hawkbit.conf").chmod(0o600)
    shutil.copyfile(fleet.folder / "certificate.pem", ROOT / "etc/handset/hawkbit-ca.pem")
    assert system.run("systemctl", "start", "handset-fleet").returncode == 0, system.log(
        "-u", "handset-fleet"
    )
    status = system.run("cat", f"/proc/{system.shown('MainPID', 'handset-fleet')}/status").stdout
    assert "CapEff:\t0000000000000000" in status
    assert "\nUid:\t0" not in status
    assert fleet.until(lambda: fleet.result) == "failure"
    assert " 20% Verifying signature done." in fleet.details
    assert "LastError: Failed mounting bundle" in fleet.details
    assert fleet.wrong == []
    fleet.until(lambda: not list((ROOT / "var/lib/rauc/fleet").iterdir()))
    assert system.shown("ActiveState", "handset-fleet") == "active"


def test_the_client_knows_every_setting_of_ours():
    """It says nothing of those that it does not know."""
    known = CLIENT.read_bytes()
    keys = re.findall(r"^([a-z_]+) =", SETTINGS.read_text().partition("[device]")[0], re.MULTILINE)
    assert len(keys) > 5
    assert not [key for key in keys if key.encode() + b"\0" not in known]
