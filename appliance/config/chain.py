"""What can be wrong with `[providers.chain]` and with the keys of its stages, which are imported for that, SDKs not."""

import difflib
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any

from pydantic import ValidationError

from appliance import plugins
from appliance.config.load import DEFAULT, Fault
from appliance.config.schema import Configuration, ProviderSection
from appliance.config.services import empty
from appliance.config.stages import KINDS, stage_settings
from appliance.errors import ApplianceError

_DEFAULTS = {"stt": ("deepgram",), "llm": ("openai",), "tts": ("cartesia",)}


def is_stage_key(key: str) -> bool:
    """It begins with the kind of a stage: it is no key of a realtime provider."""
    return key.startswith(tuple(f"{kind}_" for kind in KINDS))


def own_keys(section: ProviderSection) -> dict[str, Any]:
    """Without those of stages, and which stages accompany it."""
    given = section.model_dump().items()
    return {key: value for key, value in given if not is_stage_key(key) and key not in KINDS}


def accompanied(section: ProviderSection) -> bool:
    """A realtime provider that has another's ear or voice, or should have one."""
    given = section.model_dump()
    return bool(given.get("stt") or given.get("tts") or given.get("output") == "text")


def tables(configuration: Configuration) -> dict[str, dict[str, Any]]:
    """All `[providers.NAME]` tables: what a composed provider is built with."""
    return {name: section.model_dump() for name, section in configuration.providers.items()}


def stage_tables() -> frozenset[str]:
    """Names of tables that stages read."""
    return frozenset(section for kind in KINDS for _, section in _installed(kind))


def ladder(kind: str, configuration: Configuration) -> tuple[str, ...]:
    """The stages of that kind that the chain is to use."""
    chain = configuration.providers.get("chain", ProviderSection())
    value = chain.model_dump().get(kind) or _DEFAULTS[kind]
    return (value,) if isinstance(value, str) else tuple(value)


def chain_faults(configuration: Configuration) -> Iterator[Fault]:
    """Stages that there are not, and keys of `[providers.chain]` that no stage has."""
    chain = configuration.providers.get("chain", ProviderSection()).model_dump()
    for kind in KINDS:
        names = [name for name, _ in _installed(kind)]
        fields: set[str] = set()
        for place, name in enumerate(ladder(kind, configuration)):
            if name not in names:
                near = difflib.get_close_matches(name, names, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(names))}"
                yield Fault(DEFAULT, f"providers.chain.{kind}", f"there is no {name!r}", hint)
            elif not place and (stage := _stage(kind, name)) is not None:
                fields = set(stage.settings_model.model_fields)
        for key in chain:
            if key.startswith(f"{kind}_") and key.removeprefix(f"{kind}_") not in fields:
                near = difflib.get_close_matches(key.removeprefix(f"{kind}_"), fields, n=1)
                hint = f"did you mean {kind}_{near[0]!s}?" if near else ""
                yield Fault(
                    DEFAULT,
                    f"providers.chain.{key}",
                    "the chain's first stage of this kind has no such key",
                    hint,
                )


def chain_stages(configuration: Configuration) -> Iterator[tuple[str, Any, Mapping[str, Any]]]:
    """Kind, class and keys of the stages that the chain is to use, those that are installed."""
    chain = tables(configuration).get("chain", {})
    for kind in KINDS:
        names = [name for name, _ in _installed(kind)]
        for place, name in enumerate(ladder(kind, configuration)):
            stage = _stage(kind, name) if name in names else None
            if stage is not None:
                section = configuration.providers.get(getattr(stage, "section", name), ProviderSection())
                yield kind, stage, stage_settings(kind, stage, section.model_dump(), {} if place else chain)


def stage_faults(name: str, section: ProviderSection) -> Iterator[Fault]:
    """Keys of the table `name` that none of its stages has, and values that they refuse."""
    given = {key: value for key, value in section.model_dump(exclude_unset=True).items() if not empty(value)}
    known: set[str] = set()
    told: set[str] = set()
    for kind in KINDS:
        for stage_name, table in _installed(kind):
            if table != name or (stage := _stage(kind, stage_name)) is None:
                continue
            known |= stage.shared_keys | {f"{kind}_{key}" for key in stage.settings_model.model_fields}
            for key, message in _refused(kind, stage, given):
                if key not in told:
                    told.add(key)
                    yield Fault(DEFAULT, f"providers.{name}.{key}", message)
    for key in given:
        if key not in known and key not in KINDS and (is_stage_key(key) or name not in _providers()):
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"
            yield Fault(DEFAULT, f"providers.{name}.{key}", "unknown key", hint)


def _refused(kind: str, stage: Any, given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    try:
        stage.settings_model.model_validate(stage_settings(kind, stage, given, {}))
    except ValidationError as error:
        for one in error.errors(include_url=False, include_input=False):
            field = str(one["loc"][0]) if one["loc"] else ""
            key = f"{kind}_{field}" if f"{kind}_{field}" in given else field
            if key in given and one["type"] != "extra_forbidden":
                yield key, one["msg"].removeprefix("Value error, ").removeprefix("Input ")


def _stage(kind: str, name: str) -> Any:
    try:
        return plugins.load(f"appliance.{kind}", name)
    except ApplianceError:
        # A library that is not installed is told when the chain is built; its keys cannot be looked at.
        return None


def _installed(kind: str) -> list[tuple[str, str]]:
    """Names of stages, and of the tables that they read."""
    found = []
    for name in sorted({point.name for point in entry_points(group=f"appliance.{kind}")}):
        stage = _stage(kind, name)
        if stage is not None:
            found.append((name, getattr(stage, "section", name)))
    return found


def _providers() -> frozenset[str]:
    return frozenset(point.name for point in entry_points(group="appliance.providers"))
