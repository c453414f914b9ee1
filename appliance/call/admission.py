"""Who may call: a pure rule over addresses and counts."""

import ipaddress
from collections import OrderedDict, deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from appliance.dialplan import is_caller

BUSY_HERE: Final = 486
FORBIDDEN: Final = 403
UNAVAILABLE: Final = 480
_CALLERS_KEPT: Final = 1000
_MINUTE: Final = 60.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """The SIP answer; `warning` and `hint` are told where the rule is one of the owner's."""

    code: int
    reason: str
    warning: str = ""
    hint: str = ""


DENIED: Final = Refusal(FORBIDDEN, "Forbidden", "caller_denied", "see sip.deny and sip.callers")
TOO_OFTEN: Final = Refusal(
    UNAVAILABLE, "Temporarily Unavailable", "caller_too_often", "see limits.calls_per_minute"
)


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


def networks(*, server: str, server_addresses: Collection[str], allow: Iterable[str]) -> tuple[str, ...]:
    """Those whose addresses `is_allowed` takes."""
    return (*sorted(server_addresses), *allow, *(() if server else ("127.0.0.0/8", "::1")))


def is_denied(source: str, peer: str, *, server: str, deny: Iterable[str], callers: Iterable[str]) -> bool:
    """The owner's lists: `deny` holds addresses, networks and patterns of callers, `callers` who alone may call."""
    try:
        address = ipaddress.ip_address(host_of(source))
    except ValueError:
        return True
    for entry in deny:
        network = _network(entry)
        if address in network if network is not None else is_caller(entry, peer, server):
            return True
    allowed = tuple(callers)
    return "*" not in allowed and not any(is_caller(entry, peer, server) for entry in allowed)


def _network(entry: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """None for a number: it has no dot and no colon, or a scheme before them."""
    if "." not in entry and ":" not in entry:
        return None
    try:
        return ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return None


class Pace:
    """How often each caller may call in any minute; `limit` 0 is without limit. Forgets the oldest callers."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._calls: OrderedDict[str, deque[float]] = OrderedDict()

    def allows(self, caller: str, now: float) -> bool:
        """Counts the call where it is allowed; `now` is monotonic. A refused one does not prolong the refusal."""
        if not self._limit:
            return True
        times = self._calls.setdefault(caller, deque())
        self._calls.move_to_end(caller)
        while times and now - times[0] >= _MINUTE:
            times.popleft()
        if len(times) >= self._limit:
            return False
        times.append(now)
        while len(self._calls) > _CALLERS_KEPT:
            self._calls.popitem(last=False)
        return True


def host_of(host_port: str) -> str:
    """The host of "host", "host:port" or "[v6]:port"."""
    if host_port.startswith("["):
        return host_port[1:].partition("]")[0]
    if host_port.count(":") == 1:
        return host_port.partition(":")[0]
    return host_port
