"""A SIP account from the fields of a telephone's configuration. Pure; each maker's table says which field means what.

Meanings are the keys of an account (docs/configuration.md), and a few that only together make one: a host and its port,
a proxy and whether it is in use, the minutes of a registration.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from provisioning.draft import Draft, Tree

SHORTEST_EXPIRY: Final = 30
LONGEST_EXPIRY: Final = 86400
CODECS: Final = {
    **dict.fromkeys(("pcmu", "g711u", "g711mu", "g711ulaw", "ulaw", "0"), "PCMU"),
    **dict.fromkeys(("pcma", "g711a", "g711alaw", "alaw", "8"), "PCMA"),
    **dict.fromkeys(("g722", "9"), "G722"),
    **dict.fromkeys(("opus", "123"), "opus"),
}
SILENT_CODECS: Final = frozenset({"telephone-event", "cn", "none", ""})
"""What stands in lists of codecs and is none, or is always there."""
_NO: Final = frozenset({"0", "no", "off", "false", "disabled", "disable", "none", ""})
_YES: Final = frozenset({"1", "yes", "on", "true", "enabled", "enable"})
_HOST: Final = re.compile(r"(?:sips?:)?(?:[^@;]*@)?(\[[^\]]+\]|[^:;\s]+)(?::(\d+))?", re.IGNORECASE)
_TRANSPORT: Final = re.compile(r"[;?]transport=(\w+)", re.IGNORECASE)


class NotUnderstood(ValueError):
    """A value that no setting here corresponds to; the message says so without the value of a secret."""


@dataclass(frozen=True, slots=True)
class Given:
    """One field as it stood in the file; `account` 0 is the whole phone."""

    name: str
    value: str
    line: int
    account: int = 0


@dataclass(frozen=True, slots=True)
class Means:
    """`key` is what a field sets; `read` turns its text into that key's value, or raises NotUnderstood."""

    key: str
    read: Callable[[str], Any] = str


@dataclass(slots=True)
class _Raw:
    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)


def switch(text: str) -> bool:
    """1, yes, on; 0, no, off."""
    word = text.strip().lower()
    if word in _YES:
        return True
    if word in _NO:
        return False
    raise NotUnderstood("is neither on nor off")


def one_of(words: Mapping[str, Any]) -> Callable[[str], Any]:
    """The value of a word, whatever its case."""

    def read(text: str) -> Any:
        try:
            return words[text.strip().lower()]
        except KeyError:
            raise NotUnderstood(f"has no counterpart here: known are {', '.join(words)}") from None

    return read


def seconds(factor: int = 1) -> Callable[[str], int]:
    """A duration; `factor` 60 where the maker counts minutes."""

    def read(text: str) -> int:
        if not text.strip().isdecimal():
            raise NotUnderstood("is no number")
        return int(text) * factor

    return read


def port(text: str) -> int:
    """A port; 0 and nothing leave it open."""
    bare = text.strip() or "0"
    if not bare.isdecimal() or int(bare) > 65535:
        raise NotUnderstood("is no port")
    return int(bare)


def codec(text: str) -> str | None:
    """Its name here; None for what no list of ours needs."""
    word = text.strip().lower().partition("/")[0].replace("_", "").replace(".", "")
    if text.strip().lower() in SILENT_CODECS:
        return None
    try:
        return CODECS[word]
    except KeyError:
        raise NotUnderstood(f"{text.strip()} is not spoken here: known are G722, opus, PCMU, PCMA") from None


def host_and_port(text: str) -> tuple[str, int, str]:
    """Host, port (0 where none is told) and transport ("" likewise) of a host, host:port or SIP address."""
    found = _HOST.match(text.strip())
    if found is None:
        raise NotUnderstood("is no host")
    said = _TRANSPORT.search(text)
    return found[1], port(found[2] or "0"), said[1].lower() if said else ""


def host(text: str) -> str:
    """A host name or address, with its port where one is told, and its transport in the same way."""
    name, at, transport = host_and_port(text) if text.strip() else ("", 0, "")
    return name + (f":{at}" if at else "") + (f";transport={transport}" if transport else "")


def read(givens: Iterable[Given], table: Mapping[str, Means], source: str, first: str = "") -> Draft:
    """The configuration that the fields of one phone amount to. `first` names the first account, where it is not
    that of `[sip]` itself."""
    draft = Draft(source=source)
    raws: dict[int, _Raw] = {}
    for given in givens:
        means = table.get(given.name)
        if means is None:
            if given.value.strip():
                draft.leave("has no counterpart here", key=given.name, line=given.line)
            continue
        try:
            value = means.read(given.value)
        except NotUnderstood as reason:
            draft.leave(str(reason), key=given.name, line=given.line)
            continue
        raw = raws.setdefault(given.account, _Raw())
        if means.key == "codecs" and isinstance(value, str):
            value = [*raw.values.get("codecs", []), value]
        if value not in (None, ""):
            raw.values[means.key] = value
            raw.lines[means.key] = given.line
    common = raws.pop(0, _Raw())
    accounts = [(number, raws[number]) for number in sorted(raws)]
    _place(draft, common, accounts, first)
    return draft


