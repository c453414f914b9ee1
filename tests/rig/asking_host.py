"""A host that asks everybody who calls it for a password, over UDP; what it was sent is written down.

with AskingHost("127.0.0.2", 401) as host:
    ... dial host.uri
    host.invites                          # the text of each INVITE
"""

import re
import threading

from tests.rig.datagrams import DatagramHost

_ASKS = {
    401: ("Unauthorized", "WWW-Authenticate"),
    407: ("Proxy Authentication Required", "Proxy-Authenticate"),
}


class AskingHost(DatagramHost):
    """Refuses with 486 whoever gives one."""

    def __init__(self, address: str, code: int) -> None:
        super().__init__(address)
        self._code = code
        self.uri = f"sip:201@{self.address}"
        self.invites: list[str] = []
        self.acknowledged = threading.Event()

    def answer(self, packet: bytes) -> bytes:
        request = packet.decode("utf-8", "replace")
        if request.startswith("ACK"):
            self.acknowledged.set()
        if not request.startswith("INVITE"):
            return b""
        self.invites.append(request)
        return self._refusal(request)

    def _refusal(self, request: str) -> bytes:
        kept = [line for line in request.split("\r\n") if re.match(r"(?i)(via|from|call-id|cseq):", line)]
        to = (re.search(r"(?im)^To:[^\r]*", request) or [""])[0]
        words, header = _ASKS[self._code]
        lines = [f"SIP/2.0 {self._code} {words}", *kept, f"{to};tag=host"]
        lines.append(f'{header}: Digest realm="pbx", nonce="chosen", algorithm=MD5')
        if "\nAuthorization:" in request or "\nProxy-Authorization:" in request:
            lines = ["SIP/2.0 486 Busy Here", *kept, f"{to};tag=host"]
        return "\r\n".join([*lines, "Content-Length: 0", "", ""]).encode()
