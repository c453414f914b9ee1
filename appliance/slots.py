"""What is told of the system's slots: in `status`, by `doctor` and aloud."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from provisioning.release.trial import Outcome, Report
from provisioning.slots.trial import NOT_WRITTEN, Slots


def slot_status(slots: Slots | None = None) -> dict[str, Any] | None:
    """The slot that runs, its version, whether it is on trial, and the last update; None without slots. Blocks."""
    found = slots or Slots()
    slot = found.slot
    if not slot:
        return None
    trial, report = found.trial(), found.report()
    return {
        "slot": slot,
        "version": found.version,
        "trial": trial is not None and trial.slot == slot,
        "waiting": trial.version if trial is not None and trial.installed and trial.slot != slot else "",
        "last": asdict(report) if report else None,
    }


def slot_sentence(status: Mapping[str, Any]) -> str:
    """One line for a terminal, of what `slot_status` says."""
    told = f"system {status['version'] or 'of unknown version'} runs in slot {status['slot']}"
    if status["trial"]:
        told += ", and is being tried"
    if status["waiting"]:
        told += f"; {status['waiting']} is written, and waits for a restart"
    if last := status["last"]:
        told += f"; last update: {update_sentence(Report(**last))}"
    return told


def slot_finding(slots: Slots | None = None) -> tuple[str, str, str] | None:
    """What `doctor` says: state, message, remedy. Never failed: an update is not to blame for the one before it."""
    status = slot_status(slots)
    if status is None:
        return None
    last = Report(**status["last"]) if status["last"] else None
    runs = f"{status['version']} in slot {status['slot']}"
    if status["trial"]:
        return "warning", f"{runs} is being tried", "give it some minutes without a call"
    if last is not None and last.outcome == Outcome.STEPPED_BACK:
        return "warning", f"{runs}; {update_sentence(last)}", "journalctl -u handset-slot -u rauc"
    return "ok", runs, ""


def update_sentence(report: Report) -> str:
    """What became of an update of the system, for a terminal."""
    if report.outcome == Outcome.UPDATED:
        return f"to {report.version}"
    if report.outcome == Outcome.REFUSED:
        return f"refused: {report.reason}"
    return f"{report.version} was taken back: {report.reason}"


def spoken(report: Report) -> str:
    """What is said aloud of an update of the system: no versions, which nobody could follow."""
    if report.outcome == Outcome.UPDATED:
        return "My system has been updated."
    if report.outcome != Outcome.STEPPED_BACK:
        return ""
    if report.reason == NOT_WRITTEN:
        return "The update of my system was cut off. I go on with the one I had."
    return "The update of my system did not work here, so I went back to the one before."
