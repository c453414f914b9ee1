"""A bad network between a telephone and an appliance, both on 127.0.0.1: packets are lost, late, overtaken, doubled.

    async with BadNetwork(appliance_port, phone_port, sip=Conditions(loss=0.05)) as network:
        await phone.dial(network.appliance)     # SIP over UDP, RTP and RTCP of the call all go through it

It stands where a router with address translation would: each side sees the other at ports of the network's own. What
happens to which packet is decided by `seed`: the fifth RTP packet to the phone has the same fate in each run.
"""

import asyncio
import random
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

HELD_BACK_SECONDS = 0.05
HOST = "127.0.0.1"
_MEDIA = re.compile(r"(?m)^(m=audio )(\d+)")
_REPORTS = re.compile(r"(?m)^(a=rtcp:)(\d+)")
_CALL = re.compile(r"(?mi)^(?:Call-ID|i)\s*:\s*(\S+)")
_LENGTH = re.compile(r"(?mi)^(Content-Length|l)\s*:\s*\d+")


@dataclass(frozen=True, slots=True)
class Conditions:
    """Shares from 0 to 1; each packet takes `delay_ms` and up to `jitter_ms` more, and none overtakes another."""

    loss: float = 0.0
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    held_back: float = 0.0
    """But for so many that come HELD_BACK_SECONDS later, behind those that left after them."""
    doubled: float = 0.0


def fate(conditions: Conditions, chance: random.Random, before: float = 0.0) -> tuple[float, ...]:
    """After how many seconds a packet arrives: never, once, or twice; `before` is when the one before it does.

    Takes the same draws whatever the conditions.
    """
    lost, late, back, twice, again = (chance.random() for _ in range(5))
    if lost < conditions.loss:
        return ()
    first = max(before, (conditions.delay_ms + late * conditions.jitter_ms) / 1000)
    first += HELD_BACK_SECONDS * (back < conditions.held_back)
    return (first, first + again * 0.03) if twice < conditions.doubled else (first,)


