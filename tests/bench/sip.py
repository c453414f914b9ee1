"""The telephone: latency it adds, memory and CPU it takes, and what many calls do to it.

Loopback; a registrar only where its restart is measured.
The number of calls in a row is HANDSET_BENCH_CALLS (default 60; 200 for the real thing).
"""

import asyncio
import os
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import psutil

from appliance.interfaces import CallReport, IncomingCall, TelephoneReady
from drivers.sip_pjsua2.client import library_report
from tests.bench.sip_recovery import recovery
from tests.rig.raw_caller import PULSE, RawCaller
from tests.rig.sip_desk import Desk, Receptionist

LOUD = 4000
PULSES = 60
CALLS = int(os.environ.get("HANDSET_BENCH_CALLS", "60"))
Figure = dict[str, Any]


def measure() -> list[Figure]:
    """All figures; about a minute and a half."""
    return [
        *asyncio.run(_start()),
        *asyncio.run(_latency()),
        *asyncio.run(_in_a_row(CALLS)),
        *asyncio.run(_at_once(int(library_report()["max_calls"]))),
        *asyncio.run(recovery()),
    ]


def _figure(name: str, value: float, unit: str, goal: str = "") -> Figure:
    return {"name": name, "value": round(value, 2), "unit": unit, "goal": goal}


def _rss_mb(desk: Desk) -> float:
    return psutil.Process(desk.telephone.child_pid()).memory_info().rss / 1e6


def _answering(
    desk: Desk, capture: Callable[[bytes, float], None], playout: Callable[[int], bytes]
) -> Receptionist:
    """Takes every call of a desk and joins it to the given functions."""

    def take(event: IncomingCall) -> None:
        desk.telephone.attach(event.call, capture, playout)
        desk.telephone.answer(event.call)

    return Receptionist(desk, take)


async def _start() -> list[Figure]:
    seconds, idle = [], 0.0
    for _ in range(3):
        desk = Desk()
        began = time.monotonic()
        async with desk:
            seconds.append(time.monotonic() - began)
            assert desk.of(TelephoneReady)
            idle = _rss_mb(desk)
    return [
        _figure("SIP process: start to listening", statistics.median(seconds) * 1000, "ms", "<= 1000"),
        _figure("SIP process: RSS idle", idle, "MB", "<= 60"),
    ]


