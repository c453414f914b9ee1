"""Libraries as they are loaded: what comes with one stays to the end of the process."""

import contextlib
import gc
import os
import sys
import threading
from collections.abc import Iterator

from appliance.errors import DriverMissing


class _Collector:
    """The interpreter's garbage collector, held back while any thread loads something."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loading = 0
        self._was_on = True

    def hold_back(self) -> None:
        with self._lock:
            if not self._loading:
                self._was_on = gc.isenabled()
                gc.disable()
            self._loading += 1

    def go_on(self, *, loaded: bool) -> None:
        """What is there now is never looked through again where something was `loaded`."""
        with self._lock:
            self._loading -= 1
            if loaded:
                gc.freeze()
            if not self._loading and self._was_on:
                gc.enable()


_collector = _Collector()


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Around imports, of any thread: the garbage collector looks through what they load neither meanwhile nor later.

    It would find nothing, and take a seventh of the time; a search later, through all of a library, holds the
    interpreter longer than a block of sound lasts. Where nothing is loaded, nothing is kept.
    """
    _collector.hold_back()
    before = len(sys.modules)
    try:
        yield
    finally:
        _collector.go_on(loaded=len(sys.modules) > before)


@contextlib.contextmanager
def library(name: str, package: str = "") -> Iterator[None]:
    """Around the imports of one, as `kept`. Raise DriverMissing, with the `package` to install, where they fail."""
    try:
        with kept():
            yield
    except ImportError as fault:
        hint = f"install the library {package or name}"
        raise DriverMissing(f"{name} cannot be imported: {fault}", hint=hint) from fault


def without_threads() -> None:
    """Have numpy compute in the thread that asks; to be called before it is loaded.

    For matrices that are larger than any of ours, its library starts a thread for each further processor, which at
    first waits by turning round.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
