"""Who may call: a pure rule over addresses and counts."""

import ipaddress
from collections.abc import Collection, Iterable
from dataclasses import dataclass

BUSY_HERE = 486
FORBIDDEN = 403


@dataclass(frozen=True, slots=True)
class Refusal:
    code: int
    reason: str


def admit(
    source: str,
    *,
    calls: int,
    max_calls: int,
    server: str,
    server_addresses: Collection[str],
    allow: Iterable[str],
) -> Refusal | None:
    """None where the call is taken. `source` is the sender's host:port; `calls` those not ended, this one apart.

    With a server, calls that come from its addresses are taken; without one, those from loopback; and always
    those of the allow list.
    """
    if not is_allowed(source, server=server, server_addresses=server_addresses, allow=allow):
        return Refusal(FORBIDDEN, "Forbidden")
    if calls >= max_calls:
        return Refusal(BUSY_HERE, "Busy Here")
    return None


def is_allowed(source: str, *, server: str, server_addresses: Collection[str], allow: Iterable[str]) -> bool:
    """The address part of `admit`."""
    host = host_of(source)
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if str(address) in server_addresses or (not server and address.is_loopback):
        return True
    return any(address in ipaddress.ip_network(entry, strict=False) for entry in allow)


def host_of(host_port: str) -> str:
    """The host of "host", "host:port" or "[v6]:port"."""
    if host_port.startswith("["):
        return host_port[1:].partition("]")[0]
    if host_port.count(":") == 1:
        return host_port.partition(":")[0]
    return host_port
