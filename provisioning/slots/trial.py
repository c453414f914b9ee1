"""What is known of an update of the system, on disk and as a decision.

    prepared   RAUC is about to write: trial.json names the slot and what worked before; `installed` is false
    installed  the slot is written: `installed` is true; a restart is due
    proved     the new system worked as well as the one before: report.json says "updated", trial.json goes
    fell back  the one before runs again: report.json says "stepped_back" and why, trial.json goes

The boot loader's counters decide which system starts (image/boot/boot.cmd); these files only say what it was about.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from provisioning.release.gate import Reading
from provisioning.release.trial import Disk, Outcome, Report

WORD: Final = "rauc.slot="
NOT_WRITTEN: Final = "the power went, or the update was stopped, before it was written"
STOPPED: Final = "it does not start any more, or somebody chose the one before"
DID_NOT_START: Final = "it did not start, or did not get far enough to prove itself"


@dataclass(frozen=True, slots=True)
class SlotTrial:
    """An update of the system to `version` in `slot`, from `from_version`.

    `boot` is the kernel's id of the run that wrote it, `ready`, `failing` and `doctor` what worked and what failed
    then, `reason` why the new system was given up.
    """

    id: str
    slot: str
    version: str
    from_version: str
    boot: str
    ready: bool = False
    failing: tuple[str, ...] = ()
    doctor: tuple[str, ...] = ()
    installed: bool = False
    reason: str = ""

    @property
    def before(self) -> Reading:
        """What the gate compares with."""
        return Reading(active=True, answers=True, ready=self.ready, failing=frozenset(self.failing))


class Duty(StrEnum):
    """What a start of the system has to do about its slot."""

    KEEP = "keep"
    PROVE = "prove"
    WAIT = "wait"
    TELL = "tell"


def duty(trial: SlotTrial | None, slot: str, boot: str) -> Duty:
    """Pure. `slot` is the one that runs, `boot` the id of this run."""
    if trial is None:
        return Duty.KEEP
    if trial.slot == slot:
        return Duty.PROVE
    return Duty.WAIT if trial.boot == boot else Duty.TELL


def gave_up(report: Report, version: str) -> bool:
    """Whether a system that had proved itself stopped starting: the one before it runs, and nobody asked for that."""
    if report.outcome != Outcome.UPDATED or report.version == report.from_version:
        return False
    return version == report.from_version


def fell_back(trial: SlotTrial, at: float) -> Report:
    """What the system before says of an update that is over."""
    reason = trial.reason or (DID_NOT_START if trial.installed else NOT_WRITTEN)
    return Report(trial.id, Outcome.STEPPED_BACK, trial.version, trial.from_version, reason, at)


def slot_of(command_line: str) -> str:
    """The slot that the kernel was started from, by its command line; empty where there are none."""
    found = [word.removeprefix(WORD) for word in command_line.split() if word.startswith(WORD)]
    return found[-1] if found else ""


def other(slot: str) -> str:
    """The slot that does not run."""
    return "B" if slot == "A" else "A"


def image_version(os_release: str) -> str:
    """IMAGE_VERSION of an os-release file."""
    for line in os_release.splitlines():
        if line.startswith("IMAGE_VERSION="):
            return line.partition("=")[2].strip('"')
    return ""


@dataclass(frozen=True, slots=True)
class SlotPlaces:
    """`root` is on storage that both slots share; the rest is what the running system says of itself."""

    root: Path = Path("/opt/handset")
    command_line: Path = Path("/proc/cmdline")
    boot_id: Path = Path("/proc/sys/kernel/random/boot_id")
    os_release: Path = Path("/etc/os-release")

    @property
    def trial(self) -> Path:
        """There exactly while an update of the system is under way."""
        return self.root / "slot-trial.json"

    @property
    def report(self) -> Path:
        """What became of the last one."""
        return self.root / "slot-report.json"


class Slots:
    """The running system's slot, and the update that is or was about it. Blocks."""

    def __init__(self, places: SlotPlaces | None = None, disk: Disk | None = None) -> None:
        self.places = places or SlotPlaces()
        self._disk = disk or Disk()

    @property
    def slot(self) -> str:
        """A or B; empty on a system without slots."""
        return slot_of(_text(self.places.command_line))

    @property
    def version(self) -> str:
        """That of the system that runs; empty where it does not say."""
        return image_version(_text(self.places.os_release))

    @property
    def boot(self) -> str:
        """The id of this run of the kernel."""
        return _text(self.places.boot_id).strip()

    def trial(self) -> SlotTrial | None:
        """The update under way. One that cannot be read is none: counters and slots do not depend on it."""
        body = _object(self.places.trial)
        if body is None:
            return None
        try:
            for name in ("failing", "doctor"):
                body[name] = tuple(body.get(name, ()))
            return SlotTrial(**body)
        except TypeError:
            return None

    def report(self) -> Report | None:
        """What became of the last update; None before the first."""
        body = _object(self.places.report)
        try:
            return Report(**body) if body is not None else None
        except TypeError:
            return None

    def begin(self, trial: SlotTrial) -> None:
        self._disk.write(self.places.trial, asdict(trial))

    def change(self, **what: Any) -> SlotTrial | None:
        """Write the trial with other values; None where there is no trial."""
        trial = self.trial()
        if trial is None:
            return None
        changed = replace(trial, **what)
        self.begin(changed)
        return changed

    def end(self, report: Report) -> Report:
        """The report first, so that a power cut tells it again rather than never."""
        self._disk.write(self.places.report, asdict(report))
        self._disk.remove(self.places.trial)
        return report

    def refuse(self, report: Report) -> None:
        """Nothing was changed; the trial of an update that RAUC did not write goes with it."""
        self._disk.write(self.places.report, asdict(report))
        trial = self.trial()
        if trial is not None and not trial.installed:
            self._disk.remove(self.places.trial)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def _object(path: Path) -> dict[str, Any] | None:
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return body if isinstance(body, dict) else None


Tell = Callable[[str], None]
