"""Settings in TOML: the configuration itself, and beside it what Raspberry Pi's custom.toml says of the machine. Pure.

[system] hostname            [user] name, password, password_encrypted
[ssh] enabled, password_authentication, authorized_keys
[wlan] ssid, password, hidden, country (or several: [[wlan]])     [locale] timezone, locale, keymap
"""

import difflib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from appliance.config.lines import heading_above, lines_of, nearest_line
from provisioning.draft import Draft, Tree, leaves
from provisioning.scrub import is_taken_over
from provisioning.system import System, User, Wifi, sieve
from provisioning.toml_text import read_sound

SOURCE: Final = "settings in TOML"
_TEXT, _SWITCH, _TEXTS = "text, in quotes", "true or false", "a list of texts"
TYPES: Final[Mapping[str, Mapping[str, str]]] = {
    "system": {"hostname": _TEXT},
    "user": {"name": _TEXT, "password": _TEXT, "password_encrypted": _SWITCH},
    "ssh": {"enabled": _SWITCH, "password_authentication": _SWITCH, "authorized_keys": _TEXTS},
    "wlan": {
        "ssid": _TEXT,
        "password": _TEXT,
        "password_encrypted": _SWITCH,
        "hidden": _SWITCH,
        "country": _TEXT,
    },
    "locale": {"keymap": _TEXT, "timezone": _TEXT, "locale": _TEXT},
}
"""Of each table that is none of the configuration's, its keys."""
_IGNORED: Final = frozenset({"config_version"})


def parse_settings(text: str) -> Draft:
    """What can be read of `text`; broken lines, and what cannot be carried out, are faults with their lines."""
    tree, notes = read_sound(text)
    notes = [replace(note, key=heading_above(text, note.line)) for note in notes]
    draft = Draft(notes=notes, lines=lines_of(text), source=SOURCE)
    tables = {name: tree.pop(name) for name in TYPES if name in tree}
    for name in _IGNORED & tree.keys():
        del tree[name]
    draft.tree = tree
    checked = {name: _checked(draft, name, table) for name, table in tables.items()}
    draft.system, findings = sieve(_system(checked))
    for key, message, hint in findings:
        draft.fault(message, key=key, line=nearest_line(draft.lines, key), hint=hint)
    return draft


def _checked(draft: Draft, name: str, table: Any) -> list[Tree]:
    """The tables of that name (one, or several in brackets) without keys that are unknown or of the wrong type."""
    tables = table if isinstance(table, list) and name == "wlan" else [table]
    sound: list[Tree] = []
    for one in tables:
        if not isinstance(one, Mapping):
            draft.fault("should be a table", key=name, line=draft.lines.get(name, 0), hint=f"write [{name}]")
            continue
        kept: Tree = {}
        for key, value in one.items():
            wanted = TYPES[name].get(key)
            if wanted is None:
                near = difflib.get_close_matches(key, TYPES[name], n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(TYPES[name])}"
                _tell(draft, f"{name}.{key}", "unknown key", hint)
            elif not _fits(value, wanted):
                _tell(draft, f"{name}.{key}", f"should be {wanted}", "")
            elif not is_taken_over(value):
                kept[key] = value
        if name == "wlan" and not _joinable(draft, one, kept):
            kept.pop("ssid", None)
        sound.append(kept)
    return sound


def _joinable(draft: Draft, said: Mapping[str, Any], kept: Tree) -> bool:
    """Whether the network in `kept`, the sound part of `said`, is to be set: as an open one only where nothing says
    that it is to have a password, since anybody can open a network of that name."""
    if kept.get("password"):
        return True
    if is_taken_over(said.get("password")):
        return False  # It is set since then, with the password that stood here.
    if "ssid" in kept and any(note.key.partition(".")[0] == "wlan" for note in draft.faults):
        draft.leave("without its password the network is not joined: see the fault above", key="wlan.ssid")
        return False
    return True


def _tell(draft: Draft, key: str, message: str, hint: str) -> None:
    draft.fault(message, key=key, line=nearest_line(draft.lines, key), hint=hint)


def _fits(value: Any, wanted: str) -> bool:
    if wanted == _TEXTS:
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    return isinstance(value, bool if wanted == _SWITCH else str)


def _system(tables: Mapping[str, list[Tree]]) -> System:
    first = {name: found[0] if found else {} for name, found in tables.items()}
    user, ssh, locale = first.get("user", {}), first.get("ssh", {}), first.get("locale", {})
    networks = [one for one in tables.get("wlan", []) if one.get("ssid")]
    system = System(
        host_name=first.get("system", {}).get("hostname", ""),
        time_zone=locale.get("timezone", ""),
        locale=locale.get("locale", ""),
        keymap=locale.get("keymap", ""),
        country=next((one["country"] for one in tables.get("wlan", []) if one.get("country")), "").upper(),
        networks=[
            Wifi(one["ssid"], one.get("password", ""), bool(one.get("hidden", False))) for one in networks
        ],
        ssh=ssh.get("enabled"),
        ssh_passwords=ssh.get("password_authentication"),
    )
    if user.get("name"):
        password = user.get("password", "")
        hashed = user.get("password_encrypted", password.startswith("$"))
        system.users.append(User(user["name"], password, hashed, tuple(ssh.get("authorized_keys", ()))))
    return system


def secrets_in(tree: Mapping[str, Any], is_secret: Any) -> list[str]:
    """Every secret in the clear that the configuration in `tree` holds."""
    return [value for path, value in leaves(tree) if isinstance(value, str) and value and is_secret(path[-1])]
