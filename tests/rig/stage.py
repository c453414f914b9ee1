"""Real lines in real time without devices: people whose voice is fed as a driver feeds it, and speakers that record.

One clock serves all lines of a stage, so that many conversations can be held at once in one process.
"""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from appliance import plugins
from appliance.agents.agent import Agent, agent_from
from appliance.audio.capture import Captured
from appliance.audio.vad import load_confirm, load_detector
from appliance.bus import EventBus
from appliance.config.schema import Agent as AgentSection
from appliance.config.schema import Conversation, Vad
from appliance.events import Event
from appliance.interfaces import EchoCanceller, LineKind, Provider, Tool
from appliance.session.line import Line
from appliance.session.lines import Ears, Lines
from appliance.session.place import Surroundings
from appliance.session.session import Session
from tests.fakes.voice import FakeVoice
from tests.rig.booth import Shelf
from tests.rig.sounds import Samples

PERIOD = 0.02
RATES = {LineKind.ROOM: 48_000, LineKind.PHONE: 16_000, LineKind.CLIENT: 16_000}


@dataclass
class Person:
    """Somebody at a line. `played` is what their speaker was given, at the line's rate."""

    line: Line
    session: Session
    rate: int
    events: list[tuple[float, Event]]
    lines: Lines
    captured: list[bytes] = field(default_factory=list)
    """What the line made of the microphone's sound, 16 kHz, while they talk: echo, noise and rate are dealt with."""
    saying: Samples = field(default_factory=lambda: np.zeros(0, np.int16))
    played: list[Samples] = field(default_factory=list)
    played_at: list[float] = field(default_factory=list)
    """The monotonic second at which the speaker took each block of `played`."""
    began_at: float = 0.0
    """Monotonic second at which the first sample of what they say was, or will be, at the microphone."""

    def say(self, samples: Samples) -> None:
        """Begin to say `samples`, at the line's rate, with the next period."""
        self.saying = samples
        self.began_at = 0.0

    def tick(self, due: float) -> None:
        size = round(self.rate * PERIOD)
        block, self.saying = self.saying[:size], self.saying[size:]
        if len(block) and not self.began_at:
            self.began_at = due - PERIOD
        self.line.capture.feed(block.astype("<i2").tobytes().ljust(2 * size, b"\0"), due)
        self.played_at.append(time.monotonic())
        self.played.append(np.frombuffer(self.line.pull(size), dtype="<i2"))

    def loud(self) -> bool:
        """Something has been played."""
        return any(block.any() for block in self.played)

    def sound(self) -> Samples:
        return np.concatenate(self.played) if self.played else np.zeros(0, np.int16)

    async def until(self, holds: Callable[[], bool], seconds: float) -> None:
        async with asyncio.timeout(seconds):
            # What it waits for happens on threads that wake nobody.
            while not holds():  # noqa: ASYNC110
                await asyncio.sleep(0.02)


class Stage:
    """`async with` runs the clock and closes all lines at the end."""

    def __init__(self) -> None:
        self.people: list[Person] = []
        self._gone: list[Person] = []
        self._clock: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._clock = asyncio.create_task(self._tick())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._clock is not None:
            self._clock.cancel()
            await asyncio.gather(self._clock, return_exceptions=True)
        await asyncio.gather(*(person.lines.close("over") for person in [*self.people, *self._gone]))

    def enter(
        self,
        kind: LineKind,
        providers: Sequence[Provider],
        *,
        tools: dict[str, Tool] | None = None,
        **conversation: Any,
    ) -> Person:
        """A person at a line of their own, with a session."""
        bus = EventBus()
        events: list[tuple[float, Event]] = []
        bus.listen(lambda event: events.append((time.monotonic(), event)))
        around = Surroundings(
            bus=bus,
            providers=providers,
            journal=Shelf(),
            voice=FakeVoice(),
            conversation=Conversation(**conversation),
            vad=Vad(),
            chance=random.Random(len(self.people)),
        )
        ears = Ears(lambda: load_detector("webrtc"), lambda: load_confirm("auto"), _canceller)
        agents: dict[str, Agent] = {
            "assistant": agent_from("assistant", AgentSection(tools=tuple(tools or ())), tools or {})
        }
        lines = Lines(around, agents, ears)
        rate = RATES[kind]
        line = lines.open_line(kind, capture_rate=rate, playout_rate=rate)
        person = Person(line, lines.open_session(line), rate, events, lines)
        self.people.append(person)
        _tap(person)
        return person

    def leave(self, person: Person) -> None:
        """Nothing more is said or played there; what was stays to be looked at."""
        self._gone.append(person)
        self.people.remove(person)

    async def _tick(self) -> None:
        due = time.monotonic()
        while True:
            due += PERIOD
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            for person in tuple(self.people):
                person.tick(due)


def _tap(person: Person) -> None:
    """Keep what the session is given to hear."""
    hear = person.session.hear

    def listen(captured: Captured) -> None:
        if person.began_at:
            person.captured.append(captured.frame.pcm)
        hear(captured)

    setattr(person.session, "hear", listen)  # noqa: B010 - a tap on the wire, which changes nothing


def _canceller() -> EchoCanceller:
    canceller: EchoCanceller = plugins.load("appliance.echo_cancellers", "webrtc")()
    return canceller
