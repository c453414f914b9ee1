"""Finds a driver, provider or tool by its entry-point name. Built-in and third-party ones load the same way."""

import difflib
import functools
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

from appliance.errors import DriverMissing, UnknownName

Factory = Callable[..., Any]


def names(group: str) -> list[str]:
    """Names that are installed in `group`, for example "appliance.voice_detectors"."""
    return sorted({point.name for point in _installed(tuple(sys.path)).select(group=group)})


def load(group: str, name: str) -> Factory:
    """Import and return the factory called `name` in `group`; nothing else of the group is imported.

    Raise UnknownName when nothing of that name is installed, and DriverMissing when its library is not.
    """
    found = list(_installed(tuple(sys.path)).select(group=group, name=name))
    if not found:
        raise UnknownName(
            f"{group.removeprefix('appliance.')} has no {name!r}", hint=_nearest(name, names(group))
        )
    try:
        factory: Factory = found[0].load()
    except ImportError as error:
        library = (error.name or str(error)).partition(".")[0]
        raise DriverMissing(
            f"{name!r} of {group.removeprefix('appliance.')} needs {library}, which cannot be imported: {error}",
            hint=f"install the library {library}, or choose another in the configuration",
        ) from error
    return factory


@functools.cache
def _installed(_: tuple[str, ...]) -> Any:
    """Read once for each search path: every look goes through the metadata of all that is installed."""
    return entry_points()


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"there are: {', '.join(known)}" if known else "nothing of the kind is installed"
