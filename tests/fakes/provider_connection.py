"""A connection of the provider for tests: answers by its script, and refuses what no provider would take.

Each answer's samples all have the same value, `Answer.level`, so that a recording shows which answer it is.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from appliance.errors import ApplianceError, ProviderUnavailable
from appliance.interfaces import (
    CalledTool,
    CancelResponse,
    CommitTurn,
    Delivery,
    DiscardTurn,
    HistoryItem,
    ProviderCommand,
    ProviderEvent,
    ResponseAudio,
    ResponseFinished,
    ResponseStarted,
    ResponseText,
    SendAudio,
    SendText,
    Setup,
    ToolCall,
    ToolCallWithdrawn,
    ToolResult,
    UserHeard,
)
from tests.fakes.answers import Answer, Call, Nothing, Say, Turn

if TYPE_CHECKING:
    from tests.fakes.provider import FakeProvider

LEVEL_STEP = 10


class FakeConnection:
    """Satisfies interfaces.Connection, and refuses what no provider would take."""

    def __init__(self, provider: "FakeProvider", setup: Setup) -> None:
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
