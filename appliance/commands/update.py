"""The verb `update`: a signed release, or system, is put in force, and taken back where it does not do."""

import argparse
import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Final

from appliance.commands.address import find
from appliance.commands.slot import slot_moment, update_system
from appliance.errors import Forbidden, NotPossible, ReleaseRefused
from appliance.slots import slot_sentence, slot_status
from provisioning.release.places import PROGRAM, Places
from provisioning.release.service import UNIT, Page, SystemdService
from provisioning.release.signature import trusted_keys
from provisioning.release.trial import Outcome, Releases, Report
from provisioning.release.update import PATIENCE_SECONDS, Fit, Update, outcome_told
from provisioning.slots.rauc import is_bundle

_JOB: Final = "handset-update"
_SYSTEMD: Final = Path("/run/systemd/system")


def update(args: argparse.Namespace) -> int:
    """0 when the release is in force, 1 when it was taken back or refused, 2 for wrong use, 4 without the rights."""
    places: Places = getattr(args, "places", Places())
    releases = Releases(places)
    if not places.factory.is_dir():
        raise NotPossible(
            f"this is no installed appliance: there is no release in {places.factory}",
            hint="in a checkout: git pull",
        )
    if args.slot:
        return slot_moment(args.slot, _service(args), _say)
    if args.settle:
        return _settle(releases, restart=args.restart)
    if args.file is None and not args.back:
        return _status(releases, as_json=args.json)
    if os.geteuid() != 0:
        raise Forbidden("only root may change the release in force", hint="sudo handset update ...")
    if args.file is not None and is_bundle(args.file):
        with _alone(places):
            return update_system(args.file, _say)
    if not args.here and _SYSTEMD.is_dir():
        return _apart(args, places)
    with _alone(places):
        return _do(args, releases)


def _service(args: argparse.Namespace) -> SystemdService:
    address = find(args)
    scheme = "https" if address.tls else "http"
    host = f"[{address.host}]" if ":" in address.host else address.host
    return SystemdService(Page(f"{scheme}://{host}:{address.port}/health", address.context()))


def _do(args: argparse.Namespace, releases: Releases) -> int:
    service = _service(args)
    fit = Fit(older=args.older, patience=PATIENCE_SECONDS if args.wait is None else args.wait * 60)
    work = Update(releases, service, trusted_keys(releases.places.keys), _say, fit)
    try:
        report = work.back() if args.back else work.install(args.file)
    except ReleaseRefused as error:
        told = f"{error.message} ({error.hint})" if error.hint else error.message
        now = time.time()
        releases.refuse(Report(f"refused-{now:.0f}", Outcome.REFUSED, "", releases.version(), told, now))
        raise
    return 0 if report.outcome == Outcome.UPDATED else 1


def _apart(args: argparse.Namespace, places: Places) -> int:
    """In a unit of its own: neither the end of this terminal nor that of the daemon ends the update half way."""
    before = Releases(places).report()
    settle = f"{places.factory / PROGRAM} update --settle --restart"
    words = ["--older"] if args.older else []
    words += ["--wait", str(args.wait)] if args.wait is not None else []
    words += ["--back"] if args.back else [str(args.file.resolve())]
    command = [
        *(
            "systemd-run",
            "--quiet",
            "--collect",
            "--wait",
            f"--unit={_JOB}",
            f"--property=ExecStopPost={settle}",
        ),
        *(str(places.current.resolve() / PROGRAM), "update", "--here", *words),
    ]
    print(f"this takes a minute or more; what happens: journalctl -f -u {_JOB} -u {UNIT}")
    try:
        code = subprocess.run(command, check=False).returncode
    except OSError as error:
        raise NotPossible("systemd-run cannot be started", hint="apt-get install systemd") from error
    report = of_this_update(before, Releases(places).report())
    if report.outcome == Outcome.REFUSED:
        raise ReleaseRefused(report.reason)
    print(outcome_told(report))
    return code


def of_this_update(before: Report | None, after: Report | None) -> Report:
    """What became of it, known by what was reported before: by the time it is not, a clock may be set meanwhile."""
    if after is None or after == before:
        raise NotPossible(
            "the update did not end by itself", hint=f"journalctl -u {_JOB}; another one may be under way"
        )
    return after


def _settle(releases: Releases, *, restart: bool) -> int:
    with _alone(releases.places):
        report = releases.settle(time.time())
    if report is not None:
        _say(outcome_told(report))
        if restart:
            subprocess.run(["systemctl", "--no-block", "restart", UNIT], check=False)
    return 0


def _status(releases: Releases, *, as_json: bool) -> int:
    report, system = releases.report(), slot_status()
    if as_json:
        body = {"version": releases.version(), "trial": releases.trial() is not None}
        print(json.dumps(body | {"last": asdict(report) if report else None, "system": system}))
        return 0
    print(f"version {releases.version() or 'unknown'} is in force")
    if report is not None:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(report.at))
        told = f"refused: {report.reason}" if report.outcome == Outcome.REFUSED else outcome_told(report)
        print(f"last update, {when}: {told}")
    if system is not None:
        print(slot_sentence(system))
    return 0


@contextmanager
def _alone(places: Places) -> Iterator[None]:
    """One update at a time. Raise NotPossible while there is another."""
    try:
        places.root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(places.root / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Forbidden(
            f"{places.root} cannot be written: {error.strerror}", hint="sudo handset update ..."
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise NotPossible("another update is under way", hint=f"journalctl -f -u {_JOB}") from error
    try:
        yield
    finally:
        os.close(descriptor)


def _say(text: str) -> None:
    print(f"handset: {text}", file=sys.stderr, flush=True)
