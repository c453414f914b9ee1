"""Talk with the realtime providers: what an outage, a barge-in, late audio and the way through the appliance cost.

Real lines, real sockets, the unmodified SDKs, the services' strict fakes; the process as a whole is measured by
`realtime_process`.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from appliance.events import Interrupted
from appliance.interfaces import Capabilities, Connection, LineKind, Provider, Setup
from tests.bench import realtime_process
from tests.rig.alignment import align, missing_ms
from tests.rig.services import at_rate
from tests.rig.sounds import Samples
from tests.rig.spoken import silence, speech
from tests.rig.stage import PERIOD, RATES, Person, Stage
from tests.rig.timed_services import TIMED_SERVICES, TimedService

Figure = dict[str, Any]
KIND = LineKind.PHONE
RATE = RATES[KIND]
LEAD_SECONDS = 0.3
OUTAGE_SECONDS = 3.0
CUTS_AT = (0.7, 1.6, 2.5)
"""Seconds into the turn; each for every service and kind of line."""
ANSWERS = 10
PACED_ANSWERS = 12
ADAPTING = 4
"""So many of them may run dry: the cover is learned from that."""
JITTER_MS = 60.0
BARGE_INS = 24
PRE_ROLL_IS_OLDER_MS = 40.0
LOUD = 400
FLAT = 100
SENTENCE = "a quick brown fox jumps over the lazy dog while seven wizards pack my box with five dozen jugs"
QUESTION = "what time is it over there"
INTERRUPTIONS = (
    "alright wait a moment please i have heard enough",
    "no stop that is not what i wanted to know",
    "excuse me may i ask you something else instead",
)
VOICES = ("flite:rms", "flite:slt")


def measure() -> list[Figure]:
    """All figures; about eleven minutes."""
    return [
        *asyncio.run(_outages()),
        *asyncio.run(_ways_through()),
        *asyncio.run(_talks()),
        *realtime_process.figures(),
    ]


def figure(name: str, value: float, unit: str, goal: str = "") -> Figure:
    return {"name": name, "value": round(value, 2), "unit": unit, "goal": goal}


def percentile(values: Sequence[float], share: float) -> float:
    return float(np.percentile(values, share))


# --- an outage in a turn ---------------------------------------------------------------------------------------------


class _Timed:
    """A provider that notes how long its newest dial took."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self.name = provider.name
        self.capabilities: Capabilities = provider.capabilities
        self.handshake_seconds = 0.0

    async def warm(self) -> None:
        await self._provider.warm()

    async def connect(self, setup: Setup) -> Connection:
        began = time.monotonic()
        connection = await self._provider.connect(setup)
        self.handshake_seconds = time.monotonic() - began
        return connection

    async def close(self) -> None:
        await self._provider.close()


async def _outages() -> list[Figure]:
    found: dict[tuple[str, LineKind], list[dict[str, float]]] = {
        (name, kind): [] for name in TIMED_SERVICES for kind in (LineKind.PHONE, LineKind.ROOM)
    }
    for cut_at in CUTS_AT:
        async with contextlib.AsyncExitStack() as stack:
            # One after the other: each trusts its own certificate, by a variable of the process.
            services = [await stack.enter_async_context(TIMED_SERVICES[name]()) for name, _ in found]
            stage = await stack.enter_async_context(Stage())
            outages = (
                _one_outage(stage, service, kind, cut_at)
                for service, (_, kind) in zip(services, found, strict=True)
            )
            results = await asyncio.gather(*outages)
        for who, result in zip(found, results, strict=True):
            found[who].append(result)
    return [each for (name, kind), results in found.items() for each in _outage_figures(name, kind, results)]


