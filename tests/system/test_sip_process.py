"""The SIP process may die, hang, or be sent nonsense: Handset goes on."""

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from appliance.errors import TelephoneUnavailable, UnknownName
from appliance.interfaces import CallReport, TelephoneLost, TelephoneReady
from drivers.sip_pjsua2.client import library_report
from drivers.sip_pjsua2.supervisor import Timing
from tests.rig import sip_garbage
from tests.rig.peer import until
from tests.rig.sip_desk import RATE, Desk, settle
from tests.rig.sip_peers import Phone, Registrar, programs_missing
from tests.rig.tones import dominant_hertz

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(bool(programs_missing()), reason=f"not installed: {programs_missing()}"),
]


@pytest.fixture
async def registrar() -> AsyncIterator[Registrar]:
    async with Registrar() as registrar:
        yield registrar


@pytest.mark.parametrize(
    "sign", [signal.SIGKILL, signal.SIGSEGV, signal.SIGSTOP], ids=["killed", "crashed", "hung"]
)
async def test_a_lost_process_costs_the_call_and_is_back_and_registered_within_3_s(registrar, sign):
    async with Desk(server=registrar.server, user="handset") as desk, Phone("alice", registrar) as alice:
        await alice.dial(f"sip:handset@{registrar.server}")
        call = await desk.pick_up()
        await settle(0.5)
        since = len(desk.events)
        began = time.monotonic()
        os.kill(desk.telephone.child_pid(), sign)

        lost = await desk.until(TelephoneLost, since=since, seconds=3)
        assert tuple(lost.calls) == (call,)
        await desk.until(TelephoneReady, since=since, seconds=3)
        await desk.registered(since=since, seconds=3)
        assert time.monotonic() - began < 3.0
        with pytest.raises(UnknownName):
            desk.telephone.hang_up(call)

        await alice.hang_up()
        since = len(desk.events)
        async with Phone("bob", registrar, tone=600) as bob:
            await bob.dial(f"sip:handset@{registrar.server}")
            again = await desk.pick_up(since=since)
            await settle(1.5)
            assert dominant_hertz(desk.heard(again, 1000), RATE) == pytest.approx(600, abs=5)


async def test_while_the_process_is_down_commands_say_so(registrar):
    async with Desk(server=registrar.server, user="handset") as desk:
        since = len(desk.events)
        os.kill(desk.telephone.child_pid(), signal.SIGKILL)
        await desk.until(TelephoneLost, since=since)
        with pytest.raises(TelephoneUnavailable):
            desk.telephone.dial("100")
        await desk.registered(since=since)
        assert desk.telephone.counters()["restarts"] == 1


async def test_a_process_that_hangs_never_makes_handset_wait(registrar):
    async with Desk(server=registrar.server, user="handset") as desk, Phone("alice", registrar) as alice:
        await alice.dial(f"sip:handset@{registrar.server}")
        call = await desk.pick_up()
        await settle(0.3)
        os.kill(desk.telephone.child_pid(), signal.SIGSTOP)
        slowest = 0.0
        for _ in range(400):
            began = time.monotonic()
            desk.telephone.send_dtmf(call, "1")
            slowest = max(slowest, time.monotonic() - began)
        assert slowest < 0.05
        since = len(desk.events)
        await desk.until(TelephoneLost, seconds=3)
        await desk.registered(since=since)


async def test_a_process_that_stood_still_with_the_machine_goes_on_and_one_that_nobody_speaks_to_leaves():
    timing = Timing(parent_timeout=1.0, hang=20.0)
    async with Desk(timing=timing) as desk:
        since, pid = len(desk.events), desk.telephone.child_pid()
        os.kill(pid, signal.SIGSTOP)
        await settle(1.5)
        os.kill(pid, signal.SIGCONT)
        await settle(2.0)
        assert (desk.telephone.child_pid(), desk.of(TelephoneLost, since)) == (pid, [])
    async with Desk(timing=Timing(parent_timeout=1.0, beat=60.0, hang=20.0)) as desk:
        lost = await desk.until(TelephoneLost, seconds=10)
        assert "gave Handset up" in lost.reason


