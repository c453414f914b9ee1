# SPDX-License-Identifier: Apache-2.0
"""What a person dials, made into a SIP URI; and the parts of one. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from appliance.errors import RequestInvalid, UnknownName

MAX_LENGTH: Final = 256
DTMF: Final = frozenset("0123456789*#ABCD")

# RFC 3261 lets a user hold a "?" too; some servers read headers behind one, and nobody is called so.
_USER: Final = r"[A-Za-z0-9\-_.!~*'()&=+$,;/%#]{1,128}"
_HOST: Final = r"(?:[A-Za-z0-9](?:[A-Za-z0-9\-.]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])"
_URI: Final = re.compile(
    rf"(?P<scheme>sips?):(?:(?P<user>{_USER})@)?(?P<host>{_HOST})(?::(?P<port>\d{{1,5}}))?(?P<rest>;[\w\-.;=%~+:\[\]]*)?"
)
_NUMBER: Final = re.compile(r"\+?[0-9*#]{1,64}")
_SPACING: Final = re.compile(r"[\s().\-/]")


@dataclass(frozen=True, slots=True)
class Uri:
    """A SIP URI in parts; `port` is 0 when not given, `parameters` starts with its semicolon."""

    scheme: str
    user: str
    host: str
    port: int = 0
    parameters: str = ""

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        port = f":{self.port}" if self.port else ""
        return f"{self.scheme}:{user}{self.host}{port}{self.parameters}"


def parse(text: str) -> Uri:
    """A full `sip:` or `sips:` URI; raise RequestInvalid for anything else."""
    match = _URI.fullmatch(text) if len(text) <= MAX_LENGTH else None
    if match is None:
        raise RequestInvalid(
            "that is not a SIP address", hint="use an extension, a number, user@host, or sip:user@host:port"
        )
    port = int(match["port"] or 0)
    if port > 65535:
        raise RequestInvalid(f"port {port} does not exist", hint="ports go from 1 to 65535")
    return Uri(match["scheme"], match["user"] or "", match["host"], port, match["rest"] or "")


def dialled(to: str, server: str) -> Uri:
    """The URI for `to`: a SIP URI, `user@host`, or an extension or number at `server` (host[:port], may be empty)."""
    text = to.strip()
    if re.match(r"(?i)sips?:", text):
        scheme, _, rest = text.partition(":")
        return parse(f"{scheme.lower()}:{rest}")
    if "@" in text:
        return parse(f"sip:{text}")
    number = _SPACING.sub("", text)
    user = number if _NUMBER.fullmatch(number) else text
    if not user:
        raise RequestInvalid("there is nothing to dial", hint="give an extension, a number, or sip:user@host")
    if not server:
        raise RequestInvalid(
            f"there is no SIP server at which {text!r} could be an extension",
            hint="set sip.server, or dial sip:user@host",
        )
    return parse(f"sip:{user.replace('#', '%23')}@{server}")


def account_for(to: str, named: str, servers: Mapping[str, str]) -> str:
    """The account that calls `to`: `named`, or the one at its domain, or the first; a bare number needs a server.

    `servers` maps each account's name to its server, the first account first. Raise UnknownName.
    """
    if named:
        if named not in servers:
            raise UnknownName(f"there is no account {named!r}", hint=f"there are: {', '.join(servers)}")
        return named
    first = next(iter(servers))
    text = to.strip()
    if "@" in text or re.match(r"(?i)sips?:", text):
        return _at_domain(dialled(text, ""), servers) or first
    return first if servers[first] else next((name for name, server in servers.items() if server), first)


def _at_domain(uri: Uri, servers: Mapping[str, str]) -> str:
    host = uri.host.strip("[]").lower()
    same = [name for name, server in servers.items() if server and split_host(server.lower())[0] == host]
    exact = [name for name in same if split_host(servers[name])[1] == uri.port]
    return next(iter([*exact, *same]), "")


def split_host(text: str, default_port: int = 0) -> tuple[str, int]:
    """`host[:port]`, `[v6]:port` or a bare IPv6 address, in parts."""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, int(rest[1:]) if rest[1:].isdigit() else default_port
    if text.count(":") == 1:
        host, _, port = text.partition(":")
        return host, int(port) if port.isdigit() else default_port
    return text, default_port


def tones(digits: str) -> str:
    """DTMF digits in upper case; raise RequestInvalid when one is none, or there are none or more than 32."""
    cleaned = re.sub(r"[\s\-]", "", digits).upper()
    if not cleaned or len(cleaned) > 32 or not set(cleaned) <= DTMF:
        raise RequestInvalid("those are not DTMF digits", hint="1 to 32 of 0-9, *, # and A-D")
    return cleaned
