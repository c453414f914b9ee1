"""The stages of a ladder, found by name and built with the keys that concern them."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from appliance import plugins
from appliance.config.stages import LAST_VOICE, stage_settings
from appliance.errors import ApplianceError
from appliance.providers.chain.rungs import Rungs, verdict
from appliance.providers.chain.stage_faults import blamed_on
from appliance.stages import Stage

__all__ = ["LAST_VOICE", "load_stages", "names_of", "warm_first"]


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


async def warm_first(stages: Sequence[Stage], rungs: Rungs) -> None:
    """Have the first stage ready that can be: what is not installed or not set up leaves its place to the next.

    Raise the fault that speaks for all where none can be.
    """
    clock = asyncio.get_running_loop().time
    faults: list[ApplianceError] = []
    for rung in rungs.order(clock()):
        try:
            with blamed_on(stages[rung].name):
                await stages[rung].warm()
        except ApplianceError as fault:
            rungs.failed(rung, fault, clock())
            faults.append(fault)
        else:
            return
    if faults:
        raise verdict(faults)
