"""A provider for tests: answers as it is told, and writes down every command that makes no sense.

    provider.will_say("It is noon.", seconds=2.0)   # the next answer
    provider.will_call("time_now", {}, then=Say("It is noon.", 2.0))
    provider.never_finish()                         # the next answer begins and breaks off
    provider.drop()                                 # the connection is lost
    provider.hang_in_connect()                      # the next dial never comes back
    provider.refuse_with(QuotaExhausted("empty"))   # the next dial fails with that
    provider.break_off(QuotaExhausted("empty"))     # the connection ends with that
    provider.break_on_turns()                       # each connection ends that is given a turn
    provider.announce_end(10.0)                     # RenewalDue
    provider.give_handle("h1")                      # ResumptionHandle
    provider.speak("By the way.", seconds=1.0)      # it was not asked
    provider.end_turn()                             # it takes the turn that is being said for finished
    provider.withdraw_calls()                       # it wants no results any more
    assert provider.violations == []

Each answer's samples all have the same value, `Answer.level`, so that a recording shows which answer it is.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from appliance.errors import ApplianceError, CredentialsRejected, DriverMissing, ProviderUnavailable
from appliance.interfaces import (
    CalledTool,
    CancelResponse,
    Capabilities,
    CommitTurn,
    Delivery,
    DiscardTurn,
    HistoryItem,
    ProviderCommand,
    ProviderEvent,
    ProviderTrouble,
    RenewalDue,
    ResponseAudio,
    ResponseFinished,
    ResponseStarted,
    ResponseText,
    ResumptionHandle,
    SendAudio,
    SendText,
    Setup,
    ToolCall,
    ToolCallWithdrawn,
    ToolResult,
    TurnEnded,
    UserHeard,
)

FAST = Capabilities(input_rate=16_000, output_rate=16_000, truncate=True)
RESTORING = replace(FAST, restores_calls=True, server_turns=True)
FIRST_LEVEL = 500
LEVEL_STEP = 10


@dataclass(frozen=True)
class Say:
    """An answer: `text` spread evenly over `seconds` of audio, in pieces of `chunk_ms`, `speed` times real time."""

    text: str
    seconds: float
    chunk_ms: int = 100
    speed: float = 4.0
    think: float = 0.2
    finish: bool = True
    status: str = "completed"


@dataclass(frozen=True)
class Call:
    """A tool call, and what is said when its result is there."""

    tool: str
    arguments: Mapping[str, Any] | str
    then: Say
    think: float = 0.2
    unasked: bool = False
    """What is said of the result is an answer to no turn."""


@dataclass(frozen=True)
class Nothing:
    """No answer at all; or one without a sound, with `status`."""

    status: str = ""
    think: float = 0.2


@dataclass
class Answer:
    """What became of an answer."""

    response: str
    turn: int
    level: int
    say: Say
    cancelled: CancelResponse | None = None
    cancelled_at: float = 0.0
    connection: int = 0


@dataclass
class Turn:
    """What the provider received of a turn."""

    frames: list[bytes] = field(default_factory=list)
    text: str = ""
    committed: bool = False
    discarded: bool = False

    @property
    def ms(self) -> float:
        return sum(len(frame) for frame in self.frames) / 32


class FakeProvider:
    """Satisfies interfaces.Provider. Without instructions it answers "Yes." in one second."""

    def __init__(
        self, name: str = "fake", capabilities: Capabilities = FAST, first_level: int = FIRST_LEVEL
    ) -> None:
        self.name = name
        self.first_level = first_level
        self.capabilities = capabilities
        self.violations: list[str] = []
        self.connections: list[FakeConnection] = []
        self.answers: list[Answer] = []
        self.dials = 0
        self.tool_calls: list[str] = []
        self.tool_results: list[ToolResult] = []
        self.understanding_takes = 0.0
        self.reacted: set[int] = set()
        """The turns that it answered without a sound, or by a call that no answer needs to follow."""
        self.plans: dict[str, tuple[int, Say]] = {}
        self._script: deque[Say | Call | Nothing] = deque()
        self._connect_fates: deque[str | ApplianceError] = deque()
        self._down: ApplianceError | None = None
        self.connect_seconds = 0.05
        self.breaks_on_turns = False
        self.breaks_on_history = False
        self._look_seconds = 0.0
        self._load_seconds = 0.0
        self._loaded_at: float | None = 0.0
        self._load_fault: Exception | None = None
        self.dialled_at: list[float] = []
        self.setups: list[Setup] = []
        """Of every dial."""
        self.lives: float | None = None
        """Seconds that each new connection lasts; None: until it is dropped."""

    # --- what it is told ---

    def will_say(self, text: str, seconds: float, **how: Any) -> Say:
        said = Say(text, seconds, **how)
        self._script.append(said)
        return said

    def will_call(
        self,
        tool: str,
        arguments: Mapping[str, Any] | str,
        then: Say | None = None,
        think: float = 0.2,
        *,
        unasked: bool = False,
    ) -> None:
        self._script.append(Call(tool, arguments, then or Say("Done.", 1.0), think, unasked))

    def will_not_answer(self) -> None:
        self._script.append(Nothing())

    def will_be_silent(self, status: str = "silent") -> None:
        self._script.append(Nothing(status))

    def never_finish(self, seconds: float = 1.0) -> None:
        self._script.append(Say("And then", seconds, finish=False))

    def hang_in_connect(self, times: int = 1) -> None:
        self._connect_fates.extend(["hang"] * times)

    def refuse(self, times: int = 1) -> None:
        self._connect_fates.extend(["refuse"] * times)

    def refuse_with(self, *faults: ApplianceError) -> None:
        """The next dials fail so."""
        self._connect_fates.extend(faults)

    def break_off(self, fault: ApplianceError) -> None:
        """The connection ends, and says why."""
        self.connection.cut(fault)

    def break_on_turns(self, breaks: bool = True) -> None:
        """Each connection ends when it is to answer a turn."""
        self.breaks_on_turns = breaks

    def break_on_history(self) -> None:
        """Each connection that begins with a history ends at once."""
        self.breaks_on_history = True

    def announce_end(self, seconds: float) -> None:
        """The connection is to end; what ends it is up to the test."""
        self.connection.tell(RenewalDue(seconds))

    def give_handle(self, handle: str) -> None:
        self.connection.tell(ResumptionHandle(handle))

    def forget_fates(self) -> None:
        """The next dials work, unless it is down."""
        self._connect_fates.clear()

    def reject_credentials(self) -> None:
        self._connect_fates.append("reject")

    def lack_library(self) -> None:
        self._connect_fates.append("lack")

    def load_for(self, seconds: float) -> None:
        """Its library is not loaded, and takes so long from the first time that it is wanted."""
        self._load_seconds, self._loaded_at = seconds, None

    def look_for(self, seconds: float) -> None:
        """A device so busy that it takes so long, each time, to see that the library is loaded."""
        self._look_seconds = seconds

    def fail_to_load(self, fault: Exception) -> None:
        self._load_fault = fault

    def break_in_connect(self) -> None:
        """A bug of the provider's."""
        self._connect_fates.append("break")

    def drop(self) -> None:
        """The connection is lost; the next dial works."""
        for connection in self.connections:
            connection.cut()

    def go_down(self, fault: ApplianceError | None = None) -> None:
        """The connection is lost, and dials are refused until `come_up`."""
        self._down = fault or ProviderUnavailable(f"{self.name} is not there")
        self.drop()

    def come_up(self) -> None:
        self._down = None

    def tell(self, event: ProviderEvent) -> None:
        """Say something that nobody asked for, as usage."""
        self.connection.tell(event)

    def speak(self, text: str, seconds: float, **how: Any) -> None:
        """Say something that nobody asked for."""
        if self._alive:
            self.connection.begin_saying(0, Say(text, seconds, **how))

    def end_turn(self, turn: int | None = None) -> None:
        """Take `turn`, or the one that is being said, for finished."""
        if self._alive:
            open_turns = [name for name, one in self.turns.items() if not (one.committed or one.discarded)]
            for name in open_turns if turn is None else [turn]:
                self.connection.tell(TurnEnded(name))

    def withdraw_calls(self) -> None:
        if self._alive:
            self.connection.withdraw_calls()

    def understand_late(self, seconds: float) -> None:
        """What was said is understood so long after it was said."""
        self.understanding_takes = seconds

    def have_trouble(self, code: str) -> None:
        if self._alive:
            self.connection.tell(ProviderTrouble(code, "Something was wrong."))

    @property
    def loaded(self) -> bool:
        """Somebody has wanted its library, `load_for` so long ago."""
        return self._loaded_at is not None and self._loaded_at <= asyncio.get_running_loop().time()

    @property
    def _alive(self) -> bool:
        return bool(self.connections) and not self.connection.closed

    # --- what it shows ---

    @property
    def unanswered_calls(self) -> int:
        """Tool calls of the newest connection that were made and have no result yet."""
        return self.connection.unanswered_calls

    @property
    def connection(self) -> "FakeConnection":
        """The newest."""
        return self.connections[-1]

    @property
    def turns(self) -> dict[int, Turn]:
        """As the newest connection has them."""
        return self.connection.turns

    # --- interfaces.Provider ---

    async def warm(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._loaded_at is None:
            self._loaded_at = now + self._load_seconds
        await asyncio.sleep(self._loaded_at - now)
        await asyncio.sleep(self._look_seconds)
        if self._load_fault is not None:
            raise self._load_fault

    async def connect(self, setup: Setup) -> "FakeConnection":
        await self.warm()
        self.dials += 1
        self.dialled_at.append(asyncio.get_running_loop().time())
        self.setups.append(setup)
        fate = self._connect_fates.popleft() if self._connect_fates else ""
        if fate == "hang":
            await asyncio.Event().wait()
        await asyncio.sleep(self.connect_seconds)
        if isinstance(fate, ApplianceError):
            raise fate
        if fate == "reject":
            raise CredentialsRejected(f"{self.name} does not know this key")
        if fate == "lack":
            raise DriverMissing(f"{self.name} needs a library")
        if fate == "break":
            raise KeyError(fate)
        if fate == "refuse":
            raise ProviderUnavailable(f"{self.name} is not there")
        if self._down is not None:
            raise self._down
        connection = FakeConnection(self, setup)
        self.connections.append(connection)
        if self.breaks_on_history and setup.history:
            asyncio.get_running_loop().call_later(0.1, connection.cut)
        if self.lives is not None:
            asyncio.get_running_loop().call_later(self.lives, connection.cut)
        return connection

    async def close(self) -> None:
        self.drop()

    def next_answer(self) -> Say | Call | Nothing:
        return self._script.popleft() if self._script else Say("Yes.", 1.0)


class FakeConnection:
    """Satisfies interfaces.Connection, and refuses what no provider would take."""

    def __init__(self, provider: FakeProvider, setup: Setup) -> None:
        self.setup = setup
        self.commands: list[ProviderCommand] = []
        self.turns: dict[int, Turn] = {}
        self.closed = False
        self.counts: Counter[str] = Counter()
        """What it claims to have survived."""
        self._number = len(provider.connections)
        self._provider = provider
        self._events: asyncio.Queue[ProviderEvent | ApplianceError | None] = asyncio.Queue()
        self._work: dict[str, asyncio.Task[None]] = {}
        self.corrections: list[CancelResponse] = []
        self._waiting: dict[str, tuple[int, Say] | None] = {}
        self._made: dict[str, ToolCall] = {}
        self._names = 0
        self._begun: set[str] = set()
        self._deliveries = {declared.name: declared.delivery for declared in setup.tools}
        self._read_history(setup)

    @property
    def unanswered_calls(self) -> int:
        return len(self._waiting)

    def _read_history(self, setup: Setup) -> None:
        items = [item for item in setup.history if isinstance(item, HistoryItem) and item.response]
        self._retold = {item.response for item in items}
        pending = [item for item in setup.history if isinstance(item, CalledTool) and item.outcome is None]
        if pending and not self._provider.capabilities.restores_calls:
            self._refuse("a call without a result in the history")
        for item in pending:
            self._waiting[item.call_id] = self._provider.plans[item.call_id]

    def begin_saying(self, turn: int, say: Say) -> None:
        self._names += 1
        name = f"r{self._names}"
        self._begin(name, self._say(name, turn, say))

    def withdraw_calls(self) -> None:
        made = [name for name in self._waiting if name in self._made]
        self._waiting.update(dict.fromkeys(made))
        self.tell(ToolCallWithdrawn(made))

    @property
    def made(self) -> list[ToolCall]:
        """The calls that it has told."""
        return list(self._made.values())

    def make(self, call: ToolCall) -> None:
        """Make a call (again)."""
        self._waiting[call.call_id] = self._provider.plans[call.call_id]
        self._made[call.call_id] = call
        self.tell(call)

    def cut(self, fault: ApplianceError | None = None) -> None:
        if not self.closed:
            self.closed = True
            for task in self._work.values():
                task.cancel()
            self._events.put_nowait(fault)

    def tell(self, event: ProviderEvent) -> None:
        self._events.put_nowait(event)

    def counters(self) -> Mapping[str, int]:
        return dict(self.counts)

    async def close(self) -> None:
        self.cut()

    async def __aiter__(self) -> AsyncIterator[ProviderEvent]:
        while (event := await self._events.get()) is not None:
            if isinstance(event, ApplianceError):
                raise event
            if self.closed:
                return
            yield event

    async def send(self, command: ProviderCommand) -> None:
        if self.closed:
            raise ProviderUnavailable("the connection is gone")
        self.commands.append(command)
        match command:
            case SendAudio():
                self._hear(command)
            case CommitTurn():
                self._commit(command.turn)
            case DiscardTurn():
                turn = self.turns.get(command.turn)
                if turn is None or turn.committed or turn.discarded:
                    self._refuse(f"discard of turn {command.turn}")
                else:
                    turn.discarded = True
            case SendText():
                self._read(command)
            case CancelResponse():
                self._cancel(command)
            case ToolResult():
                self._take_result(command)
            case _:
                self._refuse(f"unknown command {command}")

    def _refuse(self, what: str) -> None:
        self._provider.violations.append(what)

    def _hear(self, command: SendAudio) -> None:
        turn = self.turns.setdefault(command.turn, Turn())
        if turn.committed or turn.discarded or turn.text:
            self._refuse(f"audio of turn {command.turn}, which is over")
        if command.frame.rate != self._provider.capabilities.input_rate:
            self._refuse(f"audio at {command.frame.rate} Hz")
        if any(
            not (other.committed or other.discarded) for other in self.turns.values() if other is not turn
        ):
            self._refuse(f"audio of turn {command.turn} within another")
        turn.frames.append(command.frame.pcm)

    def _commit(self, number: int) -> None:
        turn = self.turns.get(number)
        if turn is None or turn.committed or turn.discarded:
            self._refuse(f"commit of turn {number}")
            return
        turn.committed = True
        understood = UserHeard(number, f"turn {number}", final=True)
        if self._provider.understanding_takes:
            self._begin(f"understand {number}", self._understand(understood))
        else:
            self.tell(understood)
        self._answer(number)

    async def _understand(self, understood: UserHeard) -> None:
        await asyncio.sleep(self._provider.understanding_takes)
        self.tell(understood)

    def _read(self, command: SendText) -> None:
        if command.turn in self.turns:
            self._refuse(f"text for turn {command.turn}, which there was")
        self.turns[command.turn] = Turn(text=command.text, committed=True)
        self._answer(command.turn)

    def _answer(self, turn: int) -> None:
        if self._provider.breaks_on_turns:
            self._begin(f"break {turn}", self._break())
            return
        plan = self._provider.next_answer()
        self._names += 1
        name = f"r{self._names}"
        match plan:
            case Say():
                self._begin(name, self._say(name, turn, plan))
            case Call():
                self._begin(name, self._call(f"c{len(self._provider.tool_calls)}", turn, plan))
            case Nothing():
                self._begin(name, self._be_silent(name, turn, plan))

    async def _break(self) -> None:
        await asyncio.sleep(0.2)
        self._work.clear()
        self.cut(ProviderUnavailable("closed with 1011"))

    def _begin(self, name: str, work: Any) -> None:
        self._work[name] = asyncio.get_running_loop().create_task(work)

    async def _say(self, name: str, turn: int, say: Say) -> None:
        await asyncio.sleep(say.think)
        level = self._provider.first_level + LEVEL_STEP * len(self._provider.answers)
        answer = Answer(name, turn, level, say, connection=self._number)
        self._provider.answers.append(answer)
        self._emit(ResponseStarted(name, turn))
        rate = self._provider.capabilities.output_rate
        words = say.text.split()
        chunks = max(1, round(say.seconds * 1000 / say.chunk_ms))
        told = 0
        for chunk in range(chunks):
            upto = -(-len(words) * (chunk + 1) // chunks)
            if upto > told:
                piece = " ".join(words[told:upto]) + " "
                self._emit(ResponseText(name, piece, chunk * say.chunk_ms))
                told = upto
            samples = np.full(rate * say.chunk_ms // 1000, level, dtype="<i2")
            self._emit(ResponseAudio(name, samples.tobytes(), rate))
            await asyncio.sleep(say.chunk_ms / 1000 / say.speed)
        if say.finish:
            self._emit(ResponseFinished(name, turn, say.status))
            self._work.pop(name, None)

    async def _call(self, call_id: str, turn: int, plan: Call) -> None:
        call_id = f"{len(self._provider.connections)}-{call_id}"
        self._provider.tool_calls.append(call_id)
        self._waiting[call_id] = self._provider.plans[call_id] = 0 if plan.unasked else turn, plan.then
        await asyncio.sleep(plan.think)
        self.make(ToolCall(call_id, plan.tool, plan.arguments, turn))
        if self._deliveries.get(plan.tool, Delivery.IMMEDIATE) is not Delivery.IMMEDIATE:
            self._provider.reacted.add(turn)

    async def _be_silent(self, name: str, turn: int, plan: Nothing) -> None:
        await asyncio.sleep(plan.think)
        if plan.status:
            self._provider.reacted.add(turn)
            self._emit(ResponseStarted(name, turn))
            self._emit(ResponseFinished(name, turn, plan.status))

    def _emit(self, event: ProviderEvent) -> None:
        if isinstance(event, ResponseStarted):
            self._begun.add(event.response)
        self._events.put_nowait(event)

    def _cancel(self, command: CancelResponse) -> None:
        if command.response in self._retold:
            self._retold.remove(command.response)
            self.corrections.append(command)
            return
        own = (a for a in self._provider.answers if a.connection == self._number)
        answer = next((a for a in own if a.response == command.response), None)
        if command.response not in self._begun:
            self._refuse(f"cancel of {command.response}, which there was not")
        if answer is None:
            return
        answer.cancelled = command
        answer.cancelled_at = asyncio.get_running_loop().time()
        task = self._work.pop(command.response, None)
        if task is not None:
            task.cancel()
            self._emit(ResponseFinished(command.response, answer.turn, "cancelled"))

    def _take_result(self, result: ToolResult) -> None:
        self._provider.tool_results.append(result)
        if result.call_id not in self._waiting:
            self._refuse(f"result for {result.call_id}, which nobody asked for")
            return
        waiting = self._waiting.pop(result.call_id)
        if waiting is not None and result.delivery is not Delivery.SILENT:
            self.begin_saying(*waiting)
