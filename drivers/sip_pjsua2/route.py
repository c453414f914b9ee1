# SPDX-License-Identifier: Apache-2.0
"""Which of our addresses a SIP server sees, and at which addresses it is found, best first (RFC 3263).

The library would resolve names in its only thread, and ask one server of several; so names are looked up here, in a
thread of their own. Only over TLS the library is left to do it: a certificate is checked against the name.
"""

import ipaddress
import random
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from drivers.sip_pjsua2 import dns
from drivers.sip_pjsua2.address import split_host

# TEST-NET-1: a host name that is not resolved yet is most likely out there, behind the default route.
_ELSEWHERE: Final = "192.0.2.1"
LOOPBACK: Final = "127.0.0.1"
_DNS_PORT: Final = 53
_SERVICES: Final = {"udp": "SIP+D2U", "tcp": "SIP+D2T"}
MAX_TARGETS: Final = 8

Ask = Callable[[str, int], Sequence[dns.Record]]


@dataclass(frozen=True, slots=True)
class Target:
    """One place to register at; `port` is 0 where the transport's own is meant. `host` is a name only over TLS."""

    host: str
    port: int = 0

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" if self.port else host


def local_address(host: str) -> str:
    """The address that packets to `host` leave from, or "" while there is no network."""
    try:
        target = str(ipaddress.ip_address(host))
    except ValueError:
        target = "127.0.0.1" if host == "localhost" else _ELSEWHERE
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((target, 9))
        except OSError:
            return ""
        return str(probe.getsockname()[0])


def outside(networks: Iterable[str]) -> str:
    """An address within the first of `networks` that is not this machine, "" where all are."""
    for text in networks:
        network = ipaddress.ip_network(text, strict=False)
        if not network.network_address.is_loopback:
            return str(next(iter(network.hosts()))) if network.prefixlen else _ELSEWHERE
    return ""


def is_literal(host: str) -> bool:
    """Whether `host` is an IP address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def name_servers(path: Path = Path("/etc/resolv.conf")) -> list[str]:
    """The IPv4 name servers of this machine, at most three."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    words = [line.split() for line in lines]
    return [word[1] for word in words if len(word) > 1 and word[0] == "nameserver" and "." in word[1]][:3]


def known_here_only(host: str, hosts: Path = Path("/etc/hosts")) -> bool:
    """Whether name servers cannot be expected to know `host`."""
    name = host.lower().rstrip(".")
    if is_literal(name):
        return False
    if "." not in name or name.endswith(".local"):
        return True
    try:
        lines = hosts.read_text(encoding="utf-8", errors="replace").lower().splitlines()
    except OSError:
        return False
    return any(name in line.partition("#")[0].split()[1:] for line in lines)


def services(
    host: str, transport: str, ask: Ask, chance: Callable[[], float] = random.random
) -> list[Target]:
    """The hosts and ports that `host`'s SRV records name for `transport`, best first; empty without any."""
    naptr = [record for record in ask(host, dns.NAPTR) if record.kind == dns.NAPTR]
    chosen = [record for record in naptr if record.service == _SERVICES[transport]]
    names = [record.target for record in sorted(chosen, key=lambda record: (record.order, record.weight))]
    found = []
    for name in names or [f"_sip._{transport}.{host}"]:
        found += by_weight([record for record in ask(name, dns.SRV) if record.kind == dns.SRV], chance)
    return [Target(record.target, record.port) for record in found][:MAX_TARGETS]


def by_weight(records: Sequence[dns.Record], chance: Callable[[], float]) -> list[dns.Record]:
    """SRV records by priority, and among equals by lot according to their weight (RFC 2782)."""
    ordered = []
    for priority in sorted({record.order for record in records}):
        left = sorted((record for record in records if record.order == priority), key=lambda r: r.weight)
        while left:
            lot = chance() * sum(record.weight for record in left)
            for record in left:
                lot -= record.weight
                if lot <= 0:
                    break
            left.remove(record)
            ordered.append(record)
    return ordered


def server_list(texts: Sequence[str]) -> list[tuple[str, int]]:
    """Name servers given as host[:port], or this machine's."""
    return [split_host(text, _DNS_PORT) for text in texts or name_servers()]


class Lookup:
    """`servers` (host[:port]) looked up in a thread; `targets` is None until it is done, empty when there are none."""

    def __init__(self, servers: Sequence[str], transport: str, name_servers: Sequence[str] = ()) -> None:
        self._servers = servers
        self._transport = transport
        self._name_servers = name_servers
        self.targets: tuple[Target, ...] | None = None
        threading.Thread(target=self._work, name="lookup", daemon=True).start()

    def _work(self) -> None:
        found: list[Target] = []
        for server in self._servers:
            host, port = split_host(server)
            found += self._find(host, port)
        self.targets = tuple(dict.fromkeys(found))[:MAX_TARGETS]

    def _find(self, host: str, port: int) -> list[Target]:
        if is_literal(host) or self._transport == "tls":
            return [Target(host, port)]
        if not port and not known_here_only(host):
            servers = server_list(self._name_servers)
            named = services(host, self._transport, lambda name, kind: dns.ask(servers, name, kind))
            if named:
                return [Target(at, target.port) for target in named for at in self._addresses(target.host)]
        return [Target(at, port) for at in self._addresses(host)]

    def _addresses(self, host: str) -> list[str]:
        if is_literal(host):
            return [host]
        if self._name_servers and not known_here_only(host):
            servers = server_list(self._name_servers)
            asked = [*dns.ask(servers, host, dns.A), *dns.ask(servers, host, dns.AAAA)]
            return list(dict.fromkeys(record.target for record in asked if record.kind in (dns.A, dns.AAAA)))
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
        except OSError:
            return []
        # IPv4 first: where both are named, few telephone networks of offices route the other.
        addresses = sorted(found, key=lambda entry: entry[0] != socket.AF_INET)
        return list(dict.fromkeys(str(entry[4][0]) for entry in addresses))
