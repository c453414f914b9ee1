"""Switching to a release and back, so that a power cut at any step leaves one that runs, and the truth about it.

    begin     trial.json is written, then `current` leads to the new release
    commit    report.json says "updated", then trial.json goes
    return    `current` leads back, report.json says "stepped_back", then trial.json goes

So `current` leads to a release that is not known to be good only while trial.json is there, and whoever finds it at the
start of the system (settle) goes back.
"""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from appliance.errors import ReleaseRefused
from provisioning.release.manifest import Manifest
from provisioning.release.places import Places, runnable

CUT_OFF = "the power went, or the update was stopped, before the new version had proved itself"
LOST = "the version that was in force cannot be found"


class Packed(Protocol):
    """What `unpack` takes: provisioning.release.bundle.Bundle, whose libraries nobody else needs."""

    manifest: Manifest

    def unpack(self, into: Path) -> None: ...


class Outcome(StrEnum):
    UPDATED = "updated"
    STEPPED_BACK = "stepped_back"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Report:
    """What became of an update to `version` at `at`, in Unix seconds."""

    id: str
    outcome: str
    version: str
    from_version: str
    reason: str
    at: float
    before: str = ""
    """The version that `--back` leads to: of the last update that was good, whatever was tried since."""


@dataclass(frozen=True, slots=True)
class Trial:
    """An update under way: `back` is where `current` led before."""

    id: str
    version: str
    from_version: str
    back: str


class Settling(StrEnum):
    """What the start of the system has to do about an update that was under way."""

    NOTHING = "nothing"
    FINISH = "finish"
    STEP_BACK = "step back"
    REPAIR = "repair"


def settling(trial: Trial | None, report: Report | None, *, runs: bool) -> Settling:
    """Pure. `runs`: `current` leads to a whole release."""
    if trial is None:
        return Settling.NOTHING if runs else Settling.REPAIR
    if report is not None and report.id == trial.id and runs:
        return Settling.FINISH
    return Settling.STEP_BACK


