"""The link is cut at every quarter second of a spoken turn: nothing of it may be lost, nothing told twice.

Real lines (detector, canceller, resampler), real sockets, the unmodified SDKs, the services' strict fakes.
"""

import asyncio
import os
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from appliance.interfaces import LineKind
from appliance.session.turn import Phase
from tests.rig.alignment import align
from tests.rig.cloud import CLOUDS
from tests.rig.services import Service, at_rate
from tests.rig.sounds import Samples
from tests.rig.spoken import silence, speech
from tests.rig.stage import Person, Stage

TEXT = "a quick brown fox jumps over the lazy dog while seven wizards pack my box with five dozen jugs"
LEAD_SECONDS = 0.3
TURN_SECONDS = 5.0
QUIET = 200
"""The turn's first sample is louder."""
STEP = 0.25
ANSWER_SECONDS = 0.6
POINTS = [point * STEP for point in range(round(TURN_SECONDS / STEP) + 1)]
WHOLE = os.environ.get("HANDSET_GRID") == "whole"
"""`make grid`: every line at every point. Otherwise the two kinds of line take turns, so that every service is cut at
every point, and every line at every other one."""
TURNS = {LineKind.PHONE: POINTS[::2], LineKind.ROOM: POINTS[1::2]}
AT_ONCE = 11
"""Conversations in one process in real time: half of the points."""


def turn(rate: int) -> Samples:
    spoken = speech(TEXT, rate, voice="flite:slt")[: round(TURN_SECONDS * rate)]
    assert len(spoken) == round(TURN_SECONDS * rate)
    return spoken


async def wrong_wherever_cut(
    name: str, kind: LineKind, outage: float, points: Sequence[float] = ()
) -> list[str]:
    """What went wrong in the conversations with the service `name`, one for each point at which the link was cut.

    A conversation in which something was wrong is held again, with fewer beside it: real time is not to be had on a
    busy machine. What is wrong by itself is wrong again.
    """
    wrong: list[str] = []
    again = list(points or (POINTS if WHOLE else TURNS[kind]))
    for at_once in (AT_ONCE, 4, 2):
        wrong, held = [], again
        again = []
        groups = -(-len(held) // at_once)
        for group in (held[first::groups] for first in range(groups)):
            async with Stage() as stage:
                cuts = [_one_cut(stage, name, kind, point, outage) for point in group]
                results = await asyncio.gather(*cuts, return_exceptions=True)
            for point, result in zip(group, results, strict=True):
                found = [repr(result)] if isinstance(result, BaseException) else result()
                wrong += [f"cut at {point} s: {what}" for what in found]
                again += [point] if found else []
        if not wrong:
            break
    return wrong


async def _one_cut(
    stage: Stage, name: str, kind: LineKind, cut_at: float, outage: float
) -> Callable[[], list[str]]:
    """A turn whose link is cut. What is returned tells what was wrong: later, since it takes the loop's time."""
    async with CLOUDS[name]() as service:
        person = stage.enter(kind, [service.provider])
        await person.until(lambda: person.session.link.up, 60)
        service.will_say("Done.", ANSWER_SECONDS)
        person.say(np.concatenate((silence(LEAD_SECONDS, person.rate), turn(person.rate))))
        await person.until(lambda: person.began_at > 0, 20)
        await asyncio.sleep(LEAD_SECONDS + cut_at)
        service.wire.cut(outage)
        await person.until(lambda: bool(service.answers()) and person.loud(), 40 + outage)
        await person.until(lambda: person.session.phase is Phase.IDLE, 20)
        await asyncio.sleep(0.5)
        stage.leave(person)
        return lambda: _wrong(person, service) + service.violations


def _wrong(person: Person, service: Service) -> list[str]:
    wrong = []
    spoken = np.frombuffer(b"".join(person.captured), "<i2")[: round((LEAD_SECONDS + TURN_SECONDS) * 16_000)]
    spoken = spoken[np.flatnonzero(np.abs(spoken.astype(np.int32)) > QUIET)[0] :]
    aligned = align(at_rate(spoken, 16_000, service.rate), service.received(), service.rate)
    if not aligned.whole:
        wrong.append(f"{aligned}")
    heard = service.heard_ms(person.sound(), person.rate)
    if [each for each in heard if each] != [pytest.approx(ANSWER_SECONDS * 1000, abs=101)]:
        wrong.append(f"answers heard for {heard} ms")
    if person.session.phase is not Phase.IDLE:
        wrong.append(f"in the end it is {person.session.phase}")
    return wrong
