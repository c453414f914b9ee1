"""Which stages a configuration asks for: those of `[providers.chain]`, and those that accompany a realtime provider.

Their classes are imported for that, SDKs are not.
"""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from appliance import plugins
from appliance.config.schema import Configuration, ProviderSection
from appliance.config.services import empty
from appliance.config.stages import KINDS, LAST_VOICE, stage_settings
from appliance.errors import ApplianceError

CHAIN: Final = "chain"
_DEFAULTS: Final = {"stt": ("deepgram",), "llm": ("openai",), "tts": ("cartesia",)}


@dataclass(frozen=True, slots=True)
class WantedStage:
    """`stage` is its class, `settings` are the keys that concern it. `named`: not just as the last voice."""

    kind: str
    stage: Any
    settings: Mapping[str, Any]
    named: bool = True

    @property
    def table(self) -> str:
        """The name of its `[providers.NAME]`."""
        return table_of(self.stage)


def given(section: ProviderSection) -> dict[str, Any]:
    """What was set in it, and is not empty."""
    return {key: value for key, value in section.model_dump(exclude_unset=True).items() if not empty(value)}


def accompanied(section: ProviderSection) -> bool:
    """A realtime provider that has another's ear or voice, or should have one."""
    keys = given(section)
    return bool(keys.get("stt") or keys.get("tts") or keys.get("output") == "text")


def ladder(provider: str, kind: str, configuration: Configuration) -> tuple[str, ...]:
    """The names of the stages that are wanted; what is no name is left to its type's own fault."""
    section = configuration.providers.get(provider, ProviderSection())
    value = given(section).get(kind) or (_DEFAULTS[kind] if provider == CHAIN else ())
    names = (value,) if isinstance(value, str) else value if isinstance(value, list | tuple) else ()
    return tuple(name for name in names if isinstance(name, str))


def wanted_stages(provider: str, configuration: Configuration) -> Iterator[WantedStage]:
    """Of the chain, or of what accompanies another provider; those that are installed, in the order of their rungs."""
    chain = tables(configuration).get(CHAIN, {})
    for kind in KINDS:
        names = ladder(provider, kind, configuration)
        last = [LAST_VOICE] if kind == "tts" and names and LAST_VOICE not in names else []
        for place, name in enumerate((*names, *last)):
            stage = stage_class(kind, name)
            if stage is not None:
                section = configuration.providers.get(table_of(stage), ProviderSection()).model_dump()
                settings = stage_settings(kind, stage, section, {} if place else chain)
                yield WantedStage(kind, stage, settings, named=name in names)


def tables(configuration: Configuration) -> dict[str, dict[str, Any]]:
    """All `[providers.NAME]` tables: what a composed provider is built with."""
    return {name: section.model_dump() for name, section in configuration.providers.items()}


def table_of(stage: Any) -> str:
    """The name of the table that a stage's class reads."""
    name: str = getattr(stage, "section", stage.name)
    return name


@functools.cache
def stage_names(kind: str) -> tuple[str, ...]:
    """All that are installed. To look is slow on a small device; what is installed stays so while a process runs."""
    return tuple(plugins.names(f"appliance.{kind}"))


@functools.cache
def stage_class(kind: str, name: str) -> Any:
    """None where there is no such stage, or its library is missing: that is told when it is built."""
    try:
        return plugins.load(f"appliance.{kind}", name) if name in stage_names(kind) else None
    except ApplianceError:
        return None


def installed_stages() -> Iterator[tuple[str, Any]]:
    """Each kind and class."""
    for kind in KINDS:
        for name in stage_names(kind):
            stage = stage_class(kind, name)
            if stage is not None:
                yield kind, stage


def stage_tables() -> frozenset[str]:
    """Names of tables that stages read."""
    return frozenset(table_of(stage) for _, stage in installed_stages())
