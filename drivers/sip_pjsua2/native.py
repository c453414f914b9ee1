# SPDX-License-Identifier: GPL-2.0-or-later
"""The SIP library below its binding: functions that pjsua2 does not offer, in the file that it was loaded from."""

import ctypes
import logging
import sys

logger = logging.getLogger(__name__)


def library() -> ctypes.CDLL:
    """Raise OSError where pjsua2 was not loaded from a file."""
    native = (module for name, module in tuple(sys.modules.items()) if name.rpartition(".")[2] == "_pjsua2")
    path = next((module.__file__ for module in native), None)
    if path is None:
        raise OSError("pjsua2 is not loaded from a file")
    return ctypes.CDLL(path)


def wait_for_answers(seconds: float) -> None:
    """For so long from now on a request is repeated, and a final answer kept: RFC 3261's timers B, F, H, D and J."""
    try:
        set_timers = library().pjsip_tsx_set_timers
    except (OSError, AttributeError) as error:
        logger.info("whoever does not answer at all is given half a minute: %s", error)
        return
    set_timers.argtypes = (ctypes.c_uint,) * 4
    set_timers.restype = None
    set_timers(0, 0, 0, round(seconds * 1000))
