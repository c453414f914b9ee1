"""An update from its file to its outcome: checked, unpacked, tried, and kept or taken back."""

import platform
import secrets
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from appliance.errors import ReleaseRefused
from provisioning.release.bundle import Bundle
from provisioning.release.gate import Gate, Verdict, new_failures
from provisioning.release.manifest import Manifest, misfit
from provisioning.release.quiet import LOOK_SECONDS, Around, quiet
from provisioning.release.trial import Outcome, Releases, Report, Trial

PATIENCE_SECONDS: Final = 600.0
"""How long a call may keep an update waiting, by default."""
HANG_UP_SECONDS: Final = 300.0
"""How long a call may keep a bad release in force that still carries it."""


class Service(Around, Protocol):
    """The machine around the releases."""

    def restart(self) -> None:
        """Have `current` run: returns when the service is up, or has failed to be."""
        ...

    def rejects(self, release: Path) -> str:
        """What that release finds wrong with the present configuration; empty when it takes it."""
        ...

    def failures(self, release: Path) -> Sequence[str]:
        """Which checks of that release's doctor fail: among them, its handshake with each provider."""
        ...


@dataclass(frozen=True, slots=True)
class Fit:
    """What runs here, and what may be asked for besides."""

    machine: str = platform.machine()
    python: str = f"{sys.version_info.major}.{sys.version_info.minor}"
    older: bool = False
    patience: float = PATIENCE_SECONDS


class Update:
    """`tell` gets each step in words. One at a time: the caller holds the lock."""

    def __init__(
        self,
        releases: Releases,
        service: Service,
        keys: Sequence[Ed25519PublicKey],
        tell: Callable[[str], None],
        fit: Fit | None = None,
    ) -> None:
        self._releases = releases
        self._service = service
        self._keys = keys
        self._tell = tell
        self._fit = fit or Fit()

    def install(self, path: Path) -> Report:
        """Take the release in `path`; the report says how it went. Raise ReleaseRefused where nothing was changed."""
        self._releases.settle(self._service.now())
        self._releases.tidy()
        with Bundle(path, self._keys) as bundle:
            self._accept(bundle.manifest)
            self._tell(f"unpacking version {bundle.manifest.version}")
            release = self._releases.unpack(bundle)
        if fault := self._service.rejects(release):
            self._releases.tidy()
            raise ReleaseRefused(
                f"this version does not take the present configuration: {fault}",
                hint="correct it first: handset check",
            )
        return self._try(release, bundle.manifest.version)

    def back(self) -> Report:
        """Go back to the release before the last update, through the same gate."""
        release = self._releases.previous()
        if release is None:
            raise ReleaseRefused("there is no version to go back to")
        return self._try(release, self._releases.version(release))

    def _accept(self, manifest: Manifest) -> None:
        if fault := misfit(manifest, self._fit.machine, self._fit.python):
            raise ReleaseRefused(f"this release does not run here: {fault}")
        present = self._releases.version()
        if present and not self._fit.older and _ordered(manifest.version) < _ordered(present):
            raise ReleaseRefused(
                f"version {manifest.version} is older than {present}",
                hint="to go back: handset update --back",
            )

    def _try(self, release: Path, version: str) -> Report:
        before = quiet(self._service, self._fit.patience)
        if before.busy:
            raise ReleaseRefused(
                "a call or a conversation went on all the time", hint="try again when it is over"
            )
        present = self._releases.places.current.resolve()
        failing = self._service.failures(present)
        trial = Trial(secrets.token_hex(6), version, self._releases.version(), str(present))
        self._tell(f"switching from version {trial.from_version} to {version}")
        try:
            self._releases.begin(trial, release)
            self._service.restart()
            reason = self._watch(Gate(before, self._service.steady()), release, failing)
        except BaseException:
            self._releases.settle(self._service.now())
            self._service.restart()
            raise
        if not reason:
            self._tell(f"version {version} is good")
            return self._releases.commit(trial, self._service.now())
        self._tell(f"version {version} is taken back: {reason}")
        if self._service.reading().answers:
            quiet(self._service, HANG_UP_SECONDS)
        report = self._releases.step_back(trial, reason, self._service.now())
        self._service.restart()
        return report

    def _watch(self, gate: Gate, release: Path, failing: Sequence[str]) -> str:
        """Why the release is bad; empty when it is good."""
        while True:
            verdict = gate.look(self._service.reading(), self._service.steady())
            if verdict is Verdict.BAD:
                return gate.reason
            if verdict is Verdict.GOOD:
                trouble = new_failures(failing, self._service.failures(release))
                if not trouble:
                    return ""
                gate.again(f"handset doctor: {trouble}")
            self._service.sleep(LOOK_SECONDS)


def _ordered(version: str) -> tuple[tuple[int, str], ...]:
    """Numbers by size, words by the alphabet and before numbers: 1.2.0rc1 is older than 1.2.0 is older than 1.10."""
    release, mark, rest = version.partition("rc")
    parts = [(int(part), "") if part.isdecimal() else (-1, part) for part in release.split(".")]
    candidate = (int(rest), "") if rest.isdecimal() else (0, rest)
    return (*parts, (-2, ""), candidate) if mark else (*parts, (0, ""))


def outcome_told(report: Report) -> str:
    """One sentence for a terminal."""
    if report.outcome == Outcome.UPDATED:
        return f"version {report.version} is in force"
    return f"version {report.version or '?'} was taken back to {report.from_version}: {report.reason}"
