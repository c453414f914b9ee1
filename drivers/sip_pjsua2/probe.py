# SPDX-License-Identifier: Apache-2.0
"""One question to a registrar at which we are not registered now: do you live?"""

import errno
import os
import select
import socket
import time
from typing import Final

from drivers.sip_pjsua2.route import Target, is_literal

WAIT: Final = 2.0
_PORTS: Final = {"udp": 5060, "tcp": 5060, "tls": 5061}


class Probe:
    """Never blocks: UDP sends an OPTIONS and hopes for any answer, TCP and TLS connect. Names are not looked up."""

    def __init__(self, target: Target, transport: str) -> None:
        self._deadline = time.monotonic() + WAIT
        self._datagrams = transport == "udp"
        self._link: socket.socket | None = None
        if not is_literal(target.host):
            return
        family = socket.AF_INET6 if ":" in target.host else socket.AF_INET
        link = socket.socket(family, socket.SOCK_DGRAM if self._datagrams else socket.SOCK_STREAM)
        link.setblocking(False)
        try:
            code = link.connect_ex((target.host, target.port or _PORTS[transport]))
            if code not in (0, errno.EINPROGRESS):
                raise OSError(code, "unreachable")
            if self._datagrams:
                link.send(_options(target, link))
        except OSError:
            link.close()
            return
        self._link = link

    def answered(self) -> bool:
        """True once, when the answer has come."""
        if self._link is None:
            return False
        if self._datagrams:
            try:
                return self._link.recv(2048).startswith(b"SIP/2.0 ")
            except OSError:
                return False
        _, ready, _ = select.select([], [self._link], [], 0)
        return bool(ready) and self._link.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0

    def over(self) -> bool:
        return self._link is None or time.monotonic() > self._deadline

    def close(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None


def _options(target: Target, link: socket.socket) -> bytes:
    host, port = link.getsockname()[:2]
    here = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    word = os.urandom(8).hex()
    return (
        f"OPTIONS sip:{target} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK{word};rport\r\n"
        f"From: <sip:handset@{here}>;tag={word}\r\nTo: <sip:{target}>\r\nCall-ID: {word}\r\nCSeq: 1 OPTIONS\r\n"
        f"Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    ).encode()
