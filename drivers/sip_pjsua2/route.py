# SPDX-License-Identifier: Apache-2.0
"""Which of our addresses the SIP server sees. Asks the kernel's routing table; sends nothing."""

import ipaddress
import socket
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
