"""A caller made of two UDP sockets: it knows to the microsecond which RTP packet left and came when.

    with RawCaller(port) as caller:          # INVITE to sip:handset@127.0.0.1:port, PCMU
        caller.speak(PULSE)                  # one 20 ms packet from now on, then silence again
        caller.arrived                       # (monotonic second, payload) of every packet that came

No phone: it answers nothing but what a call needs. `replaces` takes another caller's call over (attended transfer).
`events` offers telephone-event, `headers` are more lines of its INVITE. A bad network is made of `loses(number)`,
whether packet `number` gets lost, and `delays(number)`, the seconds it comes late; `talking = False` sends nothing.
"""

import contextlib
import re
import secrets
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

SILENCE = b"\xff" * 160
PULSE = (b"\x80" * 4 + b"\x00" * 4) * 20
"""20 ms of a square wave of 1 kHz at full scale, in mu-law."""
_PACKET = 0.02


class RawCaller:
    """Calls on entering, hangs up on leaving."""

    def __init__(
        self,
        port: int,
        *,
        user: str = "raw",
        replaces: "RawCaller | None" = None,
        events: bool = False,
        headers: str = "",
    ) -> None:
        self._target = ("127.0.0.1", port)
        self._user = user
        self._replaces = replaces
        self._events = events
        self._headers = headers
        self._sequence = 1
        self.loses: Callable[[int], bool] = lambda _: False
        self.delays: Callable[[int], float] = lambda _: 0.0
        self.talking = True
        self._ended_here = True
        self._sip = socket.socket(type=socket.SOCK_DGRAM)
        self._rtp = socket.socket(type=socket.SOCK_DGRAM)
        for link in (self._sip, self._rtp):
            link.bind(("127.0.0.1", 0))
            link.settimeout(5.0)
        self._here = f"127.0.0.1:{self._sip.getsockname()[1]}"
        self._call_id = secrets.token_hex(8)
        self._to = ""
        self._offers = 0
        self._media: tuple[str, int] = ("127.0.0.1", 9)
        self._next: deque[bytes] = deque()
        self._keys: deque[tuple[bool, bytes]] = deque()
        self.keyed_in: list[bytes] = []
        """The telephone-events that came."""
        self._over = threading.Event()
        self.sent: list[tuple[float, bytes]] = []
        self.arrived: list[tuple[float, bytes]] = []
        self.setup_seconds = 0.0
        self.answer = ""
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._talk, self._listen)]

    def __enter__(self) -> Self:
        began = time.monotonic()
        self._send("INVITE", 1, self._offer())
        answer = self._final_answer()
        if not answer.startswith("SIP/2.0 200"):
            self._close()
            raise ConnectionRefusedError(answer.split("\r\n", 1)[0])
        self.setup_seconds = time.monotonic() - began
        self.answer = answer
        self._to = (re.search(r"(?mi)^To:.*?(;tag=[^\s;]+)", answer) or [""] * 2)[1]
        host = re.search(r"(?m)^c=IN IP4 (\S+)", answer)
        port = re.search(r"(?m)^m=audio (\d+)", answer)
        assert host is not None
        assert port is not None
        self._media = (host[1], int(port[1]))
        self._send("ACK", 1)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._ended_here:
            self._sequence += 1
            self._send("BYE", self._sequence)
            with contextlib.suppress(OSError):
                self._final_answer()
        for thread in self._threads:
            thread.join(2.0)
        self._close()

    def leave_unsaid(self) -> None:
        """The other side is gone: there is nobody to say BYE to."""
        self._ended_here = False

    def dialogue(self) -> str:
        """How a Replaces header (RFC 3891) names this call."""
        return f"{self._call_id};to-tag={self._to.partition('=')[2]};from-tag=raw"

    def offer_again(self, direction: str, connection: str = "127.0.0.1") -> str:
        """A re-INVITE, for hold with "sendonly", "inactive" or the connection 0.0.0.0; the answer's direction."""
        self._sequence += 1
        self._send("INVITE", self._sequence, self._offer(direction, connection))
        answer = self._final_answer()
        self._send("ACK", self._sequence)
        assert answer.startswith("SIP/2.0 200"), answer
        return _direction(answer)

    def offer_only(self, codec: int, direction: str = "sendrecv") -> str:
        """A re-INVITE with that RTP payload type alone; the final answer's first line."""
        self._sequence += 1
        offer = re.sub(r"(?m)^(m=audio \d+ \S+) .*$", rf"\1 {codec}\r", self._offer(direction))
        self._send("INVITE", self._sequence, re.sub(r"(?m)^a=(?:rtpmap|fmtp):.*\r\n", "", offer))
        answer = self._final_answer()
        self._send("ACK", self._sequence)
        return answer.split("\r\n", 1)[0]

    def storm(self, bursts: int, size: int = 5) -> list[int]:
        """Re-INVITEs in bursts, none waiting for the one before; the codes that came back."""
        codes = []
        for _ in range(bursts):
            for _ in range(size):
                self._sequence += 1
                self._send("INVITE", self._sequence, self._offer())
            for _ in range(size):
                with contextlib.suppress(TimeoutError):
                    answer = self._final_answer()
                    number = re.search(r"(?mi)^CSeq:\s*(\d+)", answer)
                    self._send("ACK", int(number[1]) if number else 1)
                    codes.append(int(answer[8:11]))
        return codes

    def refuse_offer(self, code: str) -> None:
        """Wait for a re-INVITE, and answer it with "491 Request Pending", for example."""
        while not (request := self._sip.recv(8192).decode("utf-8", "replace")).startswith("INVITE"):
            continue
        kept = "\r\n".join(re.findall(r"(?mi)^(?:Via|From|To|Call-ID|CSeq|Record-Route):[^\r]*", request))
        self._sip.sendto(f"SIP/2.0 {code}\r\n{kept}\r\nContent-Length: 0\r\n\r\n".encode(), self._target)

    def be_offered(self) -> str:
        """Wait for a re-INVITE, agree to it, and return its direction."""
        while True:
            request = self._sip.recv(8192).decode("utf-8", "replace")
            if request.startswith("INVITE"):
                break
        offered = _direction(request)
        kept = "\r\n".join(re.findall(r"(?mi)^(?:Via|From|To|Call-ID|CSeq|Record-Route):[^\r]*", request))
        mirrored = {"sendonly": "recvonly", "recvonly": "sendonly"}.get(offered, offered)
        body = self._offer(mirrored)
        self._sip.sendto(
            f"SIP/2.0 200 OK\r\n{kept}\r\nContact: <sip:{self._user}@{self._here}>\r\nContent-Type: application/sdp"
            f"\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode(),
            self._target,
        )
        return offered

    def speak(self, payload: bytes) -> None:
        """Put this into the next packet that leaves."""
        self._next.append(payload)

    def press(self, digit: str, milliseconds: int = 160) -> None:
        """One key, as telephone-event (RFC 4733)."""
        code = "0123456789*#ABCD".index(digit)
        steps = milliseconds // 20
        for step in range(1, steps + 4):
            end, length = step > steps, min(step, steps) * 160
            self._keys.append((step == 1, bytes((code, 0x80 if end else 0, length >> 8, length & 0xFF))))

    def inform(self, digit: str, milliseconds: int = 160) -> str:
        """One key, by SIP INFO; the final answer's first line."""
        self._sequence += 1
        body = f"Signal={digit}\r\nDuration={milliseconds}\r\n"
        self._send("INFO", self._sequence, body, kind="application/dtmf-relay")
        return self._final_answer().split("\r\n", 1)[0]

    def ask(self, method: str) -> str:
        """A request of that method within the call, without a body; the final answer's first line."""
        self._sequence += 1
        self._send(method, self._sequence)
        return self._final_answer().split("\r\n", 1)[0]

    def refer(self, to: str) -> str:
        """Ask the other side to call `to`, the value of Refer-To; the final answer's first line."""
        self._sequence += 1
        self._send("REFER", self._sequence, headers=f"Refer-To: {to}\r\n")
        return self._final_answer().split("\r\n", 1)[0]

    def told(self, method: str, seconds: float = 3.0) -> str:
        """The next request of that method, which is answered with 200."""
        self._sip.settimeout(seconds)
        while True:
            request = self._sip.recv(8192).decode("utf-8", "replace")
            if request.startswith(f"{method} "):
                kept = [
                    line
                    for line in request.split("\r\n")
                    if re.match(r"(?i)(via|from|to|call-id|cseq):", line)
                ]
                answer = "\r\n".join(("SIP/2.0 200 OK", *kept, "Content-Length: 0", "", ""))
                self._sip.sendto(answer.encode(), self._target)
                return request

    def _close(self) -> None:
        self._sip.close()
        self._rtp.close()

    def _offer(self, direction: str = "", connection: str = "127.0.0.1") -> str:
        self._offers += 1
        return (
            f"v=0\r\no=- 1 {self._offers} IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 {connection}\r\nt=0 0\r\n"
            f"m=audio {self._rtp.getsockname()[1]} RTP/AVP 0{' 101' * self._events}\r\na=rtpmap:0 PCMU/8000\r\n"
            + "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n" * self._events
            + (f"a={direction}\r\n" if direction else "")
        )

    def _send(
        self,
        method: str,
        sequence: int,
        body: str = "",
        *,
        kind: str = "application/sdp",
        headers: str = "",
    ) -> None:
        uri = f"sip:handset@127.0.0.1:{self._target[1]}"
        content = headers + (f"Content-Type: {kind}\r\n" if body else "")
        if method == "INVITE":
            content += self._headers
        old = self._replaces
        if old is not None and method == "INVITE":
            content += f"Replaces: {old.dialogue()}\r\n"
        branch = f"z9hG4bK{self._call_id}{sequence}{method}"
        message = (
            f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {self._here};branch={branch}\r\n"
            f"From: <sip:{self._user}@{self._here}>;tag=raw\r\nTo: <{uri}>{self._to}\r\nCall-ID: {self._call_id}\r\n"
            f"CSeq: {sequence} {method}\r\nContact: <sip:{self._user}@{self._here}>\r\nMax-Forwards: 70\r\n"
            f"{content}Content-Length: {len(body)}\r\n\r\n{body}"
        )
        self._sip.sendto(message.encode(), self._target)

    def _final_answer(self) -> str:
        while True:
            answer = self._sip.recv(8192).decode("utf-8", "replace")
            if re.match(r"SIP/2.0 [2-6]", answer):
                return answer

    def _talk(self) -> None:
        due, sequence, key_at = time.monotonic(), 0, 0
        while not self._over.is_set():
            kind, at = b"\x80\x00", sequence * 160
            if self._keys:
                first, payload = self._keys.popleft()
                key_at = at if first else key_at
                kind, at = (b"\x80\xe5" if first else b"\x80\x65"), key_at
            else:
                payload = self._next.popleft() if self._next else SILENCE
            head = kind + sequence.to_bytes(2, "big") + at.to_bytes(4, "big") + b"rawc"
            time.sleep(max(0.0, due + self.delays(sequence) - time.monotonic()))
            if self.talking and not self.loses(sequence):
                with contextlib.suppress(OSError):
                    self._rtp.sendto(head + payload, self._media)
            self.sent.append((time.monotonic(), payload))
            sequence = (sequence + 1) % 65536
            due += _PACKET
            time.sleep(max(0.0, due - time.monotonic()))

    def _listen(self) -> None:
        self._rtp.settimeout(0.2)
        while not self._over.is_set():
            with contextlib.suppress(TimeoutError):
                packet = self._rtp.recv(2048)
                if len(packet) > 12 and packet[1] & 0x7F == 101:
                    self.keyed_in.append(packet[12:])
                if len(packet) > 12 and packet[1] & 0x7F == 0:
                    self.arrived.append((time.monotonic(), packet[12:]))


def _direction(message: str) -> str:
    found = re.search(r"(?m)^a=(sendrecv|sendonly|recvonly|inactive)", message)
    return found[1] if found else "sendrecv"
