"""Calls over a network that loses, delays and reorders packets, in a grid: set up, heard, told, and without growth.

A real phone (baresip) against the SIP process alone, then against the whole appliance, which is asked for the time.
About six minutes.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import product
from typing import Any

import numpy as np
import psutil

from appliance.audio.resample import Resampler
from appliance.call.quality import CallQuality, Quality, StreamCounts
from appliance.interfaces import CallReport, QualityReport
from tests.rig.alignment import missing_ms
from tests.rig.appliance import Handset
from tests.rig.bad_network import BadNetwork, Conditions
from tests.rig.sip_desk import RATE, Desk
from tests.rig.sounds import Samples
from tests.rig.spoken import speech
from tests.rig.talking_phone import RATE as PHONE_RATE
from tests.rig.talking_phone import TalkingPhone

LOSSES = (0, 2, 5, 10)
DELAYS = ((20, 10), (100, 40), (200, 100))
"""Milliseconds that each packet takes, and up to so many more; one in a hundred comes 50 ms later, and one twice."""
ASKED = 6
TALK = "the quick brown fox jumps over the lazy dog while seven wizards make toxic brew for the evil queen and jack"
Figure = dict[str, Any]


def measure() -> list[Figure]:
    """All figures."""
    return [*asyncio.run(_grid()), *asyncio.run(_understood())]


def _figure(name: str, value: float, unit: str, goal: str = "") -> Figure:
    return {"name": f"bad network: {name}", "value": round(value, 2), "unit": unit, "goal": goal}


def _at(rate: int, samples: Samples, now: int) -> Samples:
    resampler = Resampler(now, rate)
    pcm = resampler.process(samples.astype("<i2").tobytes()) + resampler.flush()
    return np.frombuffer(pcm, dtype="<i2")


class _Speaking:
    """A playout source: these samples once, then silence."""

    def __init__(self, samples: Samples) -> None:
        self._pcm = samples.astype("<i2").tobytes()
        self._at = 0

    def __call__(self, samples: int) -> bytes:
        piece = self._pcm[self._at : self._at + 2 * samples]
        self._at += len(piece)
        return piece.ljust(2 * samples, b"\0")


async def _grid() -> list[Figure]:
    ours, theirs = speech(TALK, RATE), speech(TALK[::-1], PHONE_RATE)
    figures, marks = [], []
    async with Desk(codecs=("PCMU",)) as desk:
        for loss, (delay, jitter) in product(LOSSES, DELAYS):
            name = f"{loss} % lost, {delay}+{jitter} ms"
            figures += [
                {**figure, "name": f"{figure['name']} ({name})"}
                for figure in await _cell(desk, loss, delay, jitter, ours, theirs)
            ]
            marks.append(psutil.Process(desk.telephone.child_pid()).memory_info().rss / 1e6)
        ended = desk.of(CallReport, state="ended")
    count = len(LOSSES) * len(DELAYS)
    return [
        *figures,
        _figure("calls that were set up and ended", len(ended), "calls", f">= {count}"),
        _figure("SIP process: RSS growth, third call to last", marks[-1] - marks[2], "MB", "<= 3"),
    ]


async def _cell(
    desk: Desk, loss: float, delay: float, jitter: float, ours: Samples, theirs: Samples
) -> list[Figure]:
    conditions = Conditions(loss / 100, delay, jitter, held_back=0.01, doubled=0.01)
    since = len(desk.events)
    async with TalkingPhone("alice") as alice:
        network = BadNetwork(desk.settings["port"], alice.port, sip=conditions, rtp=conditions, seed=17)
        async with network:
            began = time.monotonic()
            picking_up = asyncio.create_task(desk.pick_up(since=since))
            await alice.call(network.appliance)
            set_up = time.monotonic() - began
            call = await picking_up
            ear = alice.ear()
            desk.telephone.attach(call, desk.ears[call], _Speaking(ours))
            lasts = await alice.say(theirs)
            await asyncio.sleep(max(lasts, len(ours) / RATE) + 2.0)
            there = missing_ms(theirs, _at(PHONE_RATE, desk.ears[call].samples(), RATE), PHONE_RATE)
            here = missing_ms(_at(PHONE_RATE, ours, RATE), ear(), PHONE_RATE)
            quality = await _told(desk, call, since)
            await alice.hang_up()
            await desk.state(call, "ended", seconds=40, since=since)
    return [
        _figure("INVITE to the call", set_up, "s"),
        _figure("speech to us that is not found again", 100 * there / (1000 * lasts), "%"),
        _figure("speech from us that is not found again", 100 * here / (1000 * len(ours) / RATE), "%"),
        _figure("MOS that is told", quality.mos, ""),
        _figure("loss that is told, with what came too late", quality.loss_percent, "%"),
        _figure("jitter that is told", quality.jitter_ms, "ms"),
        _figure("round trip that is told", quality.round_trip_ms, "ms"),
    ]


async def _told(desk: Desk, call: str, since: int) -> Quality:
    """Of the whole call."""
    await desk.until(QualityReport, call=call, seconds=15, since=since)
    whole = StreamCounts.told(desk.of(QualityReport, since, call=call)[-1].counts)
    found = CallQuality().take(whole, "PCMU/8000")
    assert found is not None
    return found


@asynccontextmanager
async def _call(handset: Handset, conditions: Conditions) -> AsyncIterator[TalkingPhone]:
    async with TalkingPhone("bob") as bob:
        network = BadNetwork(handset.sip_port, bob.port, sip=conditions, rtp=conditions, seed=23)
        async with network:
            since = handset.client.mark
            await bob.call(network.appliance)
            yield bob
            await bob.hang_up()
            await handset.client.event("call", 40, since=since, state="ended")


async def _understood() -> list[Figure]:
    figures = []
    async with Handset(sip={}) as handset:
        for loss in (0, 5, 10):
            right = 0
            async with _call(handset, Conditions(loss / 100, 60, 40, held_back=0.01, doubled=0.01)) as bob:
                await asyncio.sleep(1.0)
                for _ in range(ASKED):
                    since = handset.client.mark
                    await bob.say("what time is it")
                    try:
                        await handset.client.event("transcript", 8, since=since, role="assistant", final=True)
                    except AssertionError:
                        continue
                    heard = handset.client.of("transcript", since, role="user", final=True)
                    right += any("what time is it" in event["text"].lower() for event in heard)
            figures.append(
                _figure(f'"what time is it" understood, of {ASKED} ({loss} % lost, 60+40 ms)', right, "")
            )
    return figures
