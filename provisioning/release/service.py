"""The service as systemd, its control port and a release's own verbs show it."""

import contextlib
import json
import logging
import os
import pwd
import ssl
import stat
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from appliance.errors import ReleaseRefused
from provisioning.release.gate import Reading
from provisioning.release.places import PROGRAM

if TYPE_CHECKING:
    from appliance.config.schema import Control

UNIT: Final = "handset.service"
USER: Final = "handset"
_WILD: Final = ("", "0.0.0.0", "::", "localhost")  # noqa: S104 - compared with, not bound to
_CREDENTIALS: Final = Path("/run/credentials") / UNIT
_SYSTEMCTL_SECONDS: Final = 180.0
_CHECK_SECONDS: Final = 120.0
_DOCTOR_SECONDS: Final = 300.0
_HEALTH_SECONDS: Final = 5.0
_REFUSALS: Final = ("2", "78")
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Page:
    """Where /health is; `context` for HTTPS."""

    url: str
    context: ssl.SSLContext | None = None


def own_page(control: "Control") -> Page:
    """/health of the daemon with these settings, on this machine: trusted by its own certificate, whatever its name."""
    host = "127.0.0.1" if control.bind in _WILD else control.bind
    host = f"[{host}]" if ":" in host else host
    if not control.tls_certificate:
        return Page(f"http://{host}:{control.port}/health")
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    with contextlib.suppress(OSError):
        context.load_verify_locations(control.tls_certificate)
    return Page(f"https://{host}:{control.port}/health", context)


class SystemdService:
    """Implements provisioning.release.update.Service. For root."""

    def __init__(self, health: Page, unit: str = UNIT, user: str = USER) -> None:
        self._health = health
        self._unit = unit
        self._user = user

    def reading(self) -> Reading:
        shown = self._systemctl(
            "show", "--property=ActiveState,NRestarts,MainPID,ExecMainStatus", self._unit
        ).stdout
        unit = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
        return read(unit, self._page())

    def restart(self) -> None:
        # A service that failed often may still be waiting for its next turn.
        self._systemctl("reset-failed", self._unit)
        done = self._systemctl("restart", self._unit)
        if done.returncode:
            logger.warning("%s did not start: %s", self._unit, done.stderr.strip())

    def rejects(self, release: Path) -> str:
        done = self._verb(release, "check", _CHECK_SECONDS)
        if done.returncode == 0:
            return ""
        try:
            faults: list[Mapping[str, Any]] = json.loads(done.stdout)["faults"]
            told = [
                f"{fault.get('key', '')}: {fault['message']}" for fault in faults if not fault.get("warning")
            ]
        except (ValueError, KeyError, TypeError):
            told = []
        return "; ".join(told) or f"handset check ended with {done.returncode}"

    def failures(self, release: Path) -> Sequence[str]:
        done = self._verb(release, "doctor", _DOCTOR_SECONDS)
        try:
            findings: list[Mapping[str, Any]] = json.loads(done.stdout)["findings"]
            return sorted({str(finding["check"]) for finding in findings if finding["state"] == "failed"})
        except (ValueError, KeyError, TypeError):
            return [f"it ended with {done.returncode}"]

    def now(self) -> float:
        return time.time()

    def steady(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def _systemctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                ["systemctl", *words],
                capture_output=True,
                text=True,
                check=False,
                timeout=_SYSTEMCTL_SECONDS,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ReleaseRefused(f"systemctl {words[0]} does not work here: {error}") from error

    def _verb(self, release: Path, verb: str, seconds: float) -> subprocess.CompletedProcess[str]:
        """As the service's user, with its credentials: a release is asked no more than it may do later anyway."""
        environ = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "LANG": "C.UTF-8",
        }
        apart = fenced_in(_CREDENTIALS.parent)
        if apart or _CREDENTIALS.is_dir():
            environ["CREDENTIALS_DIRECTORY"] = str(_CREDENTIALS)
        command = [str(release / PROGRAM), verb, "--json"]
        try:
            return subprocess.run(
                beside(command, self._user, seconds, environ) if apart else command,
                capture_output=True,
                text=True,
                check=False,
                timeout=seconds,
                env=environ,
                cwd="/",
                **({} if apart else _as_user(self._user)),
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return subprocess.CompletedProcess(command, 70, "", str(error))

    def _page(self) -> Mapping[str, Any] | None:
        try:
            request = urllib.request.Request(self._health.url)  # noqa: S310 - the control port's own address
            opener = urllib.request.build_opener(
                urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self._health.context)
            )
            with opener.open(request, timeout=_HEALTH_SECONDS) as answer:
                body = json.load(answer)
        except (OSError, ValueError):
            return None
        return body if isinstance(body, dict) else None


def fenced_in(credentials: Path) -> bool:
    """Whether systemd hides what it gave to other services, as it does from every unit with a sandbox."""
    try:
        return stat.S_IMODE(credentials.stat().st_mode) == 0
    except OSError:
        return False


def beside(command: Sequence[str], user: str, seconds: float, environ: Mapping[str, str]) -> list[str]:
    """The command in a unit of its own, which has no sandbox, with its output here. Pure."""
    properties = (f"User={user}", f"RuntimeMaxSec={seconds:.0f}", "WorkingDirectory=/", "UMask=0077")
    return [
        *("systemd-run", "--quiet", "--pipe", "--wait", "--collect"),
        *(f"--property={one}" for one in properties),
        *(f"--setenv={name}={value}" for name, value in environ.items()),
        *command,
    ]


def read(unit: Mapping[str, str], health: Mapping[str, Any] | None) -> Reading:
    """Pure: what systemd and /health say, as the gate takes it. None: the control port did not answer."""
    active = unit.get("ActiveState") == "active"
    restarts, process = int(unit.get("NRestarts") or 0), int(unit.get("MainPID") or 0)
    if health is None:
        refused = unit.get("ActiveState") == "failed" and unit.get("ExecMainStatus") in _REFUSALS
        return Reading(active, restarts, process, refused=refused)
    parts: Mapping[str, Any] = health.get("parts", {})
    hearts: Mapping[str, Any] = health.get("heartbeats", {})
    counters: Mapping[str, float] = health.get("counters", {})
    return Reading(
        active,
        restarts,
        process,
        answers=True,
        ready=bool(health.get("ready")),
        reasons=tuple(f"{name}: {part['reason']}" for name, part in parts.items() if not part["ok"]),
        failing=frozenset(name for name, part in parts.items() if not part["ok"]),
        stale=frozenset(name for name, heart in hearts.items() if not heart["fresh"]),
        busy=bool(counters.get("activity.calls") or counters.get("activity.talking")),
    )


def _as_user(name: str) -> dict[str, Any]:
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        return {}
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": os.getgrouplist(name, user.pw_gid)}
