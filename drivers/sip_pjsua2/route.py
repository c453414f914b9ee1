# SPDX-License-Identifier: Apache-2.0
"""Which of our addresses the SIP server sees, and who resolves its name.

The library resolves names in its only thread, and stands still meanwhile, unless it is given name servers: then it asks
them itself, SRV records included, and waits for nobody. What they cannot know (/etc/hosts, .local) is looked up here.
"""

import ipaddress
import socket
import threading
from pathlib import Path
from typing import Final

# TEST-NET-1: a host name that is not resolved yet is most likely out there, behind the default route.
_ELSEWHERE: Final = "192.0.2.1"


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


class Lookup:
    """One name, looked up in a thread of its own; `address` is None until it is done, "" when there is none."""

    def __init__(self, host: str) -> None:
        self._host = host
        self.address: str | None = None
        threading.Thread(target=self._work, name="lookup", daemon=True).start()

    def _work(self) -> None:
        try:
            found = socket.getaddrinfo(self._host, None, socket.AF_INET, socket.SOCK_DGRAM)
        except OSError:
            found = []
        self.address = str(found[0][4][0]) if found else ""
