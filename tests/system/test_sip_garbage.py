"""Messages that no telephone should send: it lives, answers as the rules say, and the next call is a call like any."""

import asyncio
import contextlib
import random
import re
import socket
import time
from collections.abc import AsyncIterator

import psutil
import pytest

from appliance.errors import ApplianceError
from appliance.interfaces import CallReport, IncomingCall, MediaReport, NoticeReport, TelephoneLost
from drivers.sip_pjsua2.client import library_report
from tests.rig import sip_garbage, sip_torture
from tests.rig.raw_caller import RawCaller
from tests.rig.sip_desk import RATE, Desk, Receptionist, settle
from tests.rig.sip_peers import Phone, programs_missing
from tests.rig.tones import dominant_hertz

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(bool(programs_missing()), reason=f"not installed: {programs_missing()}"),
]
MUTATIONS = 1500


class Sender:
    """Sends datagrams from one port, and reads what comes back."""

    def __init__(self, port: int) -> None:
        self._link = socket.socket(type=socket.SOCK_DGRAM)
        self._link.bind(("127.0.0.1", 0))
        self._link.connect(("127.0.0.1", port))
        self._link.setblocking(False)
        self.here = f"127.0.0.1:{self._link.getsockname()[1]}"

    async def final(self, message: bytes, seconds: float) -> int:
        """The first final answer's code; 0 for silence."""
        while True:  # what is late from the last one
            try:
                self._link.recv(65_536)
            except OSError:
                break
        self._link.send(message)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            await asyncio.sleep(0.01)
            try:
                answer = self._link.recv(65_536).decode("utf-8", "replace")
            except OSError:
                continue
            match = re.match(r"SIP/2\.0 ([2-6]\d\d) ", answer)
            if match:
                self._acknowledge(answer)
                return int(match[1])
        return 0

    def send(self, message: bytes) -> None:
        self._link.send(message)

    def _acknowledge(self, answer: str) -> None:
        """Or it would be repeated."""
        if re.search(r"(?im)^CSeq:.*INVITE", answer):
            kept = [
                line
                for line in answer.split("\r\n")
                if re.match(r"(?i)(via|from|to|call-id|v|f|t|i)\s*:", line)
            ]
            number = (re.search(r"(?im)^CSeq:\s*(\d+)", answer) or ["", "1"])[1]
            head = [
                "ACK sip:handset@127.0.0.1 SIP/2.0",
                *kept,
                f"CSeq: {number} ACK",
                "Content-Length: 0",
                "",
                "",
            ]
            self._link.send("\r\n".join(head).encode())

    def close(self) -> None:
        self._link.close()


def busy_at(desk: Desk) -> Receptionist:
    """Refuses every call with 486."""

    def refuse(event: IncomingCall) -> None:
        with contextlib.suppress(ApplianceError):  # it has gone
            desk.telephone.reject(event.call, 486, "Busy Here")

    return Receptionist(desk, refuse)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with Desk(codecs=("PCMU", "G722"), max_calls=2) as desk:
        yield desk


async def next_call_works(desk: Desk) -> None:
    async with Phone("alice", tone=440) as alice:
        since = len(desk.events)
        await alice.dial(desk.uri)
        call = await desk.pick_up(since=since)
        await settle(1.5)
        assert dominant_hertz(desk.heard(call, 1000), RATE) == pytest.approx(440, abs=5)
        await alice.hang_up()
        await desk.state(call, "ended")


async def test_the_torture_messages_of_rfc_4475_are_answered_as_they_may_be(desk):
    sender, busy = Sender(desk.settings["port"]), busy_at(desk)
    wrong = []
    for name, case in sip_torture.messages(sender.here).items():
        code = await sender.final(case.message, 0.2 if case.answers == {0} else 0.8)
        taken = 200 if code == 486 else code  # the call was taken in, and we are busy
        if case.answers and taken not in case.answers:
            wrong.append((name, code, sorted(case.answers)))
    await busy.stop()
    sender.close()
    assert wrong == []
    assert desk.of(TelephoneLost) == []
    assert desk.of(CallReport, state="connected") == []
    await next_call_works(desk)