def _place(draft: Draft, common: _Raw, accounts: list[tuple[int, _Raw]], first: str) -> None:
    names: set[str] = set()
    for number, raw in accounts:
        keys = _account(draft, raw, number)
        if keys is None:
            continue
        label = str(raw.values.get("label") or keys.get("user", ""))
        name = first if not names else _name(label, number, names)
        names.add(name or "default")
        prefix = f"sip.accounts.{name}" if name else "sip"
        for key, value in keys.items():
            draft.put(f"{prefix}.{key}", value, raw.lines.get(key, raw.lines.get("server", 0)))
        for key in ("codecs", "dtmf", "stun", "mailbox"):
            if key in raw.values:
                _shared(draft, key, raw)
    if not names:
        draft.fault("no account stands in it that could register: a server and a user are needed")
        return
    for key in ("codecs", "dtmf", "stun", "mailbox"):
        if key in common.values:
            _shared(draft, key, common)
    draft.put("sip.enabled", value=True)


def _shared(draft: Draft, key: str, raw: _Raw) -> None:
    """Keys that all accounts have in common here: the first that says something is heard."""
    value = raw.values[key]
    if key == "stun":
        value = [_joined(value, raw.values.get("stun_port", 0))]
    if key == "codecs":
        value = list(dict.fromkeys(value))
    there = draft.tree.get("sip", {}).get(key)
    if there is None:
        draft.put(f"sip.{key}", value, raw.lines[key])
    elif there != value:
        draft.leave(
            "holds for all accounts here: that of the first one was taken", key=key, line=raw.lines[key]
        )


def _account(draft: Draft, raw: _Raw, number: int) -> Tree | None:
    values = raw.values
    if values.get("enabled") is False:
        draft.leave("is switched off, and was left out", key=f"account {number}", line=raw.lines["enabled"])
        return None
    user, server, proxies = _places(values)
    if not (user and server):
        missing = "a server" if user else "a user"
        if user or server or "password" in values:
            line = next(iter(raw.lines.values()))
            draft.fault(
                f"has no {missing.removeprefix('a ')}",
                key=f"account {number}",
                line=line,
                hint=f"add {missing}",
            )
        return None
    keys: Tree = {"server": server, "user": user}
    if values.get("auth_user") not in (None, user):
        keys["auth_user"] = values["auth_user"]
    for key in ("password", "display_name", "transport", "srtp", "auto_answer", "ring_time", "ice", "turn"):
        if key in values:
            keys[key] = values[key]
    for key in ("turn_user", "turn_password"):
        if key in values and "turn" in values:
            keys[key] = values[key]
    if proxies:
        keys["outbound_proxy"] = proxies
    if "expiry" in values:
        keys["expiry"] = _expiry(draft, values["expiry"], raw.lines["expiry"])
    return keys


def _places(values: dict[str, Any]) -> tuple[str, str, list[str]]:
    """User, registrar and proxies; a transport that stands in one of their addresses becomes the account's."""
    user, server = str(values.get("user", "")), _joined(values.get("server", ""), values.get("port", 0))
    proxies = []
    if values.get("outbound_enabled") is not False:
        proxies = [
            _joined(values.get(key, ""), values.get(f"{key}_port", 0))
            for key in ("outbound_proxy", "outbound_proxy2")
        ]
    local, at, domain = user.partition("@")
    if at:
        user = local
        proxies += [server] if server and server != domain else []
        server = domain
    for at_host in (*proxies, server):
        if told := _TRANSPORT.search(at_host):
            if told[1].lower() in ("udp", "tcp", "tls"):
                values.setdefault("transport", told[1].lower())
            break
    bare = [proxy.partition(";")[0] for proxy in proxies if proxy]
    server = server.partition(";")[0]
    return user, server, [proxy for proxy in dict.fromkeys(bare) if proxy != server]


def _joined(at_host: str, at_port: int) -> str:
    bare, semicolon, rest = at_host.partition(";")
    told = re.search(r"(?<=[\w.\]]):\d+$", bare) if not bare.count(":") > 1 or "[" in bare else None
    if bare.count(":") > 1 and "[" not in bare:
        bare = f"[{bare}]"
    if bare and at_port and not told:
        bare = f"{bare}:{at_port}"
    return bare + semicolon + rest


def _expiry(draft: Draft, value: int, line: int) -> int:
    bounded = max(SHORTEST_EXPIRY, min(LONGEST_EXPIRY, value))
    if bounded != value:
        draft.leave(f"{value} s is out of bounds here: {bounded} s it is", key="expiry", line=line)
    return bounded


def _name(label: str, number: int, taken: set[str]) -> str:
    bare = re.sub(r"[^A-Za-z0-9_-]+", "-", label).strip("-")[:28] or f"account{number}"
    if bare in taken or bare == "default":
        bare = f"{bare}-{number}"
    return bare
