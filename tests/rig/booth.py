"""A person, a line and a session in virtual time: the person's voice goes in as captured frames, the speaker records.

async with Booth() as booth:
    booth.provider.will_say("It is noon.", seconds=2.0)
    await booth.speak(1.0)
    await booth.idle()
    assert booth.heard(booth.provider.answers[0].level) == 2000
"""

import asyncio
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

import numpy as np

from appliance.agents.agent import Agent, agent_from
from appliance.audio.capture import Captured
from appliance.audio.vad import Edge
from appliance.bus import EventBus
from appliance.config.schema import Agent as AgentSection
from appliance.config.schema import Conversation, Limits, Room, Vad
from appliance.errors import ApplianceError
from appliance.events import Event, SpeechStarted, SpeechStopped
from appliance.frames import Frame
from appliance.interfaces import (
    Capabilities,
    Delivery,
    EchoCanceller,
    HistoryItem,
    LineKind,
    Provider,
    Tool,
    ToolDeclaration,
)
from appliance.session.checkpoint import Checkpoints
from appliance.session.context import PhoneActions
from appliance.session.line import Line
from appliance.session.lines import Ears, Lines
from appliance.session.place import Surroundings
from appliance.session.session import Session
from appliance.session.turn import Phase
from appliance.session.usage import Usage
from tests.fakes.provider import FAST, FakeProvider
from tests.fakes.voice import FakeVoice

RATE = 16_000
FRAME_SECONDS = 0.02
FRAME_SAMPLES = 320
START_MS = 60
HANGOVER_MS = 600
E = TypeVar("E", bound=Event)


class NoDetector:
    """The booth makes captured frames itself: the lines' own capture thread hears nothing."""

    rate = RATE
    frame_samples = FRAME_SAMPLES

    def likelihood(self, pcm: bytes) -> float:
        return 0.0

    def reset(self) -> None:
        return


class Microphone:
    """20 ms a time, with the detector's edges: an onset after 60 ms of voice, its end after 600 ms without.

    Every frame's samples carry the frame's number, so that what arrives can be told apart.
    """

    def __init__(self, sink: Callable[[Captured], None]) -> None:
        self.voiced = False
        self.frames = 0
        self.voiced_frames: list[int] = []
        self.spoken_frames: list[int] = []
        """The voiced ones that the detector took for speech, its 60 ms before the onset included."""
        self._run: list[int] = []
        self._sink = sink
        self._run_ms = 0
        self._gap_ms = 0
        self._speech = False

    @property
    def number(self) -> int:
        """The newest frame's."""
        return 1 + self.frames % 30_000

    def tick(self, now: float) -> None:
        self.frames += 1
        number = self.number
        edge: Edge | None = None
        if self.voiced:
            self.voiced_frames.append(number)
            self._run_ms += 20
            self._gap_ms = 0
            self._run.append(number)
            if not self._speech and self._run_ms >= START_MS:
                self._speech, edge = True, Edge.STARTED
            if self._speech:
                self.spoken_frames += self._run
                self._run.clear()
        else:
            self._gap_ms += 20
            self._run.clear()
            if not self._speech:
                self._run_ms = 0
            elif self._gap_ms >= HANGOVER_MS:
                self._speech, edge, self._run_ms = False, Edge.STOPPED, 0
        frame = Frame(np.full(FRAME_SAMPLES, number, dtype="<i2").tobytes(), RATE, now)
        level = -20.0 if self.voiced else -70.0
        self._sink(Captured(frame, self._speech, edge, float(self._run_ms if self._speech else 0), level))


class Speaker:
    """Takes 20 ms a time, as a driver does, and keeps all of it. `blocks` are (second, samples)."""

    def __init__(self, line: Line) -> None:
        self.blocks: list[tuple[float, np.ndarray[Any, np.dtype[np.int16]]]] = []
        self.gone = False
        self._line = line

    def tick(self, now: float) -> None:
        if not self.gone:
            self.blocks.append((now, np.frombuffer(self._line.pull(FRAME_SAMPLES), dtype="<i2")))

    def heard_ms(self, level: int, since: float = 0.0) -> float:
        """How much was played of what has the sample value `level`."""
        blocks = [block for at, block in self.blocks if at >= since]
        return int((np.concatenate(blocks) == level).sum()) * 1000 / RATE if blocks else 0.0

    def silent_since(self) -> float:
        """The second of the last block that was not silence."""
        return max((at for at, block in self.blocks if block.any()), default=0.0)


