"""The stages of a ladder, found by name and built with the keys that concern them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from appliance import plugins
from appliance.config.stages import stage_settings

LAST_VOICE: Final = "espeak"
"""Whoever has an answer should hear it: the device's own voice is the last rung, named or not."""


def names_of(value: Any) -> tuple[str, ...]:
    """A name, several, or none."""
    return (value,) if isinstance(value, str) and value else tuple(value or ())


def load_stages(
    kind: str, names: Sequence[str], chain: Mapping[str, Any], tables: Mapping[str, Mapping[str, Any]]
) -> list[Any]:
    """`chain` is `[providers.chain]`, whose keys are those of the first; `tables` are all provider tables.

    Raise UnknownName, DriverMissing, ConfigurationInvalid.
    """
    stages = []
    for place, name in enumerate(names):
        factory: Any = plugins.load(f"appliance.{kind}", name)
        section = tables.get(getattr(factory, "section", name), {})
        stages.append(factory(stage_settings(kind, factory, section, {} if place else chain)))
    return stages