class _Way:
    """One kind of packet in one direction."""

    def __init__(self, conditions: Conditions, seed: str) -> None:
        self.conditions = conditions
        self.carried = self.lost = 0
        self._last = 0.0
        """When the last one arrives that was not held back."""
        self._chance = random.Random(seed)

    def carry(self, send: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        after = fate(self.conditions, self._chance, max(0.0, self._last - loop.time()))
        self.carried += 1
        self.lost += not after
        if after and after[0] * 1000 <= self.conditions.delay_ms + self.conditions.jitter_ms:
            self._last = loop.time() + after[0]
        for seconds in after:
            loop.call_later(seconds, send)


class _Link:
    """A socket of the network; `take` gets what comes."""

    def __init__(self, take: Callable[[bytes], None], port: int = 0) -> None:
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind((HOST, port))
        self.port: int = self._socket.getsockname()[1]
        self._take = take
        asyncio.get_running_loop().add_reader(self._socket, self._read)

    def send(self, data: bytes, port: int) -> None:
        if self._socket.fileno() >= 0:
            try:
                self._socket.sendto(data, (HOST, port))
            except OSError:
                return  # nobody is there (any more): as on a network

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def _read(self) -> None:
        try:
            self._take(self._socket.recv(65_536))
        except OSError:
            return


class _Media:
    """RTP (0) and RTCP (1) of one call. `ports` are the appliance's and the phone's own, as far as they are known."""

    def __init__(self, ways: tuple[_Way, _Way]) -> None:
        self._ways = ways
        self.ports: list[int] = [0, 0]
        self.reports: list[int] = [0, 0]
        self.faces = [self._pair(0), self._pair(1)]
        """What stands for the appliance, and what for the phone: links for RTP and RTCP."""

    def close(self) -> None:
        for link in (*self.faces[0], *self.faces[1]):
            link.close()

    def _pair(self, side: int) -> tuple[_Link, _Link]:
        while True:
            first = _Link(lambda data: self._take(side, 0, data))
            try:
                if first.port % 2 == 0:
                    return first, _Link(lambda data: self._take(side, 1, data), first.port + 1)
            except OSError:
                pass
            first.close()

    def _take(self, side: int, kind: int, data: bytes) -> None:
        """Sent to what stands for `side`: it leaves from what stands for the other."""
        ports = self.reports if kind else self.ports
        if ports[side]:
            self._ways[side].carry(lambda: self.faces[1 - side][kind].send(data, ports[side]))


class BadNetwork:
    """`sip` and `rtp` (RTCP as well) may be other conditions at any time."""

    def __init__(
        self,
        appliance_port: int,
        phone_port: int,
        *,
        sip: Conditions = Conditions(),
        rtp: Conditions = Conditions(),
        seed: int = 0,
    ) -> None:
        self._ports = (appliance_port, phone_port)
        self._sip = tuple(_Way(sip, f"{seed} sip {side}") for side in range(2))
        self._rtp = (_Way(rtp, f"{seed} rtp 0"), _Way(rtp, f"{seed} rtp 1"))
        self._faces: tuple[_Link, ...] = ()
        self._calls: dict[str, _Media] = {}

    async def __aenter__(self) -> Self:
        self._faces = (_Link(lambda data: self._take(0, data)), _Link(lambda data: self._take(1, data)))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for link in self._faces:
            link.close()
        for media in self._calls.values():
            media.close()

    @property
    def appliance(self) -> str:
        """The appliance's address for the phone."""
        return f"sip:handset@{HOST}:{self._faces[0].port}"

    @property
    def phone(self) -> str:
        """The phone's address for the appliance."""
        return f"sip:phone@{HOST}:{self._faces[1].port}"

    @property
    def carried(self) -> dict[str, tuple[int, int]]:
        """Packets that were sent, and lost, by way."""
        ways = {"sip": self._sip, "rtp": self._rtp}
        return {
            f"{name} to {whom}": (way.carried, way.lost)
            for name, both in ways.items()
            for whom, way in zip(("appliance", "phone"), both, strict=True)
        }

    def change(self, *, sip: Conditions | None = None, rtp: Conditions | None = None) -> None:
        """Other conditions from now on."""
        for ways, conditions in ((self._sip, sip), (self._rtp, rtp)):
            for way in ways:
                way.conditions = conditions or way.conditions

    def _take(self, side: int, data: bytes) -> None:
        """Sent to what stands for `side`."""
        message = self._translated(data.decode("utf-8", "surrogateescape"), side)
        encoded = message.encode("utf-8", "surrogateescape")
        self._sip[side].carry(lambda: self._faces[1 - side].send(encoded, self._ports[side]))

    def _translated(self, message: str, to: int) -> str:
        head, blank, body = message.partition("\r\n\r\n")
        call = _CALL.search(head)
        if call is not None and "m=audio" in body:
            media = self._calls.get(call[1]) or self._calls.setdefault(call[1], _Media(self._rtp))
            body = _described(body, media, 1 - to)
            head = _LENGTH.sub(rf"\1: {len(body.encode('utf-8', 'surrogateescape'))}", head)
        return self._addressed(head, to) + blank + body

    def _addressed(self, head: str, to: int) -> str:
        """Who receives it sees the other as the network, and itself by its own port."""
        seen = {self._faces[to].port: self._ports[to], self._ports[1 - to]: self._faces[1 - to].port}

        def other(match: re.Match[str]) -> str:
            return match[1] + str(seen.get(int(match[2]), int(match[2])))

        return re.sub(rf"({re.escape(HOST)}:|rport=)(\d+)", other, head)


def _described(body: str, media: _Media, side: int) -> str:
    """The description that `side` sends of its audio, led through the network."""
    found = _MEDIA.search(body)
    assert found is not None
    media.ports[side] = int(found[2])
    reports = _REPORTS.search(body)
    media.reports[side] = int(reports[2]) if reports is not None else media.ports[side] + 1
    rtp, rtcp = media.faces[side]
    return _REPORTS.sub(rf"\g<1>{rtcp.port}", _MEDIA.sub(rf"\g<1>{rtp.port}", body, count=1))
