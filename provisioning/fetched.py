"""What settings from a server may not change: what guards the box against whoever names its server. Pure.

Whoever answers DHCP first may name it, so it is believed less than the card and the keyboard: it gives accounts,
providers and agents, and takes none of the box's own guards and secrets away.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from appliance.config.lines import nearest_line
from appliance.config.load import is_secret
from appliance.config.secrets import is_reference
from provisioning.draft import Draft, Note, Tree, drop, leaves
from provisioning.system import System

GUARDS: Final[Mapping[str, str]] = {
    "control": "who reaches the control API, and over what",
    "gpio": "how the box is wired: its mute switch, and whether a button resets it",
    "mqtt": "which broker's users may command it",
    "provisioning": "where settings come from, and who vouches for them",
    "recording.announce": "that people are told of a recording",
    "recording.directory": "where recordings lie",
    "sip.emergency_calls": "who may call emergency services",
    "sip.emergency_numbers": "what an agent never dials",
    "sip.force_old_tls": "which TLS is safe enough",
    "storage": "where tokens and history lie",
}
"""A section or a key, and what would be in a server's hands with it."""
_OF_ITS_ACCOUNT: Final = frozenset(
    {"user", "auth_user", "password", "outbound_proxy", "transport", "srtp", "ca", "turn", "dns_servers"}
)
"""Of an account that the box has from elsewhere, these would have its calls or its password go another way."""
_Path = tuple[str, ...]


def allowed(draft: Draft) -> tuple[Draft, list[Note]]:
    """`draft` without what is not a server's to set, and a note on each such thing."""
    refused: list[Note] = []
    paths: list[_Path] = []
    for path, value in list(leaves(draft.tree)):
        if why := next((why for reason in _REASONS for why in reason(draft.tree, path, value)), ""):
            key = ".".join(path)
            refused.append(Note(f"is not a server's to set: {why}", key, nearest_line(draft.lines, key)))
            paths.append(path)
    for path in paths:
        _take_out(draft.tree, path)
    if not draft.system.empty:
        draft.system = System()
        refused.append(Note("people, keys to log in with, networks and names are not a server's to set"))
    return draft, refused


def _take_out(tree: Tree, path: _Path) -> None:
    """With the tables that are empty without it: who sets nothing of a section does not name it."""
    drop(tree, list(path))
    for end in range(len(path) - 1, 0, -1):
        if _at(tree, path[:end]):
            return
        drop(tree, list(path[:end]))


def _at(tree: Tree, path: _Path) -> Any:
    found: Any = tree
    for part in path:
        found = found[part]
    return found


def _guard(_: Tree, path: _Path, __: Any) -> Iterator[str]:
    for end in range(1, len(path) + 1):
        yield from filter(None, [GUARDS.get(".".join(path[:end]))])


def _own_secret(_: Tree, path: _Path, value: Any) -> Iterator[str]:
    if is_secret(path[-1]) and isinstance(value, str) and is_reference(value):
        yield "it names a secret of the box itself; a server gives its own"


def _open_to_all(_: Tree, path: _Path, value: Any) -> Iterator[str]:
    if path[0] == "agents" and path[-1] == "pin" and not value:
        yield "it would take a PIN away"


def _key_elsewhere(tree: Tree, path: _Path, _: Any) -> Iterator[str]:
    """A key that is set here would be sent to the address that is given there."""
    if path[0] == "providers" and len(path) == 3 and path[2].endswith("base_url"):
        table = tree["providers"][path[1]]
        keys = [value for name, value in table.items() if name.endswith("api_key")]
        if not any(map(_is_own, keys)):
            yield "the box's own key would go there; give an api_key beside it"


def _of_another_account(tree: Tree, path: _Path, _: Any) -> Iterator[str]:
    if path[0] != "sip" or path[-1] not in {"server", *_OF_ITS_ACCOUNT}:
        return
    account = _at(tree, path[:-1])
    at_relay = path[-1] == "turn" and not _is_own(account.get("turn_password"))
    if not account.get("server"):
        yield "it belongs to an account of the box's own; a server gives an account whole, with its server"
    elif at_relay or not _is_own(account.get("password")):
        name = "turn_password" if at_relay else "password"
        yield f"the box's own password would go there; give {name} beside it"


def _is_own(secret: Any) -> bool:
    """Whether the server gives it, and names none of the box."""
    return isinstance(secret, str) and bool(secret) and not is_reference(secret)


_REASONS: Final[tuple[Callable[[Tree, _Path, Any], Iterator[str]], ...]] = (
    _guard,
    _own_secret,
    _open_to_all,
    _key_elsewhere,
    _of_another_account,
)
