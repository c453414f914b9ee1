# SPDX-License-Identifier: Apache-2.0
"""Whom a far end may send us to, by REFER or by a 3xx answer. Pure."""

import re
from collections.abc import Collection
from typing import Final
from urllib.parse import unquote

from appliance.dialplan import counted
from appliance.errors import RequestInvalid
from drivers.sip_pjsua2.address import parse, split_host

MOST: Final = 5
"""Redirections that one call may take."""
_HEADERS: Final = frozenset({"replaces", "require", "referred-by", "user-to-user"})
"""What a far end may have us say: the library puts the headers of such a URI into our INVITE."""


def follows(policy: str, target: str, peer: str, servers: Collection[str]) -> bool:
    """`policy` "server": to our servers, and to where the far end is; "any"; "never". Never what cannot be read."""
    host = host_of(target)
    if policy == "never" or not host or not _is_plain(target):
        return False
    return policy == "any" or host in {host_of(peer), *(split_host(server)[0].lower() for server in servers)}


def is_barred(
    target: str, servers: Collection[str], barred: tuple[str, Collection[str] | None], day: str
) -> bool:
    """Whether nobody may have us call `target` on `day`; `barred` is of one day: numbers, None for all."""
    until, numbers = barred
    return until == day and (numbers is None or counted(target, servers) in numbers)


def _is_plain(target: str) -> bool:
    """Whether it is the host alone that says where the INVITE goes, and what it says is harmless."""
    address, _, headers = target.rpartition("<")[2].partition(">")[0].partition("?")
    if re.search(r"(?i);\s*maddr\s*=", unquote(address)):
        return False
    names = {unquote(header.partition("=")[0]).strip().lower() for header in headers.split("&") if header}
    return names <= _HEADERS


def host_of(uri: str) -> str:
    """The host of a URI, with or without a name and angle brackets; empty where there is none."""
    text = uri.rpartition("<")[2].partition(">")[0].partition("?")[0].strip()
    scheme, colon, rest = text.partition(":")
    try:
        return parse(f"{scheme.lower()}{colon}{rest}").host.lower()
    except RequestInvalid:
        return ""


def messages(body: str) -> tuple[bool, int, int] | None:
    """A message summary (RFC 3842): whether messages wait, new and old voice messages; None where it is none."""
    fields: dict[str, str] = {}
    for line in body.replace("\r", "").split("\n"):
        name, colon, value = line.partition(":")
        if colon:
            fields.setdefault(name.strip().lower(), value.strip().lower())
    if "messages-waiting" not in fields:
        return None
    counts = fields.get("voice-message", "").partition("(")[0].split("/")
    new, old = (int(count) if count.strip().isdigit() else 0 for count in (*counts, "", "")[:2])
    return fields["messages-waiting"] == "yes", new, old
