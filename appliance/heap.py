"""How the C library keeps this process's memory: for a machine with little of it, not for the last bit of speed."""

import ctypes
from typing import Final

_MMAP_THRESHOLD: Final = -3
_ARENA_MAX: Final = -8
"""mallopt's parameters, as glibc's <malloc.h> numbers them."""
LARGE_BYTES: Final = 128 * 1024
ARENAS: Final = 2


def bound() -> None:
    """Give large blocks back when they are freed, and let threads share two arenas. To be called before any starts.

    By itself, glibc takes blocks of up to 32 MB into its arenas once one of that size was freed, and makes an arena
    for each of our twenty threads: what a network or a recogniser needed for a while then stays. Where the C library
    is another, nothing.
    """
    program = ctypes.CDLL(None)
    if hasattr(program, "mallopt"):
        program.mallopt(_MMAP_THRESHOLD, LARGE_BYTES)
        program.mallopt(_ARENA_MAX, ARENAS)
