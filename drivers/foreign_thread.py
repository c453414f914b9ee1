"""A library's own thread that calls into Python, block after block.

CPython makes such a thread a state for each call, maps memory for its frames, and gives both back when the call
returns: a third of what a block of sound costs.
"""

import ctypes
from typing import Final

MOST: Final = 32
"""Threads whose state is kept. What a kept one holds, some 20 kB, is not given back when its thread ends: a device that
comes and goes for ever must not take memory for ever."""
_places: Final = iter(range(MOST))


def keep_state() -> None:
    """Let the calling thread have the same state in all its calls. To be called within its first one."""
    if next(_places, None) is not None:
        # Never released: the state goes when the last of these is.
        ctypes.pythonapi.PyGILState_Ensure()
