"""What can be wrong with `[providers.chain]`, with a realtime provider's ear and voice, and with the tables of stages.

The stages are imported for that, their SDKs are not.
"""

import difflib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from appliance import plugins
from appliance.config.ladders import (
    CHAIN,
    given,
    installed_stages,
    ladder,
    stage_class,
    stage_names,
    table_of,
    wanted_stages,
)
from appliance.config.load import DEFAULT, Fault, is_secret
from appliance.config.schema import Configuration, ProviderSection
from appliance.config.stages import KINDS, LAST_VOICE, stage_settings
from appliance.config.words import wrong
from appliance.errors import ConfigurationInvalid
from appliance.stages import Installed

_PROVIDERS = "appliance.providers"


def is_stage_key(key: str) -> bool:
    """It begins with the kind of a stage: it is no key of a realtime provider."""
    return key.startswith(tuple(f"{kind}_" for kind in KINDS))


def own_keys(section: ProviderSection) -> dict[str, Any]:
    """Without those of stages, and which stages accompany it."""
    keys = section.model_dump().items()
    return {key: value for key, value in keys if not is_stage_key(key) and key not in KINDS}


def chain_faults(configuration: Configuration) -> Iterator[Fault]:
    """Stages that there are not; keys that neither the chain nor its first stages have; values that these refuse."""
    keys = given(configuration.providers.get(CHAIN, ProviderSection()))
    chain: Any = plugins.load(_PROVIDERS, CHAIN)
    own: set[str] = set(chain.settings_model.model_fields)
    known = set(own)
    first: dict[str, str] = {}
    for kind in KINDS:
        names = ladder(CHAIN, kind, configuration)
        yield from _unknown_stages(CHAIN, kind, names)
        stage = stage_class(kind, names[0]) if names else None
        if stage is None:
            # Its name is the fault; what no stage of the kind has, it has not either.
            known |= {f"{kind}_{field}" for field in _fields_of_all(kind)}
            continue
        first[kind] = stage.name
        known |= {f"{kind}_{field}" for field in stage.settings_model.model_fields}
        section = given(configuration.providers.get(table_of(stage), ProviderSection()))
        for field, message in _refused(kind, stage, section, keys):
            if field and f"{kind}_{field}" in keys:
                yield Fault(DEFAULT, f"providers.{CHAIN}.{kind}_{field}", message)
    for key in keys:
        if key not in known:
            what, like, listed = "unknown key", known, own | {f"{kind}_..." for kind in KINDS}
            if is_stage_key(key):
                kind = key.partition("_")[0]
                name = first.get(kind)
                what = (
                    f"{name}, the chain's first {kind}, has no such key"
                    if name
                    else f"no {kind} has such a key"
                )
                like = listed = {one for one in known if one.startswith(f"{kind}_")}
            yield Fault(DEFAULT, f"providers.{CHAIN}.{key}", what, _nearest(key, like, listed))


def accompaniment_faults(name: str, configuration: Configuration) -> Iterator[Fault]:
    """What is wrong with the ear and the voice that `[providers.NAME]`, a realtime provider, has of other services."""
    keys = given(configuration.providers.get(name, ProviderSection()))
    for kind in ("stt", "tts"):
        yield from _unknown_stages(name, kind, ladder(name, kind, configuration))
    if "llm" in keys:
        yield Fault(DEFAULT, f"providers.{name}.llm", "unknown key", "it belongs to [providers.chain]")
    writes = keys.get("output") == "text"
    if keys.get("tts") and not writes:
        yield Fault(
            DEFAULT, f"providers.{name}.tts", 'it needs output = "text"', "else two voices would speak"
        )
    if writes and not keys.get("tts"):
        hint = f'set tts, for example "{LAST_VOICE}"'
        yield Fault(DEFAULT, f"providers.{name}.output", "nothing speaks what it writes", hint)


def stage_faults(name: str, section: ProviderSection) -> Iterator[Fault]:
    """Keys of the table `name` that none of its stages has, and values that they refuse."""
    keys = given(section)
    known: set[str] = set()
    told: set[str] = set()
    for kind, stage in installed_stages():
        if table_of(stage) != name:
            continue
        known |= stage.shared_keys | {f"{kind}_{key}" for key in stage.settings_model.model_fields}
        for field, message in _refused(kind, stage, keys, {}):
            key = f"{kind}_{field}" if f"{kind}_{field}" in keys else field
            if key not in told and (key in keys or not field):
                told.add(key)
                yield Fault(DEFAULT, f"providers.{name}.{key}".rstrip("."), message)
    for key in keys:
        if key not in known and key not in KINDS and (is_stage_key(key) or name not in _providers()):
            yield Fault(DEFAULT, f"providers.{name}.{key}", "unknown key", _nearest(key, known, known))


def lacking(provider: str, configuration: Configuration) -> Iterator[Fault]:
    """Programs, libraries and models that its stages on this device need and that are not there."""
    for wanted in wanted_stages(provider, configuration):
        if not wanted.named or not wanted.stage.local:
            continue
        try:
            stage = wanted.stage(_accepted(wanted.stage.settings_model, wanted.settings))
        except ConfigurationInvalid:
            continue  # told as what its keys are refused for
        for fault in stage.lacking() if isinstance(stage, Installed) else ():
            yield Fault(DEFAULT, f"providers.{wanted.table}", fault.message, fault.hint)


def _accepted(model: type[BaseModel], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Without the keys that are refused, each of which is told."""
    try:
        model.model_validate(settings)
    except ValidationError as error:
        refused = {one["loc"][0] for one in error.errors(include_input=False) if one["loc"]}
        return {key: value for key, value in settings.items() if key not in refused}
    return dict(settings)


def _fields_of_all(kind: str) -> set[str]:
    """Keys that any stage of that kind has."""
    stages = [stage for one, stage in installed_stages() if one == kind]
    return {field for stage in stages for field in stage.settings_model.model_fields}


def refusal(one: Mapping[str, Any], keys: Mapping[str, Any], key: str) -> str:
    """What pydantic says of a value, in our words, with the value where it may be shown."""
    value = keys.get(key)
    told = isinstance(value, str | int | float) and not is_secret(key)
    return wrong(one) + (f", not {value!r}" if told else "")


def _unknown_stages(provider: str, kind: str, names: Collection[str]) -> Iterator[Fault]:
    known = stage_names(kind)
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}"
            yield Fault(DEFAULT, f"providers.{provider}.{kind}", f"there is no {name!r}", hint)


def _refused(
    kind: str, stage: Any, section: Mapping[str, Any], chain: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Fields of the stage whose values it refuses, and why; no field where they do not go together."""
    try:
        stage.settings_model.model_validate(stage_settings(kind, stage, section, chain))
    except ValidationError as error:
        for one in error.errors(include_url=False, include_input=False):
            field = str(one["loc"][0]) if one["loc"] else ""
            if one["type"] != "extra_forbidden":
                key = f"{kind}_{field}"
                value = chain.get(key, section.get(key, section.get(field)))
                yield field, refusal(one, {field: value}, field)


def _nearest(key: str, known: Collection[str], listed: Collection[str]) -> str:
    """`listed` are those worth telling where none is near."""
    ends = sorted(one for one in known if one.endswith(f"_{key}"))
    if ends:
        return f"did you mean {' or '.join(ends)}?"
    near = difflib.get_close_matches(key, known, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known: {', '.join(sorted(listed))}" if listed else "there is nothing to set"


def _providers() -> frozenset[str]:
    return frozenset(plugins.names(_PROVIDERS))
