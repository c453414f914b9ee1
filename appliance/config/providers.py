"""What can be wrong with `[providers.NAME]`: keys, addresses, settings that its provider does not know.

Asked by `check` and `doctor` only: a provider that cannot be used must not keep the appliance from starting.
No message holds a key or a part of one.
"""

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import BaseModel, SecretStr, ValidationError

from appliance import plugins
from appliance.config.chain import (
    accompaniment_faults,
    chain_faults,
    is_stage_key,
    lacking,
    own_keys,
    refusal,
    stage_faults,
)
from appliance.config.ladders import (
    CHAIN,
    WantedStage,
    accompanied,
    given,
    stage_tables,
    tables,
    wanted_stages,
)
from appliance.config.load import DEFAULT, Fault, Loaded
from appliance.config.schema import Configuration, ProviderSection
from appliance.config.secrets import is_reference, reveal
from appliance.config.stages import KINDS
from appliance.errors import ApplianceError, ConfigurationInvalid
from appliance.interfaces import Provider

GROUP: Final = "appliance.providers"
SHORTEST_KEY: Final = 20
_QUOTES: Final = "'\"`\u201c\u201d\u2018\u2019\u201e"


@dataclass(frozen=True, slots=True)
class KeyRule:
    """`variables` are read when the section has no key; `own` is how a key of the service itself looks, if it says."""

    variables: tuple[str, ...]
    own: str = ""
    foreign: Mapping[str, str] = field(default_factory=dict)
    """How a key of another service looks, and whose it is."""


_OPENAI: Final = KeyRule(
    ("OPENAI_API_KEY",), "sk-", {"AIza": "Google", "AQ.": "Google", "sk-ant-": "Anthropic"}
)
_GOOGLE: Final = KeyRule(
    ("GOOGLE_API_KEY", "GEMINI_API_KEY"), "", {"sk-": "OpenAI", "ya29.": "a Google login"}
)
KEYS: Final[Mapping[str, KeyRule]] = {
    "openai": _OPENAI,
    "gpt_live": _OPENAI,
    "gemini": _GOOGLE,
    "deepgram": KeyRule(("DEEPGRAM_API_KEY",), "", {"sk-": "OpenAI", "AIza": "Google"}),
    "cartesia": KeyRule(("CARTESIA_API_KEY",), "", {"sk-": "OpenAI", "AIza": "Google"}),
    "elevenlabs": KeyRule(("ELEVENLABS_API_KEY",), "", {"sk-": "OpenAI", "AIza": "Google"}),
}


def check_providers(loaded: Loaded, environ: Mapping[str, str] = os.environ) -> Loaded:
    """`loaded` with the faults of its providers added."""
    if loaded.sound is None:
        return loaded
    return _with(loaded, provider_faults(loaded.sound, environ))


def check_usable(loaded: Loaded, environ: Mapping[str, str] = os.environ) -> Loaded:
    """As it is where the providers can be built, though one may have no key; else with what `check_providers` finds."""
    configuration = loaded.configuration
    if configuration is None:
        return check_providers(loaded, environ)
    faulty = any(
        True for name in configuration.conversation.providers for _ in build_faults(name, configuration)
    )
    return check_providers(loaded, environ) if faulty else loaded


def _with(loaded: Loaded, found: Iterator[Fault]) -> Loaded:
    known = {(fault.key, fault.message) for fault in loaded.faults}
    placed = (loaded.located(replace(fault, origin=_origin(fault, loaded.origins))) for fault in found)
    fresh = dict.fromkeys(fault for fault in placed if (fault.key, fault.message) not in known)
    faults = (*loaded.faults, *fresh)
    fatal = any(not fault.warning for fault in faults)
    return replace(loaded, configuration=None if fatal else loaded.configuration, faults=faults)


def provider_faults(configuration: Configuration, environ: Mapping[str, str] = os.environ) -> Iterator[Fault]:
    """All of them; `origin` is the environment variable that is meant, or the default."""
    yield from _table_faults(configuration)
    unready = {
        name: tuple(_unready(name, configuration, environ)) for name in configuration.conversation.providers
    }
    installed = plugins.names(GROUP)
    # One that serves is enough: the others join in when they can.
    served = any(
        name in installed
        and _is_served(name, configuration, faults)
        and not any(True for _ in build_faults(name, configuration))
        for name, faults in unready.items()
    )
    for faults in unready.values():
        yield from (replace(fault, warning=served) for fault in faults)


