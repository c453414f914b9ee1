"""Updates of the system: `update` with a bundle of RAUC's, and what RAUC's handlers and `handset-slot.service` call."""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from appliance.errors import NotPossible, ReleaseRefused
from provisioning.release.places import PROGRAM, Places
from provisioning.release.trial import Outcome, Report
from provisioning.release.update import Service
from provisioning.slots.rauc import Rauc
from provisioning.slots.trial import Slots
from provisioning.slots.update import SystemUpdate

_RESTART: Final = "handset-slot-restart"
_MOUNTED: Final = "RAUC_BUNDLE_MOUNT_POINT"


def update_system(bundle: Path, tell: Callable[[str], None]) -> int:
    """Have RAUC write the bundle into the other slot; the restart into it waits for the end of calls.

    Raise ReleaseRefused where RAUC does not take it; that is told as the application's refusals are.
    """
    slots = Slots()
    if not slots.slot:
        raise NotPossible(
            "this system has no second slot", hint="only the SD image of flavour debian has two"
        )
    tell("the new system is checked, and written beside the one that runs: this takes minutes")
    try:
        Rauc().install(bundle.resolve())
    except ReleaseRefused as error:
        now = time.time()
        trial = slots.trial()
        version = trial.version if trial is not None and not trial.installed else ""
        slots.refuse(
            Report(f"refused-{now:.0f}", Outcome.REFUSED, version, slots.version, error.message, now)
        )
        raise
    print(f"written; the appliance restarts into it when nobody calls: journalctl -f -u {_RESTART}")
    return 0


def slot_moment(moment: str, service: Service, tell: Callable[[str], None]) -> int:
    """One of the moments of an update, for root; 0 done. Raise ReleaseRefused, on which RAUC gives up."""
    work = SystemUpdate(Slots(), service, Rauc(), tell)
    if moment == "prepare":
        work.prepare(_version(Path(os.environ.get(_MOUNTED, "/nowhere")) / "version"))
    elif moment == "installed":
        work.installed()
        _restart_apart(Places().factory)
    elif moment == "restart":
        work.restart()
    else:
        work.start()
    return 0


def _version(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ReleaseRefused("this bundle does not say its version", hint="make image makes one") from error


def _restart_apart(factory: Path) -> None:
    """RAUC does not wait for the end of a call; a unit of its own does."""
    command = ["systemd-run", "--quiet", "--collect", f"--unit={_RESTART}"]
    done = subprocess.run(
        [*command, str(factory / PROGRAM), "update", "--slot", "restart"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ReleaseRefused(f"the restart could not be arranged: {done.stderr.strip()}")