class Disk:
    """Changes that last once a method returns. `step` is called before each, for whoever pulls the plug there."""

    def __init__(self, step: Callable[[str], None] = lambda _: None) -> None:
        self._step = step

    def write(self, path: Path, body: Any) -> None:
        """All of it or nothing."""
        part = path.with_name(f".{path.name}.part")
        self._step(f"write {part.name}")
        with part.open("w", encoding="utf-8") as file:
            json.dump(body, file)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        self._replace(part, path)

    def link(self, path: Path, target: Path) -> None:
        """`path` leads to `target`, from one moment to the next."""
        part = path.with_name(f".{path.name}.part")
        part.unlink(missing_ok=True)
        self._step(f"link {part.name}")
        part.symlink_to(target)
        self._replace(part, path)

    def place(self, part: Path, path: Path) -> None:
        """A folder that is written gets its name."""
        for folder in [part, *(found for found in part.rglob("*") if found.is_dir())]:
            _sync(folder)
        self._replace(part, path)

    def remove(self, path: Path) -> None:
        self._step(f"remove {path.name}")
        path.unlink(missing_ok=True)
        _sync(path.parent)

    def remove_tree(self, path: Path) -> None:
        """First its name goes, so that what is half removed is no release."""
        if path.exists():
            gone = path.with_name(f".{path.name.lstrip('.')}.gone")
            shutil.rmtree(gone, ignore_errors=True)
            self._replace(path, gone)
            self._step(f"remove {gone.name}")
            shutil.rmtree(gone, ignore_errors=True)

    def _replace(self, part: Path, path: Path) -> None:
        self._step(f"rename to {path.name}")
        part.replace(path)
        _sync(path.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Releases:
    """What lies in `places`. One process at a time: the caller holds the lock."""

    def __init__(self, places: Places, disk: Disk | None = None) -> None:
        self.places = places
        self._disk = disk or Disk()

    def version(self, release: Path | None = None) -> str:
        """The version of a release, by default of the one in force; empty where that is not known."""
        found = (release or self.places.current).resolve()
        named = found.name if found.parent == self.places.releases.resolve() else ""
        return named or _installed(found)

    def trial(self) -> Trial | None:
        body = _read(self.places.trial)
        try:
            return Trial(**body) if body is not None else None
        except TypeError:
            # Not ours, yet there: what it was about is not known any more, but that there was something is.
            return Trial("", "", "", str(self.places.factory))

    def report(self) -> Report | None:
        try:
            return Report(**body) if (body := _read(self.places.report)) is not None else None
        except TypeError:
            return None

    def unpack(self, bundle: Packed) -> Path:
        """The bundle's files in a folder of their own, whole and lasting before it gets its name."""
        version = bundle.manifest.version
        part, release = self.places.part(version), self.places.release(version)
        self.places.releases.mkdir(parents=True, exist_ok=True)
        if self.places.current.resolve() == release.resolve():
            raise ReleaseRefused(f"version {version} is in force already")
        self._disk.remove_tree(part)
        self._disk.remove_tree(release)
        part.mkdir(mode=0o755)
        try:
            bundle.unpack(part)
            self._disk.place(part, release)
        except ReleaseRefused:
            self._disk.remove_tree(part)
            raise
        return release

    def begin(self, trial: Trial, release: Path) -> None:
        self._disk.write(self.places.trial, asdict(trial))
        self._disk.link(self.places.current, release)

    def commit(self, trial: Trial, at: float) -> Report:
        before = trial.from_version
        report = Report(trial.id, Outcome.UPDATED, trial.version, trial.from_version, "", at, before)
        self._disk.write(self.places.report, asdict(report))
        self._disk.remove(self.places.trial)
        self.tidy()
        return report

    def tidy(self) -> None:
        """Take away what is neither in force nor what `--back` leads to: tried in vain, or cut off."""
        keep = {self.places.current.resolve().name, self._before()}
        for release in self.places.releases.iterdir() if self.places.releases.is_dir() else ():
            if release.name not in keep:
                self._disk.remove_tree(release)

    def step_back(self, trial: Trial, reason: str, at: float) -> Report:
        """To where `current` led before; to the release of the system where that is gone."""
        self._disk.link(self.places.current, self._way_back(Path(trial.back)))
        report = Report(
            trial.id, Outcome.STEPPED_BACK, trial.version, trial.from_version, reason, at, self._before()
        )
        self._disk.write(self.places.report, asdict(report))
        self._disk.remove(self.places.trial)
        return report

    def refuse(self, report: Report) -> None:
        self._disk.write(self.places.report, asdict(replace(report, before=self._before())))

    def settle(self, at: float) -> Report | None:
        """At the start of the system, and whenever an update ended in any way. What was done, or None."""
        trial, report = self.trial(), self.report()
        doing = settling(trial, report, runs=runnable(self.places.current))
        if doing is Settling.FINISH:
            self._disk.remove(self.places.trial)
        elif trial is not None and doing is Settling.STEP_BACK:
            return self.step_back(trial, CUT_OFF, at)
        elif doing is Settling.REPAIR:
            self._disk.link(self.places.current, self._way_back(self.places.factory))
            lost = Report(
                f"repair-{at:.0f}", Outcome.STEPPED_BACK, "", self.version(), LOST, at, self._before()
            )
            self._disk.write(self.places.report, asdict(lost))
            return lost
        return None

    def previous(self) -> Path | None:
        """What `current` led to before the last update that was good."""
        before = self._before()
        release = self.places.release(before)
        found = release if before and runnable(release) else self.places.factory
        return found if before and found.resolve() != self.places.current.resolve() else None

    def _before(self) -> str:
        report = self.report()
        return report.before if report is not None else ""

    def _way_back(self, wanted: Path) -> Path:
        others = sorted(self.places.releases.glob("[0-9]*")) if self.places.releases.is_dir() else []
        for release in (wanted, self.places.factory, *others):
            if runnable(release):
                return release
        return self.places.factory


def _installed(release: Path) -> str:
    found = sorted(release.glob("site/handset-*.dist-info"))
    return found[-1].name.removeprefix("handset-").removesuffix(".dist-info") if found else ""


def _read(path: Path) -> dict[str, Any] | None:
    """None where there is no file; what cannot be read is an empty object."""
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return {}
    return body if isinstance(body, dict) else {}
