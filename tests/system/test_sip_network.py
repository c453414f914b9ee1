"""What the network sees: IPv6, and the marks on packets."""

import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest

from appliance.interfaces import CallReport, IncomingCall, RegistrationReport
from drivers.sip_pjsua2.client import library_report
from tests.rig.sip_desk import RATE, Desk, settle
from tests.rig.sip_peers import Registrar, programs_missing
from tests.rig.tones import dominant_hertz

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(bool(programs_missing()), reason=f"not installed: {programs_missing()}"),
]


def has_ipv6() -> bool:
    """Whether this machine and its SIP library do."""
    if programs_missing() or not library_report()["ipv6"]:
        return False
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


@pytest.mark.skipif(
    not has_ipv6(), reason="no IPv6: this machine, or a SIP library that `make pjsua2` has not made"
)
@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_over_ipv6_it_registers_and_both_hear_each_other(transport):
    settings = {"bind": "::1", "transport": transport}
    async with (
        Registrar(host="::1") as registrar,
        Desk(server=registrar.server, user="handset", **settings) as desk,
        Desk(server=registrar.server, user="bob", tone=600, **settings) as bob,
    ):
        assert desk.of(RegistrationReport)[-1].addresses == ("::1",)
        call = await desk.dial("bob")
        theirs = await bob.pick_up()
        await desk.state(call, "connected")
        await settle(1.5)
        assert dominant_hertz(desk.heard(call, 1000), RATE) == pytest.approx(600, abs=5)
        assert dominant_hertz(bob.heard(theirs, 1000), RATE) == pytest.approx(1000, abs=5)
        assert bob.of(IncomingCall)[0].source == registrar.server
        bob.telephone.hang_up(theirs)
        await desk.state(call, "ended")


@pytest.mark.skipif(
    not has_ipv6(), reason="no IPv6: this machine, or a SIP library that `make pjsua2` has not made"
)
async def test_accounts_over_ipv4_and_ipv6_live_side_by_side():
    async with Registrar() as four, Registrar(host="::1") as six:
        further = {"six": {"server": six.server, "user": "handset", "password": "pw-handset"}}
        async with Desk(server=four.server, user="handset", accounts=further, bind="") as desk:
            await desk.until(RegistrationReport, account="six", state="registered")
            async with Desk(server=six.server, user="bob", bind="::1") as bob:
                bob.telephone.dial("handset")
                assert (await desk.until(IncomingCall)).account == "six"


class Tap:
    """The marks (DSCP) on the UDP packets that leave a port of this machine over loopback."""

    def __init__(self) -> None:
        self._seen: list[tuple[int, int]] = []
        self._over = threading.Event()
        self._link = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
        self._link.bind(("lo", 0x0800))
        self._link.settimeout(0.2)
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def marks(self, first: int, count: int = 1) -> set[int]:
        return {mark for port, mark in self._seen if first <= port < first + count}

    def _listen(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(TimeoutError):
                packet = self._link.recv(2048)
                head = (packet[0] & 15) * 4
                if packet[9] == socket.IPPROTO_UDP and len(packet) >= head + 8:
                    (port,) = struct.unpack_from("!H", packet, head)
                    self._seen.append((port, packet[1] >> 2))

    @contextlib.contextmanager
    def listening(self) -> Iterator["Tap"]:
        self._thread.start()
        try:
            yield self
        finally:
            self._over.set()
            self._thread.join(1.0)
            self._link.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may look at packets")
@pytest.mark.parametrize(("marks", "sip", "rtp"), [({}, 24, 46), ({"dscp_sip": 0, "dscp_rtp": 34}, 0, 34)])
async def test_packets_are_marked_as_configured(marks, sip, rtp):
    with Tap().listening() as tap:
        async with (
            Registrar() as registrar,
            Desk(server=registrar.server, user="handset", codecs=("PCMU",), **marks) as desk,
            Desk(server=registrar.server, user="bob", codecs=("PCMU",)) as bob,
        ):
            call = await desk.dial("bob")
            await bob.pick_up()
            await desk.state(call, "connected")
            await settle(1.0)
            first = int(desk.settings["rtp_ports"].partition("-")[0])
            began = time.monotonic()
            desk.telephone.hang_up(call)
            await desk.until(CallReport, call=call, state="ended")
            assert time.monotonic() - began < 5
            assert tap.marks(desk.settings["port"]) == {sip}
            assert tap.marks(first, 20) == {rtp}
