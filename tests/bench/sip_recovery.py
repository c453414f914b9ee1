"""How long the telephone is out of reach when its registrar restarts, or its own address changes."""

import asyncio
import statistics
import time
from typing import Any

from appliance.interfaces import RegistrationReport
from tests.rig.namespace import Namespace, namespaces_missing
from tests.rig.peer import until
from tests.rig.sip_desk import Desk
from tests.rig.sip_peers import Phone, Registrar, programs_missing

RUNS = 3
Figure = dict[str, Any]


async def recovery() -> list[Figure]:
    """None where the peers' programs are missing; about two minutes."""
    if programs_missing():
        return []
    noticed, back = zip(*[await _restart() for _ in range(RUNS)], strict=True)
    figures = [
        _figure("SIP: registrar gone, until it is said", noticed, "<= 16"),
        _figure("SIP: registrar back, until we are registered", back, "<= 6"),
    ]
    if not namespaces_missing():
        moves = [await _move() for _ in range(RUNS)]
        figures.append(
            _figure("SIP: another address in a call, until the caller is heard again", moves, "<= 3")
        )
    return figures


def _figure(name: str, seconds: Any, goal: str) -> Figure:
    return {"name": name, "value": round(statistics.median(seconds), 2), "unit": "s", "goal": goal}


async def _restart() -> tuple[float, float]:
    """Seconds until its end is noticed, and from its return until we are registered."""
    async with Registrar() as registrar, Desk(server=registrar.server, user="handset") as desk:
        await asyncio.sleep(11)  # past the first question whether it lives
        since = len(desk.events)
        await registrar.stop()
        gone = time.monotonic()
        await desk.until(RegistrationReport, state="failed", seconds=30, since=since)
        noticed = time.monotonic() - gone
        await registrar.start()
        returned = time.monotonic()
        await desk.registered(seconds=45, since=since)
        return noticed, time.monotonic() - returned


async def _move() -> float:
    """Seconds from the new address to the first frame of the caller."""
    with Namespace() as there:
        async with Registrar(host=there.host) as registrar, Phone("bob", registrar, host=there.host) as bob:
            with there.inside():
                desk = Desk(server=registrar.server, user="handset", bind="")
                await desk.__aenter__()
            try:
                await bob.dial(f"sip:handset@{registrar.server}")
                call = await desk.pick_up()
                await asyncio.sleep(1.0)
                # Silence is received all the time: that it is the caller's sound is told by its level.
                there.move()
                moved = time.monotonic()
                await asyncio.sleep(0.2)
                await until(lambda: _sounds(desk, call), 20.0, "the caller is heard again")
                return time.monotonic() - moved
            finally:
                await desk.telephone.stop()


def _sounds(desk: Desk, call: str) -> bool:
    return bool(abs(desk.heard(call, 60)).max(initial=0) > 1000)
