"""RAUC as its program shows it."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from appliance.errors import NotPossible, ReleaseRefused

PROGRAM: Final = Path("/usr/bin/rauc")
_SECONDS: Final = 60.0
_INSTALL_SECONDS: Final = 7200.0
_MAGIC: Final = b"hsqs"


def is_bundle(path: Path) -> bool:
    """Whether the file begins as RAUC's bundles do (a squashfs)."""
    try:
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


class Rauc:
    """Implements provisioning.slots.update.Loader. For root."""

    def good(self) -> None:
        self._run(["status", "mark-good", "booted"])

    def bad(self) -> None:
        self._run(["status", "mark-bad", "booted"])

    def first(self, slot: str) -> None:
        self._run(["status", "mark-active", _name(self._run(["status", "--output-format=json"]), slot)])

    def restart(self) -> None:
        subprocess.run(["systemctl", "--no-block", "reboot"], check=False, timeout=_SECONDS)

    def install(self, bundle: Path) -> None:
        """Have the bundle written into the slot that does not run. Raise ReleaseRefused with RAUC's reason."""
        self._run(["install", str(bundle)], _INSTALL_SECONDS)

    def _run(self, words: Sequence[str], seconds: float = _SECONDS) -> str:
        try:
            done = subprocess.run(
                [str(PROGRAM), *words], capture_output=True, text=True, check=False, timeout=seconds
            )
        except FileNotFoundError as error:
            raise NotPossible("this system has no RAUC", hint="only the SD image has two slots") from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ReleaseRefused(f"rauc {words[0]} does not end: {error}") from error
        if done.returncode:
            raise ReleaseRefused(refusal(done.stdout + done.stderr) or f"rauc {words[0]} failed")
        return done.stdout


def refusal(output: str) -> str:
    """Pure: the sentence in what RAUC printed that says why it failed."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    told = [line.partition("LastError:")[2].strip() for line in lines if "LastError:" in line]
    return told[-1] if told and told[-1] else (lines[-1] if lines else "")


def _name(status: str, slot: str) -> str:
    """RAUC's name (rootfs.0) of the slot that the boot loader calls `slot`."""
    try:
        for found in json.loads(status)["slots"]:
            for name, facts in found.items():
                if facts.get("bootname") == slot:
                    return str(name)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ReleaseRefused("what RAUC says of its slots cannot be read") from error
    raise ReleaseRefused(f"RAUC knows no slot {slot}")
