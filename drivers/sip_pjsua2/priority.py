# SPDX-License-Identifier: GPL-2.0-or-later
"""A real-time priority for the SIP process, which a thread that does not rest loses again.

A real-time thread that runs on starves the whole machine, so the service bounds how long one may run without sleeping
(`LimitRTTIME`): at the soft limit the kernel sends SIGXCPU, at the hard one it kills (setrlimit(2)). To start the
library takes longer than that on a small board, so the priority is taken after it.
"""

import logging
import os
import signal
from pathlib import Path
from typing import Final

logger = logging.getLogger(__name__)

PRIORITY: Final = 10
_NICE: Final = -10


def take() -> None:
    """Every thread that this process has, and those that they will start."""
    signal.signal(signal.SIGXCPU, _give_back)
    if not _all_threads(os.SCHED_FIFO, PRIORITY):
        try:
            os.setpriority(os.PRIO_PROCESS, 0, _NICE)
        except OSError:
            logger.info("no right to a higher priority: audio may stutter when the machine is busy")


def _give_back(_number: int, _frame: object) -> None:
    _all_threads(os.SCHED_OTHER, 0)
    logger.warning("a thread ran too long without a rest: no real-time priority from now on")


def _all_threads(policy: int, priority: int) -> bool:
    """Whether the kernel let us. A thread that ended meanwhile is none."""
    for thread in Path("/proc/self/task").iterdir():
        try:
            os.sched_setscheduler(int(thread.name), policy, os.sched_param(priority))
        except ProcessLookupError:
            continue
        except OSError:
            return False
    return True
