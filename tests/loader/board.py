"""A board with two slots and RAUC, and the appliance that RAUC's handlers ask."""

import json
import os
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from image import bundle, environment
from image.signing import Signing, signing
from tests.loader.cards import OFFSETS, SLOT_BYTES, card
from tests.loader.test_boot_script import starts

CHECKOUT = Path(__file__).parents[2]


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
