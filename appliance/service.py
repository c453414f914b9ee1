"""What the service manager is told: that we are ready, how we are, that we end; and that we are alive.

Without one ($NOTIFY_SOCKET), or without the library that reaches it, nobody is told, and nothing else changes.
"""

import logging
import os
import time
from collections.abc import Mapping

from appliance import plugins
from appliance.errors import ApplianceError
from appliance.interfaces import ServiceManager

_log = logging.getLogger(__name__)


class Notifier:
    """Tells `manager`, or nobody. `watchdog` is the seconds within which it wants to be fed; 0 when it does not."""

    def __init__(self, manager: ServiceManager | None = None, watchdog: float = 0.0) -> None:
        self._manager = manager
        self.watchdog = watchdog if manager is not None else 0.0

    def ready(self) -> None:
        """The control API listens."""
        self._tell("READY=1", f"MAINPID={os.getpid()}")

    def stopping(self) -> None:
        self._tell("STOPPING=1", "STATUS=stopping")

    def reloading(self) -> None:
        """To be followed by `ready`."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def status(self, sentence: str) -> None:
        self._tell(f"STATUS={sentence}")

    def feed(self) -> None:
        """To the watchdog."""
        self._tell("WATCHDOG=1")

    def _tell(self, *lines: str) -> None:
        if self._manager is not None:
            self._manager.notify(*lines)


def find_manager(environ: Mapping[str, str] = os.environ) -> Notifier:
    """The notifier for the service manager that started us, if one did."""
    if not environ.get("NOTIFY_SOCKET"):
        return Notifier()
    try:
        manager: ServiceManager = plugins.load("appliance.service_managers", "systemd")()
    except ApplianceError as error:
        _log.error(
            "systemd is not told that this is ready (%s); on Debian: apt-get install python3-systemd",
            error.message,
        )
        return Notifier()
    return Notifier(manager, watchdog_seconds(environ, os.getpid()))


def watchdog_seconds(environ: Mapping[str, str], pid: int) -> float:
    """What sd_watchdog_enabled(3) says: the limit for this process in seconds, or 0."""
    microseconds = environ.get("WATCHDOG_USEC", "")
    ours = environ.get("WATCHDOG_PID", str(pid)) == str(pid)
    return int(microseconds) / 1e6 if ours and microseconds.isdecimal() else 0.0