async def test_hundreds_of_malformed_messages_leave_the_daemon_and_its_calls_going():
    chance = random.Random(20261121)
    async with Desk() as desk, Phone("alice", tone=440) as alice:
        await alice.dial(desk.uri)
        call = await desk.pick_up()
        with socket.socket(type=socket.SOCK_DGRAM) as enemy:
            enemy.bind(("127.0.0.1", 0))
            for number, datagram in enumerate(sip_garbage.datagrams(chance, 600)):
                enemy.sendto(datagram, ("127.0.0.1", desk.settings["port"]))
                if number % 20 == 0:
                    await asyncio.sleep(0.02)
        await settle(2.0)
        if desk.of(TelephoneLost):  # the wheel's library may abort: then it must be back
            await until(lambda: len(desk.of(TelephoneReady)) > len(desk.of(TelephoneLost)), 5)
            since = len(desk.events)
            await alice.hang_up()
            await alice.dial(desk.uri)
            call = await desk.pick_up(since=since)
        for ghost in {event.call for event in desk.of(CallReport) if event.call != call}:
            assert desk.of(CallReport, call=ghost, state="connected") == []
        await settle(1.5)
        assert dominant_hertz(desk.heard(call, 1000), RATE) == pytest.approx(440, abs=5)


async def test_stop_in_a_call_hangs_up_and_leaves_no_thread_file_or_process(registrar):
    async with Desk(server=registrar.server, user="warm-up"):
        pass
    me = psutil.Process()
    async with Phone("alice", registrar) as alice:
        before = (
            sorted(thread.name for thread in threading.enumerate()),
            me.num_fds(),
            len(me.children(recursive=True)),
        )
        async with Desk(server=registrar.server, user="handset") as desk:
            await alice.dial(f"sip:handset@{registrar.server}")
            call = await desk.pick_up()
            await settle(0.5)
            began = time.monotonic()
            await desk.telephone.stop()
            assert time.monotonic() - began < 4.0
            await desk.state(call, "ended")
        await alice.event("CALL_CLOSED")
        after = (
            sorted(thread.name for thread in threading.enumerate()),
            me.num_fds(),
            len(me.children(recursive=True)),
        )
        assert after == before


_HANDSET = """
import asyncio
from drivers.sip_pjsua2.client import Pjsua2Telephone

async def main():
    telephone = Pjsua2Telephone({"port": 0, "codecs": ("PCMU",)})
    ready = asyncio.Event()
    await telephone.start(lambda event: ready.set() if type(event).__name__ == "TelephoneReady" else None)
    await ready.wait()
    print(telephone.child_pid(), flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def test_the_sip_process_ends_when_handset_is_killed():
    handset = subprocess.Popen(
        [sys.executable, "-c", _HANDSET], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    with handset:
        assert handset.stdout is not None
        child = psutil.Process(int(handset.stdout.readline()))
        handset.kill()
    child.wait(6)


def test_the_library_tells_what_it_can_do():
    report = library_report()
    assert report["max_calls"] >= 4
    assert report["version"].startswith("2.")
    assert {"old_openssl", "openssl", "opus", "codecs"} <= set(report)


async def test_tls_with_an_openssl_out_of_support_is_refused_unless_forced():
    if not library_report()["old_openssl"]:
        pytest.skip("this library's OpenSSL is sound")
    desk = Desk(transport="tls")
    await desk.telephone.start(desk.post)  # it must not become ready
    try:
        lost = await desk.until(TelephoneLost)
        assert "old_tls" in lost.reason
        assert "make pjsua2" in lost.reason
        await settle(1.5)
        assert len(desk.of(TelephoneLost)) == 1
        assert not desk.of(TelephoneReady)
    finally:
        await desk.telephone.stop()


async def test_hosts_that_never_answer_hold_no_place_for_long_after_all_have_given_up() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        nobody = f"sip:nobody@127.0.0.1:{silent.getsockname()[1]}"
        async with Desk(max_calls=1, timing=Timing(answer_wait=2.0)) as desk:
            for _ in range(3):  # all the places that the library has then
                desk.telephone.hang_up(await desk.dial(nobody))
            full = await desk.state(await desk.dial(nobody), "ended")
            assert full.code == 0
            await settle(2.5)
            call = await desk.dial(nobody)
            assert (await desk.state(call, "ended")).code == 408
