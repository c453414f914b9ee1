"""Hours of telephone traffic in minutes: calls, garbage, dials to nobody, registrations and clients side by side.

And what they leave behind in the daemon and in the SIP process.

HANDSET_BENCH_MINUTES sets how long (default 2; 60 for the real thing). The first quarter warms up.
"""

import asyncio
import contextlib
import os
import random
import socket
import time
from collections import Counter
from typing import Any

import numpy as np

from tests.rig.appliance import Handset, toml
from tests.rig.control_client import ControlClient, Refused
from tests.rig.raw_caller import RawCaller
from tests.rig.scripted_registrar import ScriptedRegistrar
from tests.rig.sip_garbage import datagrams

MINUTES = float(os.environ.get("HANDSET_BENCH_MINUTES", "2"))
LOOK_SECONDS = 5.0
Figure = dict[str, Any]


def measure() -> list[Figure]:
    """All figures."""
    return asyncio.run(_run(MINUTES * 60))


class _Traffic:
    """What goes on side by side until it is cancelled; `done` counts it."""

    def __init__(self, handset: Handset, registrar: ScriptedRegistrar, nobody: int) -> None:
        self.done: Counter[str] = Counter()
        self._handset = handset
        self._registrar = registrar
        self._nobody = f"sip:nobody@127.0.0.1:{nobody}"

    async def call(self) -> None:
        def talk() -> None:
            with RawCaller(self._handset.sip_port) as caller:
                time.sleep(0.2)
                if self.done["calls"] % 3 == 0:
                    caller.offer_again("sendonly")
                    caller.offer_again("sendrecv")

        while True:
            try:
                await asyncio.to_thread(talk)
                self.done["calls"] += 1
            except (OSError, AssertionError):  # garbage took the place, for now
                self.done["calls refused"] += 1
            await asyncio.sleep(0.2)

    async def litter(self) -> None:
        chance = random.Random(7)
        with socket.socket(type=socket.SOCK_DGRAM) as link:
            while True:
                for datagram in datagrams(chance, 12):
                    with contextlib.suppress(OSError):
                        link.sendto(datagram, ("127.0.0.1", self._handset.sip_port))
                    self.done["datagrams of garbage"] += 1
                await asyncio.sleep(1.0)

    async def dial(self) -> None:
        client = self._handset.client
        while True:
            await asyncio.sleep(7.0)
            with contextlib.suppress(Refused):
                call = (await client.ask("call.dial", to=self._nobody))["call"]
                await asyncio.sleep(1.0)
                await client.ask("call.hangup", call=call)
                self.done["dials to nobody"] += 1

    async def register(self) -> None:
        handset = self._handset
        account = {"server": self._registrar.server, "user": "second", "password": "x"}
        while True:
            for name in ("One", "Two"):
                table = {"sip.accounts.second": {**account, "display_name": name}}
                handset.config.write_text(toml({**handset.sections, **table}))
                await handset.client.ask("config.reload")
                await asyncio.sleep(2.0)
            self.done["registrations"] = len(self._registrar.registers)

    async def look_on(self) -> None:
        while True:
            async with ControlClient(self._handset.port) as client:
                await client.ask("status")
            await self._handset.page("/metrics")
            self.done["control clients"] += 1
            await asyncio.sleep(1.0)


async def _run(seconds: float) -> list[Figure]:
    looks: list[tuple[float, ...]] = []
    with ScriptedRegistrar() as registrar, socket.socket(type=socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        async with Handset(sip={"max_calls": 2}, conversation={"max_sessions": 6}) as handset:
            traffic = _Traffic(handset, registrar, silent.getsockname()[1])
            works = (traffic.call, traffic.litter, traffic.dial, traffic.register, traffic.look_on)
            tasks = [asyncio.create_task(work()) for work in works]
            began = time.monotonic()
            while time.monotonic() < began + seconds:
                await asyncio.sleep(LOOK_SECONDS)
                for task in tasks:
                    if task.done():
                        task.result()
                now = handset.footprint()
                looks.append((time.monotonic(), now.rss_mb, now.sip_rss_mb, now.threads, now.files))
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            restarts = _metric((await handset.page("/metrics"))[1], "handset_sip_restarts")
            handset.client.events.clear()
    return _figures(looks[len(looks) // 4 :], traffic.done, restarts)


def _metric(page: str, name: str) -> float:
    return next((float(line.split()[1]) for line in page.splitlines() if line.startswith(f"{name} ")), 0.0)


def _figures(looks: list[tuple[float, ...]], done: Counter[str], restarts: float) -> list[Figure]:
    times, daemon, sip, threads, files = np.array(looks).T
    minutes = (times[-1] - times[0]) / 60
    half = len(looks) // 2
    return [
        _figure("after the warm-up", minutes, "min"),
        *(_figure(name, count, "") for name, count in sorted(done.items())),
        _figure("SIP process: restarts", restarts, "", "<= 0"),
        _figure("daemon: RSS growth", _growth(daemon, half), "MB", "<= 6"),
        _figure("SIP process: RSS growth", _growth(sip, half), "MB", "<= 3"),
        _figure("daemon: RSS slope", np.polyfit(times / 3600, daemon, 1)[0], "MB/h"),
        _figure("SIP process: RSS slope", np.polyfit(times / 3600, sip, 1)[0], "MB/h"),
        _figure("threads more", _growth(threads, half), "", "<= 1"),
        _figure("files more", _growth(files, half), "", "<= 1"),
    ]


def _growth(values: Any, half: int) -> float:
    """Medians of the two halves: who looks in the middle of a call sees more."""
    return float(np.median(values[half:]) - np.median(values[:half]))


def _figure(name: str, value: float, unit: str, goal: str = "") -> Figure:
    return {"name": f"leaks: {name}", "value": round(float(value), 2), "unit": unit, "goal": goal}