class _Pulses:
    """A playout source that gives a pulse when asked to, and says when it was taken."""

    def __init__(self) -> None:
        at = np.arange(320)
        self._pulse = bytes(np.where(at // 8 % 2, -30000, 30000).astype("<i2").tobytes())
        self.wanted = threading.Event()
        self.taken: list[float] = []

    def __call__(self, samples: int) -> bytes:
        if self.wanted.is_set():
            self.wanted.clear()
            self.taken.append(time.monotonic())
            return self._pulse
        return bytes(2 * samples)


async def _latency() -> list[Figure]:
    heard: list[float] = []
    pulses = _Pulses()
    last = 0.0

    def capture(pcm: bytes, at: float) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > 0.1 and int(np.abs(np.frombuffer(pcm, dtype="<i2").astype(np.int32)).max()) > LOUD:
            last = now
            heard.append(now)

    async with Desk(codecs=("PCMU",), max_calls=1) as desk:
        answering = _answering(desk, capture, pulses)
        inwards, outwards, setups, in_call = [], [], [], 0.0
        process = psutil.Process(desk.telephone.child_pid())
        # The packets' phase against the media clock is chance, and stays for a call: several calls.
        began_cpu, began = sum(process.cpu_times()[:2]), time.monotonic()
        for _ in range(6):
            heard.clear()
            pulses.taken.clear()
            caller = RawCaller(desk.settings["port"])
            await asyncio.to_thread(caller.__enter__)
            setups.append(caller.setup_seconds)
            await asyncio.sleep(1.0)
            for _ in range(PULSES // 6):
                caller.speak(PULSE)
                pulses.wanted.set()
                await asyncio.sleep(0.25)
            in_call = _rss_mb(desk)
            await asyncio.to_thread(caller.__exit__, None, None, None)
            inwards += _paired([at for at, payload in caller.sent if payload == PULSE], heard)
            outwards += _paired(pulses.taken, _onsets(caller.arrived))
        cpu = (sum(process.cpu_times()[:2]) - began_cpu) / (time.monotonic() - began) * 60
        await answering.stop()
    return [
        _figure("SIP: INVITE to 200", statistics.median(setups) * 1000, "ms"),
        _figure("SIP: RTP in to capture sink, p50", float(np.percentile(inwards, 50)) * 1000, "ms", "<= 45"),
        _figure("SIP: RTP in to capture sink, p95", float(np.percentile(inwards, 95)) * 1000, "ms", "<= 60"),
        _figure(
            "SIP: playout source to RTP out, p50", float(np.percentile(outwards, 50)) * 1000, "ms", "<= 45"
        ),
        _figure(
            "SIP: playout source to RTP out, p95", float(np.percentile(outwards, 95)) * 1000, "ms", "<= 60"
        ),
        _figure("SIP process: RSS in a call", in_call, "MB", "<= 60"),
        _figure("SIP process: CPU seconds per minute of call", cpu, "s", "<= 3"),
    ]


def _onsets(arrived: list[tuple[float, bytes]]) -> list[float]:
    """When the packets came in which a pulse begins. In mu-law, loud is near 0x00 and 0x80."""
    times: list[float] = []
    for at, payload in arrived:
        loud = any(value & 0x7F < 0x30 for value in payload)
        if loud and (not times or at - times[-1] > 0.1):
            times.append(at)
    return times


def _paired(causes: list[float], effects: list[float]) -> list[float]:
    """For each cause the time to its effect, which comes within 0.2 s."""
    delays = ([effect - cause for effect in effects if 0 < effect - cause < 0.2] for cause in causes)
    return [min(after) for after in delays if after]


async def _in_a_row(count: int) -> list[Figure]:
    def talk(port: int) -> None:
        with RawCaller(port):
            time.sleep(0.1)

    async with Desk(codecs=("PCMU",)) as desk:
        answering = _answering(desk, lambda pcm, at: None, lambda samples: bytes(2 * samples))
        ours, marks = psutil.Process(), []
        for number in range(count):
            await asyncio.to_thread(talk, desk.settings["port"])
            if number in (count // 2, count - 1):
                await asyncio.sleep(0.5)
                marks.append((_rss_mb(desk), ours.memory_info().rss / 1e6, ours.num_fds()))
        ended = len(desk.of(CallReport, state="ended"))
        counters = desk.telephone.counters()
        await answering.stop()
    (child_first, ours_first, fds_first), (child_last, ours_last, fds_last) = marks
    return [
        _figure("SIP: calls in a row that ended well", ended, "calls", f">= {count}"),
        _figure("SIP: restarts meanwhile", counters["restarts"], "", "<= 0"),
        _figure(
            "SIP process: RSS growth over the second half of them",
            child_last - child_first,
            "MB",
            "<= 3",
        ),
        _figure("client: RSS growth meanwhile", ours_last - ours_first, "MB", "<= 3"),
        _figure("client: descriptors more", fds_last - fds_first, "", "<= 0"),
    ]


async def _at_once(limit: int) -> list[Figure]:
    """Calls are added until frames go missing."""
    async with Desk(codecs=("PCMU",), max_calls=limit, rtp_ports="46000-46200") as desk:
        answering = _answering(desk, lambda pcm, at: None, lambda samples: bytes(2 * samples))
        callers: list[RawCaller] = []
        good = 0
        try:
            while len(callers) < limit:
                caller = RawCaller(desk.settings["port"])
                await asyncio.to_thread(caller.__enter__)
                callers.append(caller)
                await asyncio.sleep(0.5)
                before = desk.telephone.counters()["underruns"]
                await asyncio.sleep(2.0)
                if desk.telephone.counters()["underruns"] > before:
                    break
                good = len(callers)
        finally:
            for caller in callers:
                await asyncio.to_thread(caller.__exit__, None, None, None)
        await answering.stop()
    return [_figure(f"SIP: calls at once without an underrun (the library takes {limit})", good, "calls")]
