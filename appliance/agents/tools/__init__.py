"""What an agent can do: classes built from `Services`, named in the entry-point group `appliance.tools`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from appliance.agents.timers import Timers
from appliance.errors import RequestInvalid
from appliance.interfaces import ToolDeclaration


@dataclass(frozen=True, slots=True)
class Services:
    """What the daemon lends to all tools."""

    timers: Timers
    contacts: Mapping[str, str] = field(default_factory=dict)
    clock_believed: Callable[[], bool] = lambda: True
    """False while the wall clock may be wrong."""


def declare(
    name: str,
    description: str,
    required: tuple[str, ...] = (),
    *,
    takes_seconds: float = 0.0,
    **properties: Mapping[str, Any],
) -> ToolDeclaration:
    """A declaration whose parameters are an object with `properties` and nothing else."""
    parameters = {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }
    return ToolDeclaration(name, description, parameters, seconds=takes_seconds)


def text_of(
    arguments: Mapping[str, Any], name: str, *, default: str | None = None, longest: int = 100
) -> str:
    """The argument as a stripped text. Raise RequestInvalid when it is missing, no text, or too long."""
    value = arguments.get(name, default)
    if not isinstance(value, str):
        raise RequestInvalid(f"{name} must be a text.")
    if len(value) > longest:
        raise RequestInvalid(f"{name} is too long.")
    return value.strip()


def number_of(arguments: Mapping[str, Any], name: str, low: float, high: float) -> float | None:
    """The argument as a number from `low` to `high`; None when it is missing. Raise RequestInvalid otherwise."""
    value = arguments.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise RequestInvalid(f"{name} must be a number from {low:g} to {high:g}.")
    return value
