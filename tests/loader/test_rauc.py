"""A system is updated by RAUC, with our settings and handlers, on a card that U-Boot then starts (make boot-loader)."""

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from image import bundle, environment, loader
from image.signing import Signing, signing
from tests.loader.cards import OFFSETS, SLOT_BYTES, card
from tests.loader.test_boot_script import UBOOT, starts

CHECKOUT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not UBOOT, reason="RAUC and U-Boot in an emulator: make boot-loader"),
]


class Appliance:
    """The control port of a daemon that is well, or `busy`."""

    def __init__(self) -> None:
        outer = self
        self.calls = 0
        self.sip = True

        class Health(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = {
                    "ready": outer.sip,
                    "parts": {"sip": {"ok": outer.sip, "reason": "the registrar refuses"}},
                    "heartbeats": {"loop": {"fresh": True}},
                    "counters": {"activity.calls": outer.calls},
                }
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, *_: object) -> None: ...

        self._server = HTTPServer(("127.0.0.1", 0), Health)
        self.address = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Board:
    """A card, and what runs on a board that started from one of its slots."""

    def __init__(self, folder: Path, appliance: Appliance) -> None:
        self.folder, self.appliance = folder, appliance
        self.by: Signing = signing({}, folder / "keys")
        self.card = card(folder, "A", [environment.encode(environment.FIRST, 1), b""])
        self.boots = 0
        self.version = {"A": "1", "B": ""}

    def switch_on(self) -> tuple[str, ...]:
        """U-Boot starts the card; what it said of it."""
        (self.folder / "serial.log").unlink(missing_ok=True)
        start = starts(self.card, 1)[0]
        self.slot, self.boots = start[0], self.boots + 1
        return start[:3]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A command in the system that runs; as root."""
        environ = {
            **os.environ,
            "CARD": str(self.card),
            "SLOT": self.slot,
            "VERSION": self.version[self.slot],
            "BOOT": f"boot-{self.boots}",
            "OFFSET_A": str(OFFSETS[0]),
            "OFFSET_B": str(OFFSETS[1]),
            "SLOT_BYTES": str(SLOT_BYTES),
            "HANDSET_ADDRESS": self.appliance.address,
        }
        script = Path(__file__).with_name("rauc_system.sh")
        return subprocess.run(
            [str(script), str(self.folder / "run"), str(CHECKOUT), *command],
            env=environ, capture_output=True, text=True, check=False, timeout=600,
        )  # fmt: skip

    def handset(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.run("/usr/lib/handset/release/bin/handset", *words)

    def bundle(self, version: str, by: Signing, kind: str = "plain") -> Path:
        """A bundle with the system of slot A; the image's are of `kind` verity."""
        content, target = self.folder / f"content-{version}", self.folder / f"{version}.raucb"
        content.mkdir()
        (content / "manifest.raucm").write_text(bundle.manifest(version).replace("verity", kind))
        (content / "version").write_text(version + "\n")
        (content / "ballast").write_bytes(os.urandom(1 << 16))  # dm-verity takes no bundle of one block
        shutil.copyfile(self.folder / "A", content / "rootfs.ext4")
        keys = [f"--cert={by.certificate}", f"--key={by.key}", f"--keyring={by.authority}"]
        subprocess.run(["rauc", "bundle", *keys, str(content), str(target)], check=True, capture_output=True)
        return target

    def report(self) -> dict[str, str]:
        path = self.folder / "run/opt/slot-report.json"
        return json.loads(path.read_text()) if path.exists() else {}


@pytest.fixture
def appliance() -> Iterator[Appliance]:
    appliance = Appliance()
    yield appliance
    appliance.close()


@pytest.fixture
def board(tmp_path: Path, appliance: Appliance) -> Board:
    (tmp_path / "run").mkdir()
    shutil.copyfile(signing({}, tmp_path / "keys").authority, tmp_path / "run/keyring.pem")
    return Board(tmp_path, appliance)


def test_a_system_is_written_started_and_kept(board):
    assert board.switch_on() == ("A", "2", "0")
    done = board.handset("update", str(board.bundle("2", board.by)))
    assert done.returncode == 0, done.stdout + done.stderr + (board.folder / "run/rauc.log").read_text()
    assert "update --slot restart" in (board.folder / "run/asked").read_text()
    board.version["B"] = "2"
    assert board.switch_on() == ("B", "2", "2")
    done = board.handset("update", "--slot", "start")
    assert done.returncode == 0, done.stderr
    assert (board.report()["outcome"], board.report()["version"]) == ("updated", "2")
    kept = loader.read_variables(board.card)
    assert kept is not None
    assert (kept["BOOT_ORDER"], kept["BOOT_B_LEFT"]) == ("B A", "3")
    assert "system 2 runs in slot B; last update: to 2" in board.handset("update").stdout


def test_a_system_that_is_worse_goes_back_to_the_one_before(board, appliance):
    board.switch_on()
    board.handset("update", str(board.bundle("2", board.by)))
    board.version["B"] = "2"
    assert board.switch_on()[0] == "B"
    appliance.sip = False
    assert "the registrar refuses" in board.handset("update", "--slot", "start").stderr
    assert "reboot" in (board.folder / "run/asked").read_text()
    appliance.sip = True
    assert board.switch_on()[0] == "A"
    assert board.handset("update", "--slot", "start").returncode == 0
    assert (board.report()["outcome"], board.report()["reason"]) == (
        "stepped_back",
        "sip: the registrar refuses",
    )
    assert board.switch_on()[0] == "A"


def test_what_somebody_else_signed_and_what_comes_during_a_call_is_refused(board, appliance, tmp_path):
    board.switch_on()
    before = loader.read_variables(board.card)
    strange = signing({}, tmp_path / "others")
    done = board.handset("update", str(board.bundle("3", strange)))
    assert done.returncode != 0
    assert board.report()["outcome"] == "refused"
    assert loader.read_variables(board.card) == before
    assert board.switch_on()[0] == "A"