class Clockwork:
    """A tool that takes its time."""

    declarations: Sequence[ToolDeclaration] = (
        ToolDeclaration("time_now", "The time.", {"type": "object", "properties": {}}),
        ToolDeclaration("leave", "Hang up.", {"type": "object", "properties": {}}),
        ToolDeclaration("remind", "Remind.", {"type": "object", "properties": {}}),
        ToolDeclaration("look_up", "Look it up.", {"type": "object"}, Delivery.WHEN_IDLE),
        ToolDeclaration("watch", "Watch the oven.", {"type": "object"}, Delivery.INTERRUPT),
        ToolDeclaration("note", "Remember.", {"type": "object"}, Delivery.SILENT),
    )

    def __init__(self) -> None:
        self.seconds = 0.3
        self.begun = 0
        self.ended = 0
        self.contexts: list[Any] = []

    async def run(self, function: str, arguments: Mapping[str, Any], context: Any) -> Mapping[str, Any]:
        self.begun += 1
        self.contexts.append(context)
        if function == "leave":
            await context.hang_up()
            return {}
        await asyncio.sleep(arguments.get("seconds", self.seconds))
        if arguments.get("fail"):
            raise ApplianceError("The clock stands still.")
        self.ended += 1
        return {"time": "noon"}


@dataclass
class Shelf:
    """Keeps what the store would."""

    rows: list[tuple[Any, ...]] = field(default_factory=list)

    def begin_session(self, session: str, line: str, agent: str, at: float, user: str = "") -> None:
        self.rows.append(("begin", session, line, agent))

    def add_turn(self, session: str, turn: int, role: str, text: str, heard: str | None, at: float) -> None:
        self.rows.append(("turn", turn, role, text, heard))

    def end_session(self, session: str, reason: str, at: float) -> None:
        self.rows.append(("end", session, reason))


