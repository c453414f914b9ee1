"""Talk with a chain of Deepgram, OpenAI and Cartesia: what it adds to their own times, barge-in, and memory.

Real lines, real sockets, the unmodified SDKs, the services' strict fakes; each of them thinks for a while, which is
taken off.
"""

import asyncio
import random
from typing import Any

import numpy as np

from appliance.events import TurnChanged
from appliance.interfaces import LineKind
from tests.bench import realtime, realtime_process
from tests.bench.realtime import LOUD, RATE, Figure, figure, percentile
from tests.rig.spoken import speech
from tests.rig.stage import Person, Stage
from tests.rig.timed_services import TimedChain

ANSWERS = 16
QUESTION = "what time is it over there"
STAGES = 3
MOST_MB = 110


def measure() -> list[Figure]:
    """All figures; about six minutes."""
    return [
        *asyncio.run(_answers()),
        *asyncio.run(_barge_ins()),
        *asyncio.run(_process()),
    ]


async def _answers() -> list[Figure]:
    """A question, an answer of one sentence. `turn` begins where the device has decided that the person has ended."""
    waits: list[float] = []
    hangovers: list[float] = []
    chance = random.Random(1)
    async with Stage() as stage, TimedChain() as service:
        person = stage.enter(LineKind.PHONE, [service.provider])
        await person.until(lambda: person.session.link.up, 20)
        for _ in range(ANSWERS):
            think = chance.uniform(0.02, 0.06)
            service.pace(4.0, think=think)
            decided, sounded, ended = await _one_answer(person, service)
            waits.append((sounded - decided - STAGES * think) * 1000)
            hangovers.append((decided - ended) * 1000)
            await person.until(lambda: not person.line.playout.active(), 10)
            await asyncio.sleep(0.3)
        assert not service.violations, service.violations
    return [
        figure("turn_end_to_sound_chain_less_think_p50", percentile(waits, 50), "ms", "<= 120"),
        figure("turn_end_to_sound_chain_less_think_p95", percentile(waits, 95), "ms"),
        figure("speech_end_to_turn_end_chain_p50", percentile(hangovers, 50), "ms"),
        figure("answers_chain", len(waits), "answers"),
    ]


async def _one_answer(person: Person, service: TimedChain) -> tuple[float, float, float]:
    """When the turn's end was decided, when its answer sounded, and when the person had ended."""
    since, before = len(person.played), len(person.events)
    service.mind.will_say("It is noon.")
    question = speech(QUESTION, RATE)
    person.say(question)
    await person.until(lambda: any(block.any() for block in person.played[since:]), 20)
    ended = person.began_at + int(np.flatnonzero(np.abs(question) > LOUD)[-1]) / RATE
    sounded = next(
        at + int(np.argmax(block != 0)) / RATE
        for at, block in zip(person.played_at[since:], person.played[since:], strict=False)
        if block.any()
    )
    return _decided(person, before), sounded, ended


def _decided(person: Person, since: int) -> float:
    return next(
        at
        for at, event in person.events[since:]
        if isinstance(event, TurnChanged) and event.state == "thinking"
    )


async def _barge_ins() -> list[Figure]:
    async with Stage() as stage, TimedChain() as service:
        figures: list[dict[str, Any]] = await realtime.talked_over(stage, service)
        assert not service.violations, service.violations
        return figures


async def _process() -> list[Figure]:
    async with TimedChain(in_daemon=True) as service:
        return [
            *await realtime_process.call(service, most_mb=MOST_MB),
            *await realtime_process.talked_over(service),
        ]
