# SPDX-License-Identifier: Apache-2.0
"""Which requests get an answer at all: those of known networks, and those within our own calls. Pure."""

import ipaddress
import re
from collections.abc import Callable, Collection, Iterable
from typing import Final

CALL_ID: Final = re.compile(rb"(?im)^(?:call-id|i)[ \t]*:[ \t]*([^\r\n]+)")
_HEAD: Final = 4_000

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Screen:
    """`ours` gives the Call-IDs of the calls that are up. Until `admit` is called, nobody is a stranger."""

    def __init__(self, ours: Callable[[], Collection[str]]) -> None:
        self._ours = ours
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] | None = None
        self.ignored = 0

    def admit(self, networks: Iterable[str]) -> None:
        """From now on these may ask. Raise ValueError for what is no network."""
        self._networks = [ipaddress.ip_network(text, strict=False) for text in networks]

    def ignores(self, source: Address, packet: bytes) -> bool:
        """Whether a request gets no answer; counts it."""
        if self._networks is None or _is_in(source, self._networks):
            return False
        call_id = CALL_ID.search(packet[:_HEAD])
        # Whom we called may hang up from an address that we have never heard of.
        if call_id is not None and call_id[1].strip().decode("utf-8", "replace") in self._ours():
            return False
        self.ignored += 1
        return True


def _is_in(source: Address, networks: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    if isinstance(source, ipaddress.IPv6Address) and source.ipv4_mapped:
        source = source.ipv4_mapped
    return any(source in network for network in networks)
