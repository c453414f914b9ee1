"""The room's sound device is pulled and plugged in again: how soon it is used again, and what that leaves behind.

Each round pulls the microphone, the speaker, or both. HANDSET_BENCH_PULLS says how many rounds, 50 unless told.
"""

import asyncio
import os
import time
from typing import Any, Final

import numpy as np

from tests.rig.appliance import Handset
from tests.rig.room_person import RoomPerson
from tests.rig.sound_server import MICROPHONE, SPEAKER, SoundServer

Figure = dict[str, Any]
PULLS: Final = int(os.environ.get("HANDSET_BENCH_PULLS", "50"))
WARM_UP: Final = 10
"""Rounds before the first look at what is held."""
OUT_SECONDS: Final = 0.5
GOAL_SECONDS: Final = 3.0
_DIRECTION: Final = {MICROPHONE: "input", SPEAKER: "output"}
_ROUNDS: Final = ((MICROPHONE,), (SPEAKER,), (MICROPHONE, SPEAKER))


def measure() -> list[Figure]:
    """All figures; about two minutes."""
    return asyncio.run(_pull())


async def _pull() -> list[Figure]:
    took: list[float] = []
    with SoundServer() as server, RoomPerson(server) as person:
        async with Handset(sound=server) as handset:
            await _talks(handset, person)
            for number in range(WARM_UP):
                await _round(handset, server, _ROUNDS[number % len(_ROUNDS)])
            before = handset.footprint()
            for number in range(PULLS):
                took += await _round(handset, server, _ROUNDS[number % len(_ROUNDS)])
            after = handset.footprint()
            await _talks(handset, person)
    late = sum(seconds > GOAL_SECONDS for seconds in took)
    return [
        _figure("rounds", PULLS, "", ""),
        _figure("devices used again later than in 3 s", late, f"of {len(took)}", "<= 0"),
        _figure("used again, median", float(np.median(took)) * 1000, "ms", ""),
        _figure("used again, worst", max(took) * 1000, "ms", "<= 3000"),
        _figure("threads more", after.threads - before.threads, "", "<= 0"),
        _figure("files more", after.files - before.files, "", "<= 0"),
        _figure("daemon: RSS growth", after.rss_mb - before.rss_mb, "MB", "<= 2"),
    ]


async def _round(handset: Handset, server: SoundServer, names: tuple[str, ...]) -> list[float]:
    """Seconds from each device's return until it is used again."""
    client = handset.client
    since = client.mark
    for name in names:
        await asyncio.to_thread(server.unplug, name)
    for name in names:
        await client.event("device", since=since, kind=_DIRECTION[name], state="lost")
    await asyncio.sleep(OUT_SECONDS)
    since = client.mark
    took = []
    for name in names:
        plug = server.plug_microphone if name == MICROPHONE else server.plug_speaker
        await asyncio.to_thread(plug)
        returned = time.monotonic()
        await client.event("device", 30, since=since, kind=_DIRECTION[name], state="recovered")
        took.append(time.monotonic() - returned)
    client.events.clear()
    return took


async def _talks(handset: Handset, person: RoomPerson) -> None:
    """Somebody asks the time, and hears it."""
    with person.listening() as ear:
        said = handset.client.mark
        person.say("what time is it")
        turn = await handset.client.event("turn", 30, since=said, state="speaking")
        await handset.client.idle(turn["session"], since=said)
        if not np.abs(ear()).max() > 1_000:
            raise RuntimeError("the room stays silent")


def _figure(name: str, value: float, unit: str, goal: str) -> Figure:
    return {"name": f"pulled: {name}", "value": round(float(value), 2), "unit": unit, "goal": goal}