async def _one_outage(stage: Stage, service: TimedService, kind: LineKind, cut_at: float) -> dict[str, float]:
    rate = RATES[kind]
    provider = _Timed(service.provider)
    person = stage.enter(kind, [provider])
    service.will_say("Done.", 0.6)
    turn = np.concatenate((silence(LEAD_SECONDS, rate), speech(SENTENCE, rate, voice="flite:slt")))
    person.say(turn)
    await person.until(lambda: person.began_at > 0 and person.session.link.up, 20)
    await asyncio.sleep(max(0.0, person.began_at + LEAD_SECONDS + cut_at - time.monotonic()))
    before = service.first_audio_at()
    service.wire.cut(OUTAGE_SECONDS)
    await person.until(lambda: service.first_audio_at() > max(before, service.wire.back_at), 15)
    back = service.first_audio_at() - service.wire.back_at
    await person.until(lambda: bool(service.answers()) and person.loud(), 20)
    await asyncio.sleep(0.3)
    assert not service.violations, service.violations
    heard = np.frombuffer(b"".join(person.captured), "<i2")
    spoken = heard[: len(turn) * RATES[LineKind.CLIENT] // rate]
    return _what_arrived(service, spoken) | {
        "back": back * 1000,
        "handshake": provider.handshake_seconds * 1000,
    }


def _what_arrived(service: TimedService, spoken: Samples) -> dict[str, float]:
    """`missing` in the session that answered, `repeated` in it, `lost` to every session."""
    sent = at_rate(spoken, RATES[LineKind.CLIENT], service.rate)
    aligned = align(sent, service.received(), service.rate)
    lost = missing_ms(sent, service.heard_by_all(), service.rate) if aligned.lost_ms else 0.0
    return {"missing": aligned.lost_ms, "repeated": aligned.repeated_ms, "lost": lost}


def _outage_figures(name: str, kind: LineKind, results: list[dict[str, float]]) -> list[Figure]:
    """`lost`, `repeated` and `missing` are the worst of all: a frame of 20 ms would be seen."""
    where = f"{kind.value}_{name}"
    worst = {key: max(result[key] for result in results) for key in results[0]}
    waits = [result["back"] - result["handshake"] for result in results]
    return [
        *(
            figure(f"outage_{where}_{key}", worst[key], "ms", "<= 0")
            for key in ("lost", "repeated", "missing")
        ),
        figure(f"outage_{where}_outages", len(results), "outages"),
        figure(f"outage_{where}_handshake_p50", percentile([r["handshake"] for r in results], 50), "ms"),
        figure(f"outage_{where}_back_to_audio_less_handshake_p50", percentile(waits, 50), "ms", "<= 300"),
        figure(f"outage_{where}_back_to_audio_less_handshake_worst", max(waits), "ms", "<= 300"),
    ]


# --- the way through: microphone to socket, socket to speaker --------------------------------------------------------


async def _with_all(part: Callable[[Stage, TimedService], Any]) -> list[Any]:
    """`part` for every service at once, on one stage; what each returned, in order."""

    async def one(stage: Stage, name: str) -> Any:
        async with TIMED_SERVICES[name]() as service:
            result = await part(stage, service)
            assert not service.violations, service.violations
            return result

    async with Stage() as stage:
        return await asyncio.gather(*(one(stage, name) for name in TIMED_SERVICES))


async def _ways_through() -> list[Figure]:
    return [each for figures in await _with_all(_way_through) for each in figures]


async def _way_through(stage: Stage, service: TimedService) -> list[Figure]:
    """Questions and quick answers, four times real time as the services send them."""
    person = stage.enter(KIND, [service.provider])
    await person.until(lambda: person.session.link.up, 20)
    chance = random.Random(1)
    ages: list[float] = []
    waits: list[float] = []
    for _ in range(ANSWERS):
        service.pace(4.0, think=chance.uniform(0.02, 0.06))
        question = speech(QUESTION, RATE)
        waits.append(await _asked(person, service, question, 0.5))
        ages += _ages(person, service, question)
        await asyncio.sleep(0.7)
    name = service.name
    return [
        figure(f"first_delta_to_sound_{name}_p50", percentile(waits, 50), "ms", "<= 30"),
        figure(f"first_delta_to_sound_{name}_p99", percentile(waits, 99), "ms", "<= 45"),
        figure(f"microphone_to_socket_{name}_p50", percentile(ages, 50), "ms", "<= 23"),
        figure(f"microphone_to_socket_{name}_p99", percentile(ages, 99), "ms", "<= 35"),
        figure(f"microphone_to_socket_{name}_frames", len(ages), "frames"),
    ]


async def _asked(person: Person, service: TimedService, question: Samples, seconds: float) -> float:
    """Ask, and wait until the answer sounds: milliseconds from its first delta to that."""
    since, answered = len(person.played), len(service.sounded_at())
    service.will_say("It is noon.", seconds)
    person.say(question)
    await person.until(partial(_sounds_since, person, since), 20)
    sounds = next(
        at + int(np.argmax(block != 0)) / RATE
        for at, block in zip(person.played_at[since:], person.played[since:], strict=False)
        if block.any()
    )
    return (sounds - service.sounded_at()[answered]) * 1000


def _ages(person: Person, service: TimedService, question: Samples) -> list[float]:
    """How old the oldest sample of each piece was when it came, from where the pre-roll has been caught up."""
    arrived = service.arrived()
    received = np.concatenate([piece for _, piece in arrived])
    shift = align(at_rate(question, RATE, service.rate), received, service.rate).shift_ms
    ages: list[float] = []
    begin = 0
    for came, piece in arrived:
        said_ms = begin * 1000 / service.rate - shift
        begin += len(piece)
        age = (came - person.began_at) * 1000 - said_ms
        if said_ms < len(question) * 1000 / RATE and (ages or age < PRE_ROLL_IS_OLDER_MS):
            ages.append(age)
    return ages


# --- late audio, and being talked over -------------------------------------------------------------------------------


async def _talks() -> list[Figure]:
    late, over = await _with_all(_late_audio), await _with_all(talked_over)
    return [each for figures in (*late, *over) for each in figures]


async def _late_audio(stage: Stage, service: TimedService) -> list[Figure]:
    """Answers at their own pace, whose pieces come up to JITTER_MS late."""
    person = stage.enter(KIND, [service.provider])
    await person.until(lambda: person.session.link.up, 20)
    waits: list[float] = []
    dry: list[int] = []
    chance = random.Random(3)
    for _ in range(PACED_ANSWERS):
        service.pace(1.0, think=chance.uniform(0.02, 0.06), jitter_ms=JITTER_MS)
        before = person.line.playout.counters()["underruns"]
        waits.append(await _asked(person, service, speech("and then", RATE), 2.0))
        await person.until(lambda: not person.line.playout.active(), 10)
        dry.append(person.line.playout.counters()["underruns"] - before)
        await asyncio.sleep(0.3)
    name = service.name
    return [
        figure(f"paced_delta_to_sound_{name}_p50", percentile(waits[ADAPTING:], 50), "ms", "<= 100"),
        figure(f"paced_delta_to_sound_{name}_worst", max(waits), "ms", "<= 100"),
        figure(f"underruns_while_adapting_{name}", sum(dry[:ADAPTING]), "underruns"),
        figure(f"underruns_{name}", sum(dry[ADAPTING:]), "underruns", "<= 0"),
    ]


async def talked_over(stage: Stage, service: TimedService) -> list[Figure]:
    """Each interruption is the next question, so that every answer from the first on is talked over."""
    person = stage.enter(KIND, [service.provider])
    await person.until(lambda: person.session.link.up, 20)
    chance = random.Random(2)
    delays: list[float] = []
    errors: list[float] = []
    reported: list[float] = []
    service.pace(4.0, think=0.03)
    await _asked(person, service, speech(QUESTION, RATE), 8.0)
    for number in range(BARGE_INS):
        # While it is still being sent, or after: a cancel that crosses the end on its way is refused.
        await asyncio.sleep(chance.choice((chance.uniform(0.6, 1.3), chance.uniform(2.3, 2.9))))
        since, answer = len(person.played), len(service.sounded_at()) - 1
        service.will_say("It goes on and on and on and on.", 8.0)
        question = _interruption(number, chance)
        person.say(question)
        await asyncio.sleep(len(question) / RATE + 0.1)
        onset = person.began_at + int(np.argmax(np.abs(question) > LOUD)) / RATE
        delays.append((_last_loud(person, since, onset) - onset) * 1000)
        heard = _heard_ms(person, since)
        reported.append(_interrupted_ms(person) - heard)
        told = service.truncated_ms()[answer]
        if told is not None:
            errors.append(told - heard)
        await person.until(partial(_more_answers, service, number + 2), 10)
        await person.until(partial(_sounds_since, person, len(person.played)), 10)
    name = service.name
    return [
        figure(f"barge_in_{name}_first_reply", delays[0], "ms", "<= 250"),
        figure(f"barge_in_{name}_p50", percentile(delays, 50), "ms", "<= 180"),
        figure(f"barge_in_{name}_p95", percentile(delays, 95), "ms", "<= 250"),
        figure(f"barge_in_{name}_trials", len(delays), "trials", ">= 20"),
        *_error_figures(f"truncate_error_{name}", errors),
        *_error_figures(f"heard_error_{name}", reported),
    ]


def _interruption(number: int, chance: random.Random) -> Samples:
    """Another sentence, another voice, and another place in the line's period each time."""
    text, voice = (
        INTERRUPTIONS[number % len(INTERRUPTIONS)],
        VOICES[number // len(INTERRUPTIONS) % len(VOICES)],
    )
    return speech(text, RATE, voice=voice, lead=chance.uniform(0.0, PERIOD))


def _error_figures(name: str, errors: list[float]) -> list[Figure]:
    """None where nothing was told: Gemini Live cannot be."""
    if not errors:
        return []
    return [
        figure(f"{name}_worst", max(abs(error) for error in errors), "ms", "<= 20"),
        figure(f"{name}_median_signed", percentile(errors, 50), "ms"),
        figure(f"{name}_trials", len(errors), "trials", ">= 20"),
    ]


def _more_answers(service: TimedService, count: int) -> bool:
    return len(service.sounded_at()) >= count


def _sounds_since(person: Person, since: int) -> bool:
    return any(block.any() for block in person.played[since:])


def _last_loud(person: Person, since: int, onset: float) -> float:
    """The end of the last sound that the speaker took since then."""
    last = onset
    for at, block in zip(person.played_at[since:], person.played[since:], strict=False):
        loud = np.flatnonzero(np.abs(block.astype(np.int32)) > FLAT)
        if len(loud):
            last = at + (int(loud[-1]) + 1) / RATE
    return last


def _interrupted_ms(person: Person) -> float:
    """What the newest `interrupted` says was heard."""
    return next(event.heard_ms for _, event in reversed(person.events) if isinstance(event, Interrupted))


def _heard_ms(person: Person, since: int) -> float:
    """How much was played of the answer that was talked over: the sound around block `since`, which noise fills."""
    begin = since
    while begin and person.played[begin - 1].any():
        begin -= 1
    return sum(int(np.count_nonzero(block)) for block in person.played[begin:]) * 1000 / RATE
