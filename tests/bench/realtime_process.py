"""The appliance with a realtime provider as a process: what it takes idle and in a call, how soon it is silent when it
is talked over on the telephone (RTP to RTP), and how soon it hears after its start."""

import asyncio
import random
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.barge_in import silent_from
from tests.rig.appliance import Handset
from tests.rig.room_person import RoomPerson
from tests.rig.sound_server import SoundServer
from tests.rig.spoken import speech
from tests.rig.telephone_sound import LOUD, RATE, Talker, calling, from_mu_law
from tests.rig.timed_services import TIMED_SERVICES, TimedService

Figure = dict[str, Any]
AS_DELIVERED = Path(__file__).with_name("as_delivered")
IDLE_SECONDS = 3.0
CALL_SECONDS = 40.0
ANSWER_SECONDS = 2.5
STARTS = 5
BARGE_INS = 24
LONG_SECONDS = 8.0
INTERRUPTIONS = (
    "alright wait a moment please i have heard enough",
    "no stop that is not what i wanted to know",
    "excuse me may i ask you something else instead",
)
VOICES = ("flite:rms", "flite:slt", "espeak-ng:en-us", "flite:awb")
FLAT = 100
QUESTIONS = ("what is twelve times seven", "what time is it over there", "tell me about the weather")
SPEECH = "one two three four five six seven eight nine ten " * 8


def figures() -> list[Figure]:
    """All of it; about six minutes."""
    return [each for name in TIMED_SERVICES for each in asyncio.run(_service(name))]


async def _service(name: str) -> list[Figure]:
    async with TIMED_SERVICES[name](in_daemon=True) as service:
        return [*await call(service), *await talked_over(service), *await _start(service)]


def _figure(name: str, value: float, unit: str, goal: str = "") -> Figure:
    return {"name": name, "value": round(value, 2), "unit": unit, "goal": goal}


def _appliance(service: TimedService, **more: Any) -> Handset:
    sections: dict[str, Any] = {**service.daemon, "agents.assistant": {"tools": []}, **more}
    sections["environ"] = {**sections.get("environ", {}), "PYTHONPATH": str(AS_DELIVERED)}
    return Handset(**sections)


async def call(service: TimedService, *, most_mb: int = 95) -> list[Figure]:
    """A dialogue on the telephone: a question, an answer, a breath."""
    name = service.name
    async with _appliance(service, sip={}) as handset:
        await asyncio.sleep(IDLE_SECONDS)
        idle = handset.footprint()
        async with calling(handset.sip_port) as caller:
            talker = Talker(caller)
            service.will_say("It is noon.", ANSWER_SECONDS)
            await talker.ask(QUESTIONS[0])
            before, of_daemon, began = handset.cpu_seconds(), _daemon_cpu(handset), time.monotonic()
            most, most_sip, answers = 0.0, 0.0, 0
            while time.monotonic() - began < CALL_SECONDS:
                service.will_say("It is noon.", ANSWER_SECONDS)
                await talker.ask(QUESTIONS[answers % len(QUESTIONS)])
                answers += 1
                now = handset.footprint()
                most, most_sip = max(most, now.rss_mb), max(most_sip, now.sip_rss_mb)
            minutes = (time.monotonic() - began) / 60
            whole = (handset.cpu_seconds() - before) / minutes
            own = (_daemon_cpu(handset) - of_daemon) / minutes
    assert not service.violations, service.violations
    return [
        _figure(f"rss_idle_{name}", idle.rss_mb, "MB", "<= 70"),
        _figure(f"rss_in_call_{name}", most, "MB", f"<= {most_mb}"),
        _figure(f"rss_in_call_{name}_sip_process", most_sip, "MB", "<= 60"),
        _figure(f"cpu_in_call_{name}", own, "s per min", "<= 4.5"),
        _figure(f"cpu_in_call_{name}_with_sip_process", whole, "s per min"),
        _figure(f"answers_in_that_call_{name}", answers, "answers"),
    ]


def _daemon_cpu(handset: Handset) -> float:
    times = handset.family()[0].cpu_times()
    return float(times.user + times.system)


async def talked_over(service: TimedService) -> list[Figure]:
    """On the telephone; each interruption is the next question, so that every answer is talked over."""
    chance = random.Random(4)
    delays: list[float] = []
    errors: list[float] = []
    async with _appliance(service, sip={}) as handset, calling(handset.sip_port) as caller:
        talker = Talker(caller)
        service.pace(4.0, think=0.05)
        service.will_say("It goes on and on and on and on.", LONG_SECONDS)
        talker.say(QUESTIONS[0])
        for number in range(BARGE_INS):
            since = len(caller.arrived)
            await talker.sounds(since=since)
            # While it is still being sent, or after: a cancel that crosses the end on its way is refused.
            await asyncio.sleep(chance.choice((chance.uniform(0.3, 1.0), chance.uniform(2.3, 2.9))))
            service.will_say("It goes on and on and on and on.", LONG_SECONDS)
            sent, mark = len(caller.sent), handset.client.mark
            text, voice = INTERRUPTIONS[number % len(INTERRUPTIONS)], VOICES[number % len(VOICES)]
            lasts = talker.say(speech(text, RATE, voice=voice, lead=chance.uniform(0.0, 0.02)))
            await asyncio.sleep(lasts)
            onset = next(came for came, payload in caller.sent[sent:] if _peak(payload) > LOUD)
            pieces = [(came, _peak(payload) > FLAT) for came, payload in caller.arrived[since:]]
            delays.append((silent_from(pieces, onset, onset + lasts - 0.1) - onset) * 1000)
            heard = sum(int(np.count_nonzero(from_mu_law(payload))) for _, payload in caller.arrived[since:])
            told = await handset.client.event("interrupted", since=mark)
            errors.append(told["heard_ms"] - heard * 1000 / RATE)
    assert not service.violations, service.violations
    name = service.name
    return [
        _figure(f"barge_in_on_a_call_{name}_first_reply", delays[0], "ms", "<= 250"),
        _figure(f"barge_in_on_a_call_{name}_p50", float(np.percentile(delays, 50)), "ms", "<= 180"),
        _figure(f"barge_in_on_a_call_{name}_p95", float(np.percentile(delays, 95)), "ms", "<= 250"),
        _figure(f"barge_in_on_a_call_{name}_trials", len(delays), "trials", ">= 20"),
        _figure(f"heard_error_on_a_call_{name}_p50", statistics.median(errors), "ms"),
        _figure(f"heard_error_on_a_call_{name}_worst", max(map(abs, errors)), "ms", "<= 20"),
    ]


def _peak(payload: bytes) -> int:
    return int(np.abs(from_mu_law(payload).astype(int)).max())


async def _start(service: TimedService) -> list[Figure]:
    """Somebody talks in the room all the time: from the start of the process to their first sample at the service."""
    taken: list[float] = []
    for _ in range(STARTS):
        with SoundServer() as server, RoomPerson(server) as person:
            person.say(SPEECH)
            began = time.monotonic()
            async with _appliance(service, sound=server) as handset:
                while service.first_audio_at() < began:  # noqa: ASYNC110 - the fake is asked, it tells nobody
                    await asyncio.sleep(0.01)
                taken.append((service.first_audio_at() - handset.began) * 1000)
    return [_figure(f"run_to_first_audio_{service.name}_median", statistics.median(taken), "ms", "<= 600")]
