"""The appliance as a whole: how long sound stays inside it, how fast it starts, what it takes idle and in a call."""

import asyncio
import functools
import random
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from appliance import plugins
from appliance.agents.agent import agent_from
from appliance.audio.vad import load_confirm, load_detector
from appliance.bus import EventBus
from appliance.config.schema import Agent as AgentSection
from appliance.config.schema import Conversation, Vad
from appliance.interfaces import EchoCanceller, LineKind, ProviderCommand, ResponseAudio, SendAudio
from appliance.session.line import Line
from appliance.session.lines import Ears, Lines
from appliance.session.place import Surroundings
from tests.fakes.provider import FakeProvider
from tests.fakes.provider_connection import FakeConnection
from tests.fakes.voice import FakeVoice
from tests.rig.appliance import Handset
from tests.rig.booth import Shelf
from tests.rig.sound_server import SoundServer
from tests.rig.spoken import silence, speech
from tests.rig.telephone_sound import Talker, calling

Figure = dict[str, Any]
SENTENCE = "this is a long sentence that somebody says without a pause so that there are many frames of it to look at"
ROUNDS = 6
PRE_ROLL_IS_OLDER_MS = 45.0
IDLE_SECONDS = 5.0
CALL_SECONDS = 60.0


def measure() -> list[Figure]:
    """All figures; about two and a half minutes."""
    return [
        *asyncio.run(_inside("phone", LineKind.PHONE, 16_000, 0.02)),
        *asyncio.run(_inside("room", LineKind.ROOM, 48_000, 0.01)),
        *asyncio.run(_start()),
        *asyncio.run(_idle_and_call()),
    ]


def _figure(name: str, value: float, unit: str, goal: str = "") -> Figure:
    return {"name": name, "value": round(value, 2), "unit": unit, "goal": goal}


# --- how long sound stays inside -------------------------------------------------------------------------------------


class _Clocked(FakeConnection):
    """Notes how old the oldest sample of each frame is when it is handed over, and when audio is sent back."""

    async def send(self, command: ProviderCommand) -> None:
        provider = self._provider
        assert isinstance(provider, _ClockedProvider)
        if isinstance(command, SendAudio):
            age = (time.monotonic() - command.frame.at) * 1000 + command.frame.duration_ms
            if provider.live_turn != command.turn and age < PRE_ROLL_IS_OLDER_MS:
                provider.live_turn = command.turn
            if provider.live_turn == command.turn:
                provider.ages.append(age)
        await super().send(command)

    def _emit(self, event: Any) -> None:
        provider = self._provider
        assert isinstance(provider, _ClockedProvider)
        if isinstance(event, ResponseAudio):
            provider.sent.setdefault(event.response, time.monotonic())
        super()._emit(event)


class _ClockedProvider(FakeProvider):
    def __init__(self) -> None:
        super().__init__()
        self.live_turn = 0
        """The turn whose pre-roll is over: that is as old as it has to be, and does not count."""
        self.ages: list[float] = []
        self.sent: dict[str, float] = {}

    async def connect(self, setup: Any) -> FakeConnection:
        connection = _Clocked(self, setup)
        self.connections.append(connection)
        return connection


class _Card:
    """A sound card or a telephone: on a thread of its own gives a block, and takes one, each `period`."""

    def __init__(self, line: Line, rate: int, period: float) -> None:
        self._line = line
        self._size = round(rate * period)
        self._period = period
        self._saying = np.zeros(0, np.int16)
        self._over = threading.Event()
        self.rate = rate
        self.sounded: list[float] = []
        self._loud = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def say(self, samples: Any) -> None:
        self._saying = np.concatenate((self._saying, samples))

    def sounded_beyond(self, times: int) -> bool:
        return len(self.sounded) > times

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._over.is_set():
            due += self._period
            time.sleep(max(0.0, due - time.monotonic()))
            block, self._saying = self._saying[: self._size], self._saying[self._size :]
            block = np.pad(block, (0, self._size - len(block)))
            self._line.capture.feed(block.astype("<i2").tobytes(), due)
            played = np.frombuffer(self._line.playout.pull(self._size), dtype="<i2")
            loud = bool(np.abs(played).max() > 100)
            if loud and not self._loud:
                self.sounded.append(time.monotonic())
            self._loud = loud


