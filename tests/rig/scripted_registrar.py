"""A registrar that answers as a test says, over UDP; what it was asked is written down.

with ScriptedRegistrar([Reply(423, {"Min-Expires": "90"})]) as registrar:     # then 200 for ever
    ... server=registrar.server
    registrar.registers                   # (monotonic second, message) of every new REGISTER
"""

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tests.rig.datagrams import DatagramHost

_REASONS = {
    200: "OK",
    302: "Moved Temporarily",
    401: "Unauthorized",
    403: "Forbidden",
    423: "Interval Too Brief",
}


@dataclass(frozen=True)
class Reply:
    """`code` 0 is silence; `times` how often in a row."""

    code: int
    headers: Mapping[str, str] = field(default_factory=dict)
    times: int = 1


CHALLENGE = {"WWW-Authenticate": 'Digest realm="test", nonce="{nonce}", algorithm=MD5'}


class ScriptedRegistrar(DatagramHost):
    """`script` may be changed at any time; it is asked for each REGISTER that is no repetition."""

    def __init__(self, script: Iterable[Reply] = (), *, options: int = 200, port: int = 0) -> None:
        self.script = [reply for reply in script for _ in range(reply.times)]
        self.options = options
        self.registers: list[tuple[float, str]] = []
        self._last: dict[str, bytes] = {}
        super().__init__(port=port)
        self.server = self.address

    def expiries(self) -> list[int]:
        """What each REGISTER asked for."""
        found = (re.search(r"(?im)^Expires:\s*(\d+)", message) for _, message in self.registers)
        return [int(match[1]) for match in found if match is not None]

    def answer(self, packet: bytes) -> bytes:
        return self._answer(packet.decode("utf-8", "replace"))

    def _answer(self, message: str) -> bytes:
        branch = re.search(r"branch=([\w.\-]+)", message)
        if branch is None:
            return b""
        if branch[1] in self._last:
            return self._last[branch[1]]
        if message.startswith("REGISTER"):
            self.registers.append((time.monotonic(), message))
            reply = self.script.pop(0) if self.script else Reply(200)
        elif message.startswith(("OPTIONS", "SUBSCRIBE")):
            reply = Reply(self.options if message.startswith("OPTIONS") else 489)
        else:
            return b""
        written = _written(message, reply, len(self.registers)) if reply.code else b""
        self._last[branch[1]] = written
        return written


def _written(message: str, reply: Reply, number: int) -> bytes:
    kept = [line for line in message.split("\r\n") if re.match(r"(?i)(via|from|call-id|cseq):", line)]
    to = re.search(r"(?im)^To:.*$", message)
    lines = [f"SIP/2.0 {reply.code} {_REASONS.get(reply.code, 'Because')}", *kept]
    lines += [f"{to[0].strip()};tag=registrar"] if to else []
    lines += [f"{name}: {value.format(nonce=number)}" for name, value in reply.headers.items()]
    contact = re.search(r"(?im)^Contact:.*$", message)
    expires = re.search(r"(?im)^Expires:\s*(\d+)", message)
    if reply.code == 200 and contact and expires and int(expires[1]):
        lines.append(f"{contact[0].strip().split(';expires=')[0]};expires={expires[1]}")
    return "\r\n".join([*lines, "Content-Length: 0", "", ""]).encode()