def _is_served(name: str, configuration: Configuration, faults: tuple[Fault, ...]) -> bool:
    """With these `faults` it answers all the same: of each kind of stage, one that was named is ready."""
    faulty = {fault.key.split(".")[1] for fault in faults}
    if name in faulty:
        return False
    ready: dict[str, bool] = {}
    for wanted in wanted_stages(name, configuration) if faults else ():
        if wanted.named:
            ready[wanted.kind] = ready.get(wanted.kind, False) or wanted.table not in faulty
    return all(ready.values())


def _unready(name: str, configuration: Configuration, environ: Mapping[str, str]) -> Iterator[Fault]:
    """What keeps the provider `name` from serving at once, though it can be built: keys, programs, models."""
    section = configuration.providers.get(name, ProviderSection())
    if name in KEYS and name in plugins.names(GROUP):
        yield from _key_faults(name, section, KEYS[name], environ)
    if name == CHAIN or accompanied(section):
        yield from _stage_key_faults(name, configuration, environ)
        yield from lacking(name, configuration)


def _table_faults(configuration: Configuration) -> Iterator[Fault]:
    """Names of tables, keys and values, whether the provider is in use or not."""
    installed = plugins.names(GROUP)
    staged = stage_tables()
    known = sorted({*installed, *staged})
    for name in configuration.providers:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
            yield Fault(DEFAULT, f"providers.{name}", "no provider of that name is installed", hint)
        if name in staged:
            yield from stage_faults(name, configuration.providers[name])
    for name in dict.fromkeys((*configuration.conversation.providers, *configuration.providers)):
        if name in installed:
            yield from _own_faults(name, configuration)


def _own_faults(name: str, configuration: Configuration) -> Iterator[Fault]:
    yield from settings_faults(name, configuration.providers.get(name, ProviderSection()))
    yield from chain_faults(configuration) if name == CHAIN else accompaniment_faults(name, configuration)


def in_force(name: str, section: ProviderSection) -> dict[str, Any]:
    """What was set in the table `name`, and what the provider of that name takes where nothing was."""
    written = {key: value for key, value in dict(section).items() if key in section.model_fields_set}
    if name not in plugins.names(GROUP):
        return written
    model = getattr(plugins.load(GROUP, name), "settings_model", None)
    fields = model.model_fields if isinstance(model, type) and issubclass(model, BaseModel) else {}
    defaults = {key: field.get_default(call_default_factory=True) for key, field in fields.items()}
    return {**defaults, **written}


def build_faults(name: str, configuration: Configuration) -> Iterator[Fault]:
    """Why the provider `name` cannot be built: keys and values that it or a stage of its refuses."""
    yield from _own_faults(name, configuration)
    tables_read = {wanted.table for wanted in wanted_stages(name, configuration)}
    for table in sorted(tables_read & configuration.providers.keys()):
        yield from stage_faults(table, configuration.providers[table])


def build(name: str, configuration: Configuration) -> Provider:
    """The provider `name`, as the configuration has it. Raise ConfigurationInvalid with all that it refuses.

    An empty key or an unknown address is told when it is dialled: the next rung may serve meanwhile.
    """
    section = configuration.providers.get(name, ProviderSection())
    factory = plugins.load(GROUP, name)
    faults = dict.fromkeys(build_faults(name, configuration))
    if faults:
        raise ConfigurationInvalid("\n".join(str(fault) for fault in faults))
    composed = getattr(factory, "composed", False)
    provider: Provider = (
        factory(section.model_dump(), tables(configuration)) if composed else factory(own_keys(section))
    )
    if not composed and accompanied(section):
        accompany = plugins.load("appliance.accompaniments", "stages")
        provider = accompany(provider, section.model_dump(), tables(configuration))
    return provider


def _stage_key_faults(
    provider: str, configuration: Configuration, environ: Mapping[str, str]
) -> Iterator[Fault]:
    told: set[str] = set()
    for wanted in wanted_stages(provider, configuration):
        table = wanted.table
        section = configuration.providers.get(table, ProviderSection())
        if table in KEYS and table not in told and not wanted.stage.local and not _own_server(wanted):
            told.add(table)
            yield from _key_faults(table, section, KEYS[table], environ)


def _own_server(wanted: WantedStage) -> bool:
    """A language model at another address than its service's: it may need no key, and has one of its own."""
    return wanted.kind == "llm" and bool(wanted.settings.get("base_url"))


