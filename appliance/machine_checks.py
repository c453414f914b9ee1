"""What `doctor` looks at of the machine: system, disk, clock, power supply."""

import ctypes
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Final

from appliance import power
from appliance.clock import EARLIEST
from appliance.config.schema import Configuration
from appliance.disk_faults import unwritable
from appliance.finding import FAILED, OK, WARNING, Finding
from appliance.slots import slot_finding

_LOW_DISK_MB: Final = 100
_PROBE_BYTES: Final = 4096


def _clock(_: Configuration) -> Iterator[Finding]:
    if time.time() < EARLIEST:
        yield Finding(
            "clock", FAILED, f"the clock says {time.strftime('%Y-%m-%d')}", "connect to a network with NTP"
        )
        return
    synchronised = _ntp_synchronised()
    if synchronised is False:
        yield Finding("clock", WARNING, "the clock is not synchronised", "see: timedatectl status")
    else:
        yield Finding("clock", OK, time.strftime("%Y-%m-%d %H:%M:%S %Z"))


def _ntp_synchronised() -> bool | None:
    """What the kernel says (adjtimex(2), STA_UNSYNC); None where it does not say."""
    timex = (ctypes.c_long * 64)()
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != 5


def _voltage(_: Configuration) -> Iterator[Finding]:
    """Of the last two seconds: what fell before, the daemon's part `power` has kept."""
    if (alarm := power.find()) is not None and (low := power.fell(alarm)) is not None:
        yield Finding("voltage", FAILED if low else OK, "it falls" if low else "fine", power.REMEDY)


def _disk(configuration: Configuration) -> Iterator[Finding]:
    directory = configuration.storage.directory
    try:
        at = next(path for path in (directory, *directory.parents) if path.exists())
        # Rights alone do not tell of a card that fails, or that the kernel has made read-only for it.
        with tempfile.TemporaryFile(dir=at) as probe:
            probe.write(bytes(_PROBE_BYTES))
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        message, remedy = unwritable(error, "set storage.directory, or run as the service's user")
        yield Finding("disk", FAILED, f"{directory} cannot be written: {message}", remedy)
        return
    free_mb = shutil.disk_usage(at).free // 1_000_000
    state = OK if free_mb >= _LOW_DISK_MB else FAILED
    yield Finding(
        "disk", state, f"{free_mb} MB free at {at}", "make room: history and recordings stop when it is full"
    )


def _python(_: Configuration) -> Iterator[Finding]:
    yield Finding("python", OK, sys.version.split()[0])


def _system(_: Configuration) -> Iterator[Finding]:
    if (found := slot_finding()) is not None:
        yield Finding("system", *found)


MACHINE_CHECKS: Final[tuple[Callable[[Configuration], Iterator[Finding]], ...]] = (
    _python, _system, _disk, _clock, _voltage,
)  # fmt: skip
