"""The verbs `check` and `config`: faults, and the effective configuration with each value's origin."""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from appliance import plugins
from appliance.config.accounts import open_keys, over_tls, switched_off, without_password
from appliance.config.load import DEFAULT, Fault, Loaded, is_secret, load
from appliance.config.placeholders import MESSAGE, is_placeholder, remedy
from appliance.config.providers import check_providers, check_usable, in_force
from appliance.config.rules import check_rules
from appliance.config.schema import Configuration, ProviderSection, Sip
from appliance.config.secrets import is_reference
from appliance.errors import ApplianceError


def read(config: str | None) -> Loaded:
    """Load and apply all rules: what every verb that needs the configuration uses."""
    return check_rules(load(Path(config) if config else None))


def usable(config: str | None) -> Loaded:
    """As `read`, and without a configuration where a provider's settings cannot be used: what the daemon runs on.

    A key that is missing, or a program, is no such fault: the next provider or stage serves.
    """
    return check_usable(read(config))


def check(args: argparse.Namespace) -> int:
    """Print every fault and warning at once; 2 if there is any fault, else 0."""
    loaded = _with_warnings(check_providers(read(args.config)))
    if args.json:
        faults = [
            {
                "origin": f.origin,
                "line": f.line,
                "key": f.key,
                "message": f.message,
                "hint": f.hint,
                "warning": f.warning,
            }
            for f in loaded.faults
        ]
        print(json.dumps({"ok": loaded.configuration is not None, "files": loaded.files, "faults": faults}))
    else:
        report(loaded)
        if loaded.configuration is not None:
            print(f"ok: {', '.join(loaded.files) or 'no file, all defaults'}")
    return 2 if loaded.configuration is None else 0


def _with_warnings(loaded: Loaded) -> Loaded:
    """`loaded` with what can be used, and is not what was meant."""
    if loaded.sound is None:
        return loaded
    sip = loaded.sound.sip
    found = (
        *switched_off(sip),
        *open_keys(sip),
        *without_password(sip),
        *_outdated(sip),
        *_placeholders(loaded.sound),
    )
    warnings = (Fault(_origin(key, loaded.origins), key, told, hint, True) for key, told, hint in found)
    return replace(loaded, faults=(*loaded.faults, *map(loaded.located, warnings)))


def _placeholders(configuration: Configuration) -> Iterator[tuple[str, str, str]]:
    for path, value in _leaves(configuration, ()):
        secret = value.get_secret_value() if isinstance(value, SecretStr) else value
        if is_secret(path[-1]) and isinstance(secret, str) and is_placeholder(secret):
            key = ".".join(path)
            yield key, MESSAGE, remedy(key)


def _outdated(sip: Sip) -> Iterator[tuple[str, str, str]]:
    """Key, message and hint of each account that this machine's SIP library is too old for, as `doctor` tells it."""
    keys = over_tls(sip)
    if not keys:
        return
    try:
        telephone: Any = plugins.load("appliance.telephones", sip.telephone)
        library: Mapping[str, Any] = telephone.library_report()
    except ApplianceError:
        return  # that there is none is doctor's to tell: it may be on another machine
    if library["old_openssl"]:
        message = f"TLS is refused here: the SIP library bundles an old OpenSSL ({library['openssl']})"
        yield from ((key, message, "run: make pjsua2") for key in keys)


def report(loaded: Loaded) -> None:
    """Print the faults, one a line, to stderr."""
    for fault in loaded.faults:
        print(fault, file=sys.stderr)
    if faults := sum(not fault.warning for fault in loaded.faults):
        print(f"{faults} fault(s)", file=sys.stderr)


def show(args: argparse.Namespace) -> int:
    """Print the effective configuration as TOML, secrets masked, each value with its origin."""
    loaded = read(args.config)
    if loaded.configuration is None:
        report(loaded)
        return 2
    section = None
    for path, value in _leaves(loaded.configuration, ()):
        if path[:-1] != section:
            section = path[:-1]
            print(f"\n[{'.'.join(section)}]")
        hidden = isinstance(value, str) and is_secret(path[-1])  # a key that only its provider knows
        shown = _toml(SecretStr(value) if hidden else value)
        print(f"{path[-1]} = {shown}  # {_origin('.'.join(path), loaded.origins)}")
    return 0


def _origin(key: str, origins: Mapping[str, str]) -> str:
    return origins.get(key, DEFAULT)


def _leaves(
    node: BaseModel | Mapping[str, Any], path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Any]]:
    items = dict(node) if isinstance(node, BaseModel) else node
    if isinstance(node, ProviderSection):
        items = in_force(path[-1], node)
    for key, value in items.items():
        if value is None:
            continue  # as in the table above it
        if isinstance(value, BaseModel | Mapping):
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key), value


def _toml(value: Any) -> str:
    if isinstance(value, SecretStr):
        text = value.get_secret_value()
        return json.dumps(text if not text or is_reference(text) else "********")
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return json.dumps(str(value), ensure_ascii=False)