def settings_faults(name: str, section: ProviderSection) -> Iterator[Fault]:
    """Keys and values that the provider's own settings refuse. It is imported for that, its SDK is not."""
    if address := _address_fault(section.base_url):
        yield Fault(DEFAULT, f"providers.{name}.base_url", *address)
    try:
        model = getattr(plugins.load(GROUP, name), "settings_model", None)
    except ApplianceError as error:
        yield Fault(DEFAULT, f"providers.{name}", error.message, error.hint)
        return
    if isinstance(model, type) and issubclass(model, BaseModel):
        for fault in _refused(name, section, model):
            if not (address and fault.key.endswith(".base_url")):
                yield fault


def _refused(name: str, section: ProviderSection, model: type[BaseModel]) -> Iterator[Fault]:
    keys = given(section)
    if name != CHAIN:
        keys = {key: value for key, value in keys.items() if not is_stage_key(key) and key not in KINDS}
    try:
        model.model_validate(keys)
    except ValidationError as error:
        for one in error.errors(include_url=False, include_input=False):
            path = [str(part) for part in one["loc"]]
            key = ".".join(["providers", name, *path])
            if one["type"] == "extra_forbidden":
                near = difflib.get_close_matches(path[-1], model.model_fields, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(model.model_fields)}"
                yield Fault(DEFAULT, key, "unknown key", hint)
            else:
                yield Fault(DEFAULT, key, refusal(one, keys, path[0] if path else ""))


def _address_fault(base_url: str) -> tuple[str, str] | None:
    if not base_url:
        return None
    try:
        parts = urlsplit(base_url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if usable and not re.search(r"\s", base_url):
        return None
    return (
        "it is no usable address",
        "write http:// or https://, the host, and the port and path that its page names",
    )


def _key_faults(
    name: str, section: ProviderSection, rule: KeyRule, environ: Mapping[str, str]
) -> Iterator[Fault]:
    key = f"providers.{name}.api_key"
    variables = " or ".join(rule.variables)
    remedy = f"set {variables}, or api_key in [providers.{name}]"
    try:
        found, place, origin = _find(section, rule, environ)
    except ConfigurationInvalid as error:
        yield Fault(DEFAULT, key, f"{name} has no key: {error.message}", f"{error.hint}; or {remedy}")
        return
    if not found.strip():
        # Whoever runs a compatible server gives some key: the SDK does without none.
        yield Fault(DEFAULT, key, f"{name} needs a key, and there is none", remedy)
    elif wrong := _malformed(found, rule, official=not section.base_url):
        yield Fault(origin, key, f"the key of {name} in {place} {wrong}", f"copy it again; {remedy}")


def key_place(table: str, own: object, environ: Mapping[str, str] = os.environ) -> str:
    """For a message: where the key comes from that was refused. `own` is what the configuration has; never the key."""
    value = own.get_secret_value() if isinstance(own, SecretStr) else own
    if isinstance(value, str) and value:
        return value if is_reference(value) else "api_key in the configuration"
    rule = KEYS.get(table)
    return next((name for name in rule.variables if environ.get(name)), "") if rule else ""


def _find(section: ProviderSection, rule: KeyRule, environ: Mapping[str, str]) -> tuple[str, str, str]:
    """The key, where it stands, and the origin of its fault. Raise ConfigurationInvalid for a reference to nothing."""
    value = section.api_key.get_secret_value()
    if value:
        place = value if is_reference(value) else "api_key"
        return reveal(section.api_key, environ), place, DEFAULT
    for variable in rule.variables:
        if environ.get(variable):
            return environ[variable], variable, variable
    return "", "", DEFAULT


def _malformed(key: str, rule: KeyRule, *, official: bool) -> str:
    """What is wrong with it, or nothing. `official`: it is for the service itself."""
    bare = key.strip()
    if bare[:1] in _QUOTES or bare[-1:] in _QUOTES:
        return "has quotes around it"
    if bare != key:
        return "has white space around it"
    if re.search(r"\s", key):
        return "has white space in it"
    if not (key.isascii() and key.isprintable()):
        return "has characters that no key has"
    if not official:
        return ""
    longest = max((start for start in rule.foreign if key.startswith(start)), key=len, default="")
    if longest:
        return f"looks like one of {rule.foreign[longest]}"
    if rule.own and not key.startswith(rule.own):
        return f"does not begin with {rule.own}"
    return "is too short for a key" if len(key) < SHORTEST_KEY else ""


def _origin(fault: Fault, origins: Mapping[str, str]) -> str:
    if fault.origin != DEFAULT:
        return fault.origin
    parts = fault.key.split(".")
    ends = (".".join(parts[:end]) for end in range(len(parts), 0, -1))
    return next((origins[end] for end in ends if end in origins), DEFAULT)
