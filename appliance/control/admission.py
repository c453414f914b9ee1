"""Who may connect: Origin, Host and token. Pure, but for the token file that `Tokens` reads."""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from appliance.control.auth import Token, Tokens
from appliance.control.protocol import SUBPROTOCOL, Close, Scope

_BEARER: Final = "bearer."


@dataclass(frozen=True, slots=True)
class Admission:
    """A connection's scope, or the code and reason with which it is closed. `guessed` when a token was wrong."""

    scope: Scope | None
    code: Close = Close.UNAUTHORIZED
    reason: str = ""
    guessed: bool = False
    token: Token | None = None


def offered_token(authorization: Sequence[str], subprotocols: Iterable[str]) -> str | None:
    """The token of `Authorization: Bearer T` or of the subprotocol `bearer.T`."""
    for value in authorization:
        scheme, _, token = value.strip().partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            return token.strip()
    return next((name.removeprefix(_BEARER) for name in subprotocols if name.startswith(_BEARER)), None)


def chosen_subprotocol(offered: Sequence[str]) -> str | None:
    """The subprotocol to answer with: a browser that offered some drops the connection unless one is taken."""
    if SUBPROTOCOL in offered:
        return SUBPROTOCOL
    return next((name for name in offered if name.startswith(_BEARER)), None)


def admit(token: str | None, tokens: Tokens, *, trusted: bool) -> Admission:
    """`trusted`: the peer is on loopback and calls the appliance by a loopback name."""
    if tokens.damaged:
        return Admission(None, reason="tokens.json is damaged: remove it, then: handset pair")
    if token is None:
        if trusted and not tokens.paired():
            return Admission(Scope.ADMIN)
        return Admission(None, reason="a token is needed: handset pair")
    found = tokens.find(token)
    if found is None:
        return Admission(None, reason="the token is not known: handset pair", guessed=True)
    if found.scope not in list(Scope):
        return Admission(None, Close.SCOPE, f"the token's scope {found.scope[:40]!r} allows nothing here")
    return Admission(Scope(found.scope), token=found)


def is_loopback(address: str) -> bool:
    """True for the addresses and names of this machine itself."""
    if address.lower() == "localhost":
        return True
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return parsed.is_loopback


def is_trusted(peer: str, hosts: Sequence[str]) -> bool:
    """True for a caller on this machine. The Host must be a loopback name as well: a web page whose name was re-bound
    to 127.0.0.1 sends its own name there."""
    return is_loopback(peer) and len(hosts) <= 1 and all(is_loopback(_host_name(host)) for host in hosts)


def origin_allowed(
    origins: Sequence[str], hosts: Sequence[str], allowed: Iterable[str], *, tls: bool
) -> bool:
    """True without an Origin (not a browser), for one of `allowed`, and for the page's own origin."""
    if not origins:
        return True
    if len(origins) > 1 or len(hosts) > 1:
        return False
    origin = origins[0].rstrip("/").lower()
    if any(entry == "*" or entry.rstrip("/").lower() == origin for entry in allowed):
        return True
    own = _with_port(f"{'https' if tls else 'http'}://{hosts[0].lower()}") if hosts else None
    return own is not None and _with_port(origin) == own


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _with_port(origin: str) -> tuple[str, str, int] | None:
    try:
        parts = urlsplit(origin)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    except ValueError:
        return None
    return (parts.scheme, parts.hostname, port) if parts.hostname else None
