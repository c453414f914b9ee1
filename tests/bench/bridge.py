"""Two phones that the appliance has joined here, without a PBX in between: what that adds to the way of their sound.

A minute. What the SIP process takes of it at both ends is in the part `sip`.
"""

import asyncio
import time
from typing import Any

import numpy as np

from tests.rig.appliance import Handset
from tests.rig.peer import until
from tests.rig.raw_callee import RawCallee
from tests.rig.raw_caller import PULSE, RawCaller
from tests.rig.telephone_sound import calling

CALLS = 6
PULSES = 10
Figure = dict[str, Any]


def measure() -> list[Figure]:
    """All figures."""
    return asyncio.run(_bridged())


async def _bridged() -> list[Figure]:
    ways: list[float] = []
    lost = sent = 0
    async with Handset(
        sip={"max_calls": 2}, transfer={"join": "here"}, conversation={"max_sessions": 4}
    ) as handset:
        for _ in range(CALLS):  # the packets' phase against the media clock is chance, and stays for a call
            found, count = await _one(handset)
            ways += found
            sent += count
            lost += count - len(found)
    return [
        _figure("median", float(np.percentile(ways, 50)) * 1000, "ms", "<= 100"),
        _figure("95 %", float(np.percentile(ways, 95)) * 1000, "ms", "<= 140"),
        _figure(f"pulses of {sent} that did not arrive", lost, "", "<= 0"),
    ]


def _figure(name: str, value: float, unit: str, goal: str = "") -> Figure:
    return {
        "name": f"phone to phone, joined here: {name}",
        "value": round(value, 1),
        "unit": unit,
        "goal": goal,
    }


async def _one(handset: Handset) -> tuple[list[float], int]:
    """Of one pair: how long each pulse took, and how many were sent."""
    client, callee, since = handset.client, RawCallee(), handset.client.mark
    async with calling(handset.sip_port) as caller:
        call = (await client.event("call", since=since, state="connected"))["call"]
        await client.ask("call.transfer", call=call, to=callee.uri, mode="attended")
        await asyncio.to_thread(callee.__enter__)
        await until(
            lambda: any(
                "joined" in event["reason"]
                for event in client.of("call", since, call=call, state="connected")
            ),
            20.0,
            "the two are joined",
        )
        await asyncio.sleep(1.5)
        begin = time.monotonic()
        for _ in range(PULSES):
            for phone in (caller, callee):
                phone.speak(PULSE)
                await asyncio.sleep(0.25)
        found = [*_ways(caller, callee, begin), *_ways(callee, caller, begin)]
    await client.event("call", 20, since=since, call=call, state="ended")
    callee.leave_unsaid()
    await asyncio.to_thread(callee.__exit__, None, None, None)
    return found, 2 * PULSES


def _ways(speaker: RawCaller, hearer: RawCaller, since: float) -> list[float]:
    """From each pulse's packet to the packet in which it begins to come, within 0.24 s. Loud is near 0x00 and 0x80."""
    heard: list[float] = []
    for at, payload in hearer.arrived:
        loud = any(value & 0x7F < 0x30 for value in payload)
        if at > since and loud and (not heard or at - heard[-1] > 0.1):
            heard.append(at)
    said = [at for at, payload in speaker.sent if at > since and payload == PULSE]
    after = ([came - at for came in heard if 0 < came - at < 0.24] for at in said)
    return [min(ways) for ways in after if ways]
