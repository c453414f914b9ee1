"""A raw caller who is called: `uri` is where; entering waits for the INVITE and answers it at once.

callee = RawCallee()
handset dials callee.uri
with callee: ...
"""

import re
import time
from typing import Self

from tests.rig.raw_caller import RawCaller


class RawCallee(RawCaller):
    """PCMU, as the caller. It never ends the call itself."""

    def __init__(self) -> None:
        super().__init__(9, user="callee")
        self._ended_here = False

    @property
    def uri(self) -> str:
        return f"sip:callee@{self._here}"

    def __enter__(self) -> Self:
        self._sip.settimeout(15.0)
        invite, source = self._sip.recvfrom(8192)
        self._target = source
        request = invite.decode("utf-8", "replace")
        began = time.monotonic()
        port = re.search(r"(?m)^m=audio (\d+)", request)
        assert request.startswith("INVITE"), request
        assert port is not None, request
        self._media = ("127.0.0.1", int(port[1]))
        kept = "\r\n".join(re.findall(r"(?mi)^(?:Via|From|Call-ID|CSeq|Record-Route):[^\r]*", request))
        to = (re.search(r"(?mi)^To:[^\r]*", request) or [""])[0]
        body = self._offer()
        self._sip.sendto(
            f"SIP/2.0 200 OK\r\n{kept}\r\n{to};tag=callee\r\nContact: <{self.uri}>\r\nContent-Type: application/sdp"
            f"\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode(),
            source,
        )
        for thread in self._threads:
            thread.start()
        self.setup_seconds = time.monotonic() - began
        return self
