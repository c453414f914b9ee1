"""What the files of a card say together: later ones count for more, and what gave way is told. Pure."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from appliance.config.lines import nearest_line
from appliance.config.load import is_secret
from provisioning.draft import Draft, Note, Tree, leaves, merged
from provisioning.settings import PASSWORDS, overlay, same_account
from provisioning.system import System

_ACCOUNTS: Final = ("sip", "accounts")
_SINGLE: Final = {
    "host_name": "system.hostname",
    "time_zone": "locale.timezone",
    "locale": "locale.locale",
    "keymap": "locale.keymap",
    "country": "wlan.country",
    "ssh": "ssh.enabled",
    "ssh_passwords": "ssh.password_authentication",
}
"""What a machine has one of, and its key in TOML."""


def settings_of(drafts: Sequence[Draft]) -> Tree:
    """The configuration of all files; an account that a later one names keeps of an earlier one's its password alone,
    where it is the same account."""
    tree: Tree = {}
    for draft in drafts:
        above = merged({}, draft.tree)
        for path in (("sip",), *(("sip", "accounts", name) for name in _tables(_at(above, _ACCOUNTS)))):
            _keep_password(_at(tree, path), _at(above, path))
        tree = overlay(tree, above)
    return tree


def _tables(found: Any) -> list[str]:
    return list(found) if isinstance(found, dict) else []


def _keep_password(old: Any, new: Any) -> None:
    if isinstance(old, dict) and isinstance(new, dict) and same_account(old, new):
        new.update({key: old[key] for key in PASSWORDS if key in old and key not in new})


def system_of(drafts: Sequence[Draft]) -> System:
    """The machine as all files together have it; networks of later ones are preferred."""
    system = System()
    for draft in drafts:
        one = draft.system
        for key in _SINGLE:
            if _says(one, key):
                setattr(system, key, getattr(one, key))
        names = {user.name for user in one.users}
        system.users = [user for user in system.users if user.name not in names] + one.users
        ssids = {network.ssid for network in one.networks}
        system.networks = [*one.networks, *(net for net in system.networks if net.ssid not in ssids)]
        system.wired = one.wired or system.wired
    return system


def files_of(drafts: Sequence[Draft], section: str) -> list[str]:
    """Those whose word holds for something in this section of the configuration."""
    tree = settings_of(drafts)
    last = [_last(drafts, path) for path, value in leaves(tree) if path[0] == section]
    return [draft.file for draft in drafts if any(draft is found for found in last)]


def files_behind(drafts: Sequence[Draft], says: Callable[[System], Any], *, last: bool) -> list[str]:
    """Those that say so of the machine; only the `last` of them, where one alone can hold."""
    found = [draft.file for draft in drafts if says(draft.system)]
    return found[-1:] if last else found


def gave_way(drafts: Sequence[Draft]) -> tuple[list[Note], list[str]]:
    """What earlier files say that later ones say otherwise, and the secrets in it, which are in force nowhere."""
    notes: list[Note] = []
    secrets: list[str] = []
    tree = settings_of(drafts)
    for number, draft in enumerate(drafts):
        for path, value in leaves(draft.tree):
            if (now := _at(tree, path)) != value:
                winner = _last(drafts, path) if now is not None else _last(drafts, path[:1])
                notes.append(_otherwise(draft, ".".join(path), winner))
                secrets += [value] if isinstance(value, str) and is_secret(path[-1]) else []
        for key, winner, secret in _machine(draft, drafts[number + 1 :]):
            notes.append(_otherwise(draft, key, winner))
            secrets += [secret] if secret else []
    return notes, secrets


def _otherwise(draft: Draft, key: str, winner: Draft | None) -> Note:
    who = winner.file if winner is not None else "another file"
    line = nearest_line(draft.lines, key)
    return Note(f"{who} says otherwise, and counts for more", key, line, file=draft.file)


def _machine(draft: Draft, later: Sequence[Draft]) -> Iterator[tuple[str, Draft, str]]:
    """Key, who says otherwise, and the secret that gives way."""
    own = draft.system
    for other in later:
        for key, name in _SINGLE.items():
            if (
                _says(own, key)
                and _says(other.system, key)
                and getattr(own, key) != getattr(other.system, key)
            ):
                yield name, other, ""
        people = {user.name: user for user in other.system.users}
        for user in own.users:
            if people.get(user.name, user) != user:
                yield "user.name", other, user.password
        networks = {network.ssid: network for network in other.system.networks}
        for network in own.networks:
            if networks.get(network.ssid, network) != network:
                yield "wlan.ssid", other, network.password
        if own.wired and other.system.wired and own.wired != other.system.wired:
            yield "ethernets", other, ""


def _says(system: System, key: str) -> bool:
    return getattr(system, key) not in ("", None)


def _last(drafts: Sequence[Draft], path: tuple[str, ...]) -> Draft | None:
    """The last one in which something stands at `path`."""
    return next((draft for draft in reversed(drafts) if _at(draft.tree, path) is not None), None)


def _at(tree: Tree, path: tuple[str, ...]) -> Any:
    found: Any = tree
    for part in path:
        found = found.get(part) if isinstance(found, dict) else None
    return found


class Lines:
    """The lines of all files, numbered on as if they were one text, so that a fault finds its way back to its file."""

    def __init__(self, drafts: Sequence[Draft]) -> None:
        self.numbers: dict[str, int] = {}
        self._begin: list[tuple[int, str]] = []
        tree, begin = settings_of(drafts), 0
        for draft in drafts:
            self._begin.append((begin, draft.file))
            for key, line in draft.lines.items():
                if line and _at(tree, tuple(key.split("."))) is not None:
                    self.numbers[key] = begin + line
            begin += max(draft.lines.values(), default=0)

    def place(self, number: int, otherwise: str) -> tuple[str, int]:
        """File and line of a number; `otherwise` is the file of what has no line."""
        if not number:
            return otherwise, 0
        begin, file = next(one for one in reversed(self._begin) if one[0] < number)
        return file, number - begin
