"""A caller on the loop, whom anything may be done to: it agrees to every re-INVITE, lets itself be transferred to
nowhere, and takes a BYE.

    async with SoftCaller(port, user="ann") as caller:
        await caller.call()              # the final answer's code; 487 where it gave up
        caller.hang_up()
        await caller.over()

It sends RTP of silence while a call is up. UDP on loopback: nothing is sent twice.
"""

import asyncio
import contextlib
import re
import secrets
from types import TracebackType
from typing import Any, Self

from tests.rig.raw_caller import SILENCE

_PACKET = 0.02
_NOWHERE = "SIP/2.0 503 Service Unavailable\r\n"


class _Socket(asyncio.DatagramProtocol):
    def __init__(self, take: Any) -> None:
        self._take = take

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._take(data.decode("utf-8", "replace"))


class Nobody:
    """Where a call is answered with 404 at once: `uri`."""

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._link, _ = await loop.create_datagram_endpoint(
            lambda: _Socket(self._take), local_addr=("127.0.0.1", 0)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._link.close()

    @property
    def uri(self) -> str:
        return f"sip:nobody@127.0.0.1:{self._link.get_extra_info('sockname')[1]}"

    def _take(self, message: str) -> None:
        method, via = message.split(" ", 1)[0], re.search(r"(?mi)^Via:\s*\S+\s+127\.0\.0\.1:(\d+)", message)
        if method in ("INVITE", "CANCEL") and via is not None:
            status = "404 Not Found" if method == "INVITE" else "200 OK"
            answer = f"SIP/2.0 {status}\r\n{_kept(message)}\r\nContent-Length: 0\r\n\r\n"
            self._link.sendto(answer.encode(), ("127.0.0.1", int(via[1])))


class SoftCaller:
    """`answers` are the codes of all final answers, in order; `asked` the requests that came."""

    def __init__(self, port: int, *, user: str) -> None:
        self._target = ("127.0.0.1", port)
        self._user = user
        self._call_id = secrets.token_hex(8)
        self._to = ""
        self._sequence = 1
        self._offers = 0
        self._answered = asyncio.Event()
        self._ended = asyncio.Event()
        self._sip: Any = None
        self._rtp: Any = None
        self._talking: asyncio.Task[None] | None = None
        self.code = 0
        self.answers: list[int] = []
        self.asked: list[str] = []

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        here = ("127.0.0.1", 0)
        self._sip, _ = await loop.create_datagram_endpoint(lambda: _Socket(self._take), local_addr=here)
        self._rtp, _ = await loop.create_datagram_endpoint(lambda: _Socket(lambda _: None), local_addr=here)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._talking is not None:
            self._talking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._talking
        for link in (self._sip, self._rtp):
            link.close()

    async def call(self, *, give_up_after: float | None = None) -> int:
        """INVITE; the final answer's code. With `give_up_after`, CANCEL where none has come by then."""
        self._request("INVITE", 1, self._offer("sendrecv"))
        if give_up_after is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(give_up_after):
                    await self._answered.wait()
            if not self._answered.is_set():
                self._request("CANCEL", 1)
        async with asyncio.timeout(10):
            await self._answered.wait()
        return self.code

    def hang_up(self) -> None:
        """BYE; it is over once that is answered, or crossed by the other's."""
        self._sequence += 1
        self._request("BYE", self._sequence)

    def hold(self, on: bool) -> None:
        """re-INVITE."""
        self._sequence += 1
        self._request("INVITE", self._sequence, self._offer("sendonly" if on else "sendrecv"))

    def inform(self, digit: str) -> None:
        self._sequence += 1
        self._request("INFO", self._sequence, f"Signal={digit}\r\nDuration=100\r\n", "application/dtmf-relay")

    async def over(self, seconds: float = 10.0) -> None:
        async with asyncio.timeout(seconds):
            await self._ended.wait()

    def _take(self, message: str) -> None:
        method = message.split(" ", 1)[0]
        if method == "SIP/2.0":
            self._take_answer(message)
            return
        self.asked.append(method)
        if method == "INVITE":
            self._reply(message, "200 OK", self._offer(_mirrored(message)))
        elif method == "REFER":
            self._reply(message, "202 Accepted")
            self._sequence += 1
            self._request("NOTIFY", self._sequence, _NOWHERE, "message/sipfrag;version=2.0")
        elif method != "ACK":
            self._reply(message, "200 OK")
        if method == "BYE":
            self._end()

    def _take_answer(self, message: str) -> None:
        code, method = int(message[8:11]), re.search(r"(?mi)^CSeq:\s*(\d+)\s+(\w+)", message)
        if code < 200 or method is None:
            return
        self.answers.append(code)
        number, name = int(method[1]), method[2]
        if name == "INVITE":
            if number == 1:
                self._take_first(message, code)
            self._request("ACK", number)
        elif name == "BYE":
            self._end()

    def _take_first(self, message: str, code: int) -> None:
        self.code = code
        self._to = (re.search(r"(?mi)^To:.*?(;tag=[^\s;]+)", message) or [""] * 2)[1]
        if code == 200:
            port = re.search(r"(?m)^m=audio (\d+)", message)
            assert port is not None
            self._talking = asyncio.get_running_loop().create_task(self._talk(int(port[1])))
        else:
            self._end()
        self._answered.set()

    def _end(self) -> None:
        if self._talking is not None:
            self._talking.cancel()
        self._ended.set()

    async def _talk(self, port: int) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        for sequence in range(65_536):
            head = b"\x80\x00" + sequence.to_bytes(2, "big") + (sequence * 160).to_bytes(4, "big") + b"soft"
            self._rtp.sendto(head + SILENCE, ("127.0.0.1", port))
            due += _PACKET
            await asyncio.sleep(max(0.0, due - loop.time()))

    def _offer(self, direction: str) -> str:
        self._offers += 1
        port = self._rtp.get_extra_info("sockname")[1]
        return (
            f"v=0\r\no=- 1 {self._offers} IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
            f"m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na={direction}\r\n"
        )

    def _request(self, method: str, sequence: int, body: str = "", kind: str = "application/sdp") -> None:
        uri, here = f"sip:handset@127.0.0.1:{self._target[1]}", self.here
        content = f"Content-Type: {kind}\r\n" if body else ""
        if method == "NOTIFY":
            content += "Event: refer\r\nSubscription-State: terminated;reason=noresource\r\n"
        branch = f"z9hG4bK{self._call_id}{sequence}{'INVITE' if method == 'CANCEL' else method}"
        to = "" if method == "CANCEL" else self._to
        message = (
            f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch={branch}\r\nMax-Forwards: 70\r\n"
            f"From: <sip:{self._user}@{here}>;tag=soft\r\nTo: <{uri}>{to}\r\nCall-ID: {self._call_id}\r\n"
            f"CSeq: {sequence} {method}\r\nContact: <sip:{self._user}@{here}>\r\nSupported: replaces\r\n"
            f"Allow: INVITE, ACK, BYE, CANCEL, INFO, REFER, NOTIFY\r\n{content}"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        )
        self._sip.sendto(message.encode(), self._target)

    def _reply(self, request: str, status: str, body: str = "") -> None:
        content = "Content-Type: application/sdp\r\n" if body else ""
        message = (
            f"SIP/2.0 {status}\r\n{_kept(request)}\r\nContact: <sip:{self._user}@{self.here}>\r\n"
            f"{content}Content-Length: {len(body)}\r\n\r\n{body}"
        )
        self._sip.sendto(message.encode(), self._target)

    @property
    def here(self) -> str:
        return f"127.0.0.1:{self._sip.get_extra_info('sockname')[1]}"


def _kept(request: str) -> str:
    """The lines of a request that its answer repeats."""
    return "\r\n".join(re.findall(r"(?mi)^(?:Via|From|To|Call-ID|CSeq):[^\r]*", request))


def _mirrored(offer: str) -> str:
    found = re.search(r"(?m)^a=(sendrecv|sendonly|recvonly|inactive)", offer)
    direction = found[1] if found else "sendrecv"
    return {"sendonly": "recvonly", "recvonly": "sendonly"}.get(direction, direction)