class Booth:
    """One line (a phone line, unless told otherwise) with its person. `async with` starts and, at the end, checks."""

    def __init__(
        self,
        *,
        kind: LineKind = LineKind.PHONE,
        providers: Sequence[Provider] | None = None,
        greeting: str = "",
        room: Room | None = None,
        phone: PhoneActions | None = None,
        canceller: Callable[[], EchoCanceller | None] = lambda: None,
        open_session: bool = True,
        strict: bool = True,
        limits: Limits | None = None,
        usage: Usage | None = None,
        capabilities: Capabilities = FAST,
        checkpoints: Checkpoints | None = None,
        **conversation: Any,
    ) -> None:
        self.provider = FakeProvider(capabilities=capabilities)
        self.voice = FakeVoice()
        self.clock = Clockwork()
        self.shelf = Shelf()
        self.bus = EventBus()
        self.events: list[tuple[float, Event]] = []
        self.frame_at: dict[int, int] = {}
        """By id of a speech event: the number of the microphone's newest frame."""
        self.closed: list[tuple[str, str, str]] = []
        self._providers = providers or [self.provider]
        self._kind = kind
        self._greeting = greeting
        self._room = room
        self._phone = phone
        self._canceller = canceller
        self._open_session = open_session
        self._strict = strict
        self._limits = limits or Limits()
        self.usage = usage or Usage(self._limits.minutes_per_day)
        self._checkpoints = checkpoints or Checkpoints()
        self._conversation = Conversation(**conversation)
        self.faults: list[str] = []
        """What the loop was told of exceptions that nobody caught."""
        self._ticking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self.loop = asyncio.get_running_loop()
        self.loop.set_exception_handler(self._note_fault)
        self.bus.listen(self._note)
        around = Surroundings(
            self.bus,
            self._providers,
            self.shelf,
            self.voice,
            self._conversation,
            Vad(),
            random.Random(1),
            limits=self._limits,
            usage=self.usage,
            checkpoints=self._checkpoints,
        )
        self.agent = self._make_agent()
        self.lines = Lines(
            around,
            {"assistant": self.agent},
            Ears(NoDetector, canceller=self._canceller),
            room=self._room,
            phone=self._phone,
            on_closed=lambda line, session, reason: self.closed.append((line.id, session.id, reason)),
        )
        self.line = self.lines.open_line(self._kind, capture_rate=RATE, playout_rate=RATE)
        self.microphone = Microphone(self.line.hear)
        self.speaker = Speaker(self.line)
        self._ticking = self.loop.create_task(self._tick())
        if self._open_session:
            self.lines.open_session(self.line)
            await asyncio.sleep(0.2)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        await self.lines.close("test over")
        assert self._ticking is not None
        self._ticking.cancel()
        await asyncio.wait({self._ticking})
        if kind is None:
            assert self.faults == []
            if self._strict:
                assert self.provider.violations == []
            left = {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}
            assert not left, f"tasks are left: {left}"

    def _make_agent(self) -> Agent:
        tool: Tool = self.clock
        return agent_from(
            "assistant", AgentSection(greeting=self._greeting, tools=("clock",)), {"clock": tool}
        )

    def _note(self, event: Event) -> None:
        self.events.append((self.loop.time(), event))
        if isinstance(event, SpeechStarted | SpeechStopped):
            self.frame_at[id(event)] = self.microphone.number

    def _note_fault(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.faults.append(f"{context['message']}: {context.get('exception')!r}")

    async def _tick(self) -> None:
        while True:
            now = self.loop.time()
            if not self.line.deaf:
                self.microphone.tick(now)
            self.speaker.tick(now)
            await asyncio.sleep(FRAME_SECONDS)

    # --- what the person does ---

    @property
    def session(self) -> Session:
        assert self.line.session is not None
        return self.line.session

    async def speak(self, seconds: float) -> None:
        """Talk for so long; returns with the last sound."""
        self.microphone.voiced = True
        await asyncio.sleep(seconds)
        self.microphone.voiced = False

    async def answered(self, speech: float = 0.8, seconds: float = 30.0) -> None:
        """Talk for so long and hear the answer, which begins within `seconds`, to its end."""
        await self.speak(speech)
        await self.state("speaking", seconds)
        await self.idle()

    def another_session(self) -> Session:
        """Of another person, on a line of its own."""
        line = self.lines.open_line(LineKind.CLIENT, capture_rate=RATE, playout_rate=RATE)
        return self.lines.open_session(line)

    async def wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def until(self, what: Callable[[], bool], seconds: float = 30.0) -> float:
        """Wait for it; return how long it took. Fails after `seconds`."""
        begun = self.loop.time()
        while not what():
            if self.loop.time() - begun > seconds:
                raise AssertionError(f"it did not happen within {seconds} s")
            await asyncio.sleep(0.01)
        return self.loop.time() - begun

    async def state(self, state: str, seconds: float = 30.0) -> float:
        """Wait for the turn to be in `state`."""
        return await self.until(lambda: self.session.turn_state.value == state, seconds)

    async def active(self, seconds: float = 30.0) -> float:
        """Wait for the session to have a connection."""
        return await self.until(lambda: self.session.state == "active", seconds)

    async def on(self, provider: str, seconds: float = 30.0) -> float:
        """Wait for the session to be held with `provider`."""
        return await self.until(lambda: self.session.provider == provider, seconds)

    async def redialled(self, times: int = 1, seconds: float = 30.0) -> float:
        """Wait for the provider to have been connected to so many times after the first."""
        return await self.until(lambda: len(self.provider.connections) == times + 1, seconds)

    async def idle(self, seconds: float = 60.0) -> float:
        """Wait until the floor is free, and stays so for a moment; return how long it took to be free."""
        begun = free = self.loop.time()
        while self.loop.time() - free < 0.2:
            if self.session.turn_state.value != "idle":
                await self.state("idle", seconds - (self.loop.time() - begun))
                free = self.loop.time()
            await asyncio.sleep(0.01)
        return free - begun

    async def at_rest(self) -> None:
        """Wait until nothing is owed to anybody, and see that it stays so when it is let alone."""
        for let_alone in (0.5, 5.0):
            await self.wait(let_alone)
            while self.session.phase is not Phase.IDLE:
                await self.wait(0.2)
                assert self.loop.time() < 2000, "the floor never came free"

    # --- what is seen ---

    def of(self, kind: type[E]) -> list[E]:
        return [event for _, event in self.events if isinstance(event, kind)]

    def when(self, kind: type[Event], **fields: Any) -> float:
        """The second of the last event like that."""
        return next(
            at
            for at, event in reversed(self.events)
            if isinstance(event, kind)
            and all(getattr(event, name) == value for name, value in fields.items())
        )

    def words(self) -> list[str]:
        """What was said, of both sides, as the session's history has it."""
        return [item.text for item in self.session.history if isinstance(item, HistoryItem)]

    def began(self, level: int) -> float:
        """The second at which the sample value `level` was first played."""
        return next((at for at, block in self.speaker.blocks if (block == level).sum() > 8), math.inf)

    def heard(self, level: int, since: float = 0.0) -> float:
        """Milliseconds played of what has the sample value `level`."""
        return self.speaker.heard_ms(level, since)
