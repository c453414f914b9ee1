"""Many calls: how many at once on one core before the first gap, and whether two hundred in a row leave memory flat.

HANDSET_BENCH_CALLS sets how many in a row (default 200). Calls in every order and state are a test:
tests/system/test_phone_interleavings.py.
"""

import asyncio
import contextlib
import os
import time
from typing import Any

import numpy as np

from drivers.sip_pjsua2.client import library_report
from tests.rig.appliance import Handset
from tests.rig.raw_caller import RawCaller
from tests.rig.telephone_sound import Talker, calling

Figure = dict[str, Any]
IN_A_ROW = int(os.environ.get("HANDSET_BENCH_CALLS", "200"))
WARM = 20
TALK_SECONDS = 12.0
LONGEST_GAP = 0.1
"""Packets come every 20 ms; a gap that a jitter buffer of 100 ms does not cover is an underrun."""
MOST = 12


def measure() -> list[Figure]:
    """All figures; about five minutes."""
    return [*asyncio.run(_at_once()), *asyncio.run(_in_a_row(IN_A_ROW))]


async def _at_once() -> list[Figure]:
    limit = min(MOST, int(library_report()["max_calls"]))
    good, cpu = 0, 0.0
    for count in range(1, limit + 1):
        lost, busy = await _talking_at_once(count)
        if lost:
            break
        good, cpu = count, busy
    reached = "" if good < limit else f" (the library's or the bench's limit is {limit})"
    return [
        {"name": f"calls_at_once_on_one_core{reached}", "value": good, "unit": "calls", "goal": ""},
        {"name": "cpu_of_that_core", "value": round(cpu * 100, 1), "unit": "%", "goal": ""},
    ]


async def _talking_at_once(count: int) -> tuple[int, float]:
    """Gaps heard on `count` calls with an offline dialogue on each, and the share of the core that was busy."""
    async with Handset(
        sip={"max_calls": count}, conversation={"max_sessions": count + 1}, prefix=("taskset", "-c", "0")
    ) as handset:
        async with contextlib.AsyncExitStack() as stack:
            callers = [await stack.enter_async_context(calling(handset.sip_port)) for _ in range(count)]
            await asyncio.sleep(1.0)
            marks = [len(caller.arrived) for caller in callers]
            cpu, began = handset.cpu_seconds(), time.monotonic()
            await asyncio.gather(*(_dialogue(caller, began + TALK_SECONDS) for caller in callers))
            busy = (handset.cpu_seconds() - cpu) / (time.monotonic() - began)
            gaps = sum(_gaps(caller, mark) for caller, mark in zip(callers, marks, strict=True))
        return gaps, busy


async def _dialogue(caller: RawCaller, until: float) -> None:
    talker = Talker(caller)
    while time.monotonic() < until:
        await talker.ask("what is twelve times seven")


def _gaps(caller: RawCaller, since: int) -> int:
    times = np.array([came for came, _ in caller.arrived[since:]])
    return int((np.diff(times) > LONGEST_GAP).sum())


async def _in_a_row(count: int) -> list[Figure]:
    daemon: list[float] = []
    sip: list[float] = []
    async with Handset(sip={}) as handset:
        before = after = handset.footprint()
        for number in range(WARM + count):
            async with calling(handset.sip_port) as caller:
                if number % 10 == 0:
                    talker = Talker(caller)
                    await asyncio.sleep(0.3)
                    await talker.ask("what time is it")
                else:
                    await asyncio.sleep(0.25)
            await asyncio.sleep(0.1)
            if number == WARM:
                before = handset.footprint()
            if number >= WARM and number % 10 == 9:
                after = handset.footprint()
                daemon.append(after.rss_mb)
                sip.append(after.sip_rss_mb)
        await asyncio.sleep(2.0)
        after = handset.footprint()
    return [
        {"name": "calls_in_a_row", "value": count, "unit": "calls", "goal": ""},
        {
            "name": "rss_slope_daemon",
            "value": round(_slope(daemon) * 10, 2),
            "unit": "MB per 100 calls",
            "goal": "<= 1",
        },
        {
            "name": "rss_slope_sip_process",
            "value": round(_slope(sip) * 10, 2),
            "unit": "MB per 100 calls",
            "goal": "<= 1",
        },
        {"name": "threads_grown", "value": after.threads - before.threads, "unit": "threads", "goal": "<= 0"},
        {"name": "files_grown", "value": after.files - before.files, "unit": "files", "goal": "<= 0"},
    ]


def _slope(sizes: list[float]) -> float:
    """Growth from one entry to the next, by a straight line through the second half."""
    half = sizes[len(sizes) // 2 :]
    return float(np.polyfit(range(len(half)), half, 1)[0]) if len(half) > 1 else 0.0