async def test_what_no_call_has_asked_for_is_answered_all_the_same(desk):
    sender = Sender(desk.settings["port"])
    methods = {"BREW": 501, "RE%47IST%45R": 501, "REGISTER": 501, "BYE": 481, "CANCEL": 481}
    assert {
        method: await sender.final(sip_torture.request(method, sender.here), 2.0) for method in methods
    } == methods
    assert await sender.final(sip_torture.request("ACK", sender.here), 0.3) == 0
    sender.close()
    assert desk.of(TelephoneLost) == []


async def test_mutations_of_good_and_bad_messages_leave_it_alive_and_its_memory_flat(desk):
    """The wheel's library may abort under a fuzzer, and is started again; our own must not."""
    chance = random.Random(4475)
    sender, busy = Sender(desk.settings["port"]), busy_at(desk)
    cases = [case.message for case in sip_torture.messages(sender.here).values()]
    memory = []
    for half in range(2):
        for number in range(MUTATIONS // 2):
            sender.send(sip_garbage.mutated(chance, chance.choice(cases)))
            if number % 25 == 0:
                await asyncio.sleep(0.02)
        await settle(2.0)
        if half == 0 or not desk.of(TelephoneLost):
            memory.append(psutil.Process(desk.telephone.child_pid()).memory_info().rss / 1e6)
    await busy.stop()
    sender.close()
    if not library_report()["old_openssl"]:
        assert desk.of(TelephoneLost) == []
        assert memory[1] - memory[0] < 4
    await settle(1.0)
    await next_call_works(desk)


_HEAD = b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
BAD_DESCRIPTIONS = {
    "nothing that we speak": _HEAD + b"m=audio 9000 RTP/AVP 18\r\na=rtpmap:18 G729/8000\r\n",
    "only video": _HEAD + b"m=video 9000 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n",
    "no media": _HEAD,
    "no address": _HEAD.replace(b"c=IN IP4 127.0.0.1\r\n", b"") + b"m=audio 9000 RTP/AVP 0\r\n",
    "letters for a port": _HEAD + b"m=audio port RTP/AVP 0\r\n",
    "cut off": _HEAD[:25],
    "bytes": bytes(range(256)),
}


@pytest.mark.parametrize("name", BAD_DESCRIPTIONS)
async def test_an_offer_that_cannot_be_met_is_refused_and_told_by_no_ringing(desk, name):
    sender, busy = Sender(desk.settings["port"]), busy_at(desk)
    code = await sender.final(
        sip_torture.invite(name.replace(" ", ""), BAD_DESCRIPTIONS[name], sender.here), 2.0
    )
    await busy.stop()
    sender.close()
    assert code in ((488,) if name.startswith(("nothing", "only")) else (400, 415, 488, 606))
    assert desk.of(CallReport, state="connected") == []


async def test_offers_within_a_call_change_its_codec_and_a_storm_of_them_leaves_it_going(desk):
    answering = asyncio.create_task(desk.pick_up())
    caller = RawCaller(desk.settings["port"])
    await asyncio.to_thread(caller.__enter__)
    call = await answering
    since = len(desk.events)
    assert "200" in await asyncio.to_thread(caller.offer_only, 9, "sendonly"), "a hold that asks for G.722"
    await desk.until(CallReport, call=call, state="held", since=since)
    assert "200" in await asyncio.to_thread(caller.offer_only, 9)
    await desk.until(CallReport, call=call, state="connected", since=since)
    assert (await desk.until(MediaReport, call=call, active=True, since=since)).codec.startswith("G722")
    since = len(desk.events)
    assert "200" in await asyncio.to_thread(caller.offer_only, 0)
    assert (await desk.until(MediaReport, call=call, active=True, since=since)).codec.startswith("PCMU")
    assert "488" in await asyncio.to_thread(caller.offer_only, 18), "G.729 alone"
    assert (await desk.until(NoticeReport, call=call)).code == "offer_refused"
    codes = await asyncio.to_thread(caller.storm, 20)
    # Those that come while another is under way: RFC 3261, 14.2.
    assert set(codes) <= {200, 491, 500}
    assert 200 in codes
    await settle(1.0)
    frames = len(desk.ears[call].frames)
    await settle(1.0)
    assert len(desk.ears[call].frames) - frames >= 45
    assert desk.of(CallReport, call=call, state="ended") == []
    assert desk.of(TelephoneLost) == []
    await asyncio.to_thread(caller.__exit__, None, None, None)
    await desk.state(call, "ended", seconds=15)
    await next_call_works(desk)
