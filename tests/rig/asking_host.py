"""A host that asks everybody who calls it for a password, over UDP; what it was sent is written down.

with AskingHost("127.0.0.2", 401) as host:
    ... dial host.uri
    host.invites                          # the text of each INVITE
"""

import contextlib
import re
import socket
import threading
from types import TracebackType
from typing import Self

_ASKS = {
    401: ("Unauthorized", "WWW-Authenticate"),
    407: ("Proxy Authentication Required", "Proxy-Authenticate"),
}


class AskingHost:
    """Refuses with 486 whoever gives one."""

    def __init__(self, address: str, code: int) -> None:
        self._code = code
        self._link = socket.socket(type=socket.SOCK_DGRAM)
        self._link.bind((address, 0))
        self.uri = f"sip:201@{address}:{self._link.getsockname()[1]}"
        self.invites: list[str] = []
        self.acknowledged = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._link.shutdown(socket.SHUT_RDWR)
        self._link.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                packet, client = self._link.recvfrom(8192)
                request = packet.decode("utf-8", "replace")
                if request.startswith("ACK"):
                    self.acknowledged.set()
                if not request.startswith("INVITE"):
                    continue
                self.invites.append(request)
                self._link.sendto(self._answer(request), client)

    def _answer(self, request: str) -> bytes:
        kept = [line for line in request.split("\r\n") if re.match(r"(?i)(via|from|call-id|cseq):", line)]
        to = (re.search(r"(?im)^To:[^\r]*", request) or [""])[0]
        words, header = _ASKS[self._code]
        lines = [f"SIP/2.0 {self._code} {words}", *kept, f"{to};tag=host"]
        lines.append(f'{header}: Digest realm="pbx", nonce="chosen", algorithm=MD5')
        if "\nAuthorization:" in request or "\nProxy-Authorization:" in request:
            lines = ["SIP/2.0 486 Busy Here", *kept, f"{to};tag=host"]
        return "\r\n".join([*lines, "Content-Length: 0", "", ""]).encode()