async def _inside(name: str, kind: LineKind, rate: int, period: float) -> list[Figure]:
    provider = _ClockedProvider()
    around = Surroundings(
        EventBus(), [provider], Shelf(), FakeVoice(), Conversation(), Vad(), random.Random(1)
    )
    ears = Ears(lambda: load_detector("webrtc"), lambda: load_confirm("auto"), _canceller)
    agent = agent_from("assistant", AgentSection(tools=()), {})
    lines = Lines(around, {"assistant": agent}, ears)
    line = lines.open_line(kind, capture_rate=rate, playout_rate=rate)
    lines.open_session(line)
    card = _Card(line, rate, period)
    card.start()
    pieces: list[float] = []
    for _ in range(ROUNDS):
        provider.will_say("Yes.", 0.5)
        before = len(card.sounded)
        card.say(np.concatenate((speech(SENTENCE, rate), silence(0.5, rate))))
        await _until(functools.partial(card.sounded_beyond, before))
        answer = provider.answers[-1].response
        pieces.append((card.sounded[before] - provider.sent[answer]) * 1000)
        await asyncio.sleep(1.0)
    card.stop()
    live = provider.ages
    await lines.close("over")
    return [
        _figure(f"capture_to_provider_{name}_p50", float(np.percentile(live, 50)), "ms", "<= 23"),
        _figure(f"capture_to_provider_{name}_p99", float(np.percentile(live, 99)), "ms", "<= 35"),
        _figure(f"capture_to_provider_{name}_frames", len(live), "frames"),
        _figure(f"provider_to_speaker_{name}_p50", statistics.median(pieces), "ms", "<= 25"),
    ]


def _canceller() -> EchoCanceller:
    canceller: EchoCanceller = plugins.load("appliance.echo_cancellers", "webrtc")()
    return canceller


async def _until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("it did not come about")
        await asyncio.sleep(0.005)


# --- the process -----------------------------------------------------------------------------------------------------


async def _start() -> list[Figure]:
    taken: list[float] = []
    with SoundServer() as server:
        for _ in range(5):
            async with Handset(sound=server, sip={}) as handset:
                taken.append(time.monotonic() - handset.began)
    return [_figure("run_to_ready_median", statistics.median(taken), "s", "<= 1.0")]


async def _idle_and_call() -> list[Figure]:
    with SoundServer() as server:
        async with Handset(sound=server, sip={}) as handset:
            await asyncio.sleep(IDLE_SECONDS)
            idle = handset.footprint()
            cpu_before, began = handset.cpu_seconds(), time.monotonic()
            await asyncio.sleep(IDLE_SECONDS)
            idle_cpu = (handset.cpu_seconds() - cpu_before) * 60 / (time.monotonic() - began)
            async with calling(handset.sip_port) as caller:
                talker = Talker(caller)
                await talker.ask("what time is it")
                cpu_before, began = handset.cpu_seconds(), time.monotonic()
                most, most_sip, answers = 0.0, 0.0, 0
                while time.monotonic() - began < CALL_SECONDS:
                    await talker.ask(("what is twelve times seven", "what time is it", "help")[answers % 3])
                    answers += 1
                    now = handset.footprint()
                    most, most_sip = max(most, now.rss_mb), max(most_sip, now.sip_rss_mb)
                cpu = (handset.cpu_seconds() - cpu_before) * 60 / (time.monotonic() - began)
    return [
        _figure("rss_idle", idle.rss_mb, "MB", "<= 70"),
        _figure("rss_idle_sip_process", idle.sip_rss_mb, "MB", "<= 60"),
        _figure("cpu_idle", idle_cpu, "s per min"),
        _figure("rss_in_offline_call", most, "MB", "<= 150"),
        _figure("rss_in_call_sip_process", most_sip, "MB", "<= 60"),
        _figure("cpu_in_offline_call", cpu, "s per min", "<= 3"),
        _figure("answers_in_that_call", answers, "answers"),
    ]
