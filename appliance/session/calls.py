"""Tool calls between the provider's connections and the runner: nobody waits for a result in vain, none gets two.

A call outlives the connection that made it: the next one is set up with it, and waits for the result in its place. A
result whose delivery says so is kept until the floor is free; HOLD_SECONDS at most.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from appliance.agents.runner import ToolRunner
from appliance.interfaces import CalledTool, Delivery, ToolCall, ToolResult
from appliance.session.answers import UNASKED
from appliance.session.floor import Floor, FloorOwner, Strands
from appliance.session.turn import Interrupted, Phase

HOLD_SECONDS: Final = 30.0
REMEMBERED: Final = 64
GIVEN_AT_MOST: Final = 3
"""A result that ends every connection which is given it is not given for ever."""


class CallsOwner(FloorOwner, Protocol):
    """The session, as its tool calls see it."""

    @property
    def connected(self) -> bool:
        """The present connection takes commands."""
        ...


@dataclass(slots=True)
class _Call:
    made: ToolCall
    delivery: Delivery
    """As the tool declares it; SILENT also for a call that nobody wants."""
    generation: int | None
    """The connection that waits for the result; None: none does."""
    result: ToolResult | None = None
    came_at: float = 0.0
    given: int = 0
    open: bool = True
    """The result was not given to the connection that waits, or nothing has come of it there."""
    owing: bool = True
    """It was not given to that connection."""

    @property
    def silent(self) -> bool:
        return self.result is not None and self.result.delivery is Delivery.SILENT


class Calls:
    """All methods belong to the loop's thread."""

    def __init__(self, strands: Strands, floor: Floor, runner: ToolRunner, owner: CallsOwner) -> None:
        self._s = strands
        self._floor = floor
        self._runner = runner
        self._owner = owner
        self._table: dict[str, _Call] = {}
        self._set_up: frozenset[str] = frozenset()

    def take(self, event: ToolCall) -> None:
        """The model calls a tool."""
        unwanted = self._s.answers.unwanted(event.turn)
        refusal = "The person does not want that any more." if unwanted else ""
        delivery = Delivery.SILENT if unwanted else self._runner.delivery(event.tool)
        if not self._runner.start(event, self._came, refusal=refusal):
            self._again(event)
            return
        self._table[event.call_id] = _Call(event, delivery, self._owner.generation)
        self._forget_old()
        if not unwanted:
            self._s.answers.tool_called(event.call_id, event.turn, delivery)
            if event.turn != UNASKED:
                self._s.uplink.answered(event.turn)
                self._s.record.answered(event.turn)
        called = CalledTool(event.call_id, event.tool, _text(event.arguments), turn=event.turn)
        self._s.record.called(called)

    def keeps(self, turn: int) -> bool:
        """The answer to `turn` is to come after a result that the provider has or will have."""
        return any(
            call.open and not call.silent and call.generation is not None
            for call in self._table.values()
            if call.made.turn == turn and call.delivery is not Delivery.SILENT
        )

    def busy(self, turn: int) -> bool:
        """It is not the provider who lets `turn` wait."""
        return any(
            call.result is None or (call.owing and self._owner.connected)
            for call in self._table.values()
            if call.made.turn == turn and call.generation is not None
        )

    def release(self) -> None:
        """Give what may be given now."""
        owed = self._s.answers.owed
        for call in tuple(self._table.values()):
            self._offer(call)
        if owed != self._s.answers.owed:
            self._floor.settle()

    def heeded(self) -> None:
        """The model said something: it has seen the results that it was given."""
        for call in self._table.values():
            call.open &= call.owing

    def stop(self) -> None:
        """The person does not want what waits for a tool any more. What runs in the background goes on."""
        awaited = [call for call in self._table.values() if call.delivery is Delivery.IMMEDIATE and call.open]
        self._runner.cancel([call.made.call_id for call in awaited if call.result is None])
        for call in awaited:
            self._hush(call)

    def withdrawn(self, call_ids: Collection[str]) -> int:
        """The model does not want those results any more; return how many of them there are."""
        known = [self._table[name] for name in dict.fromkeys(call_ids) if name in self._table]
        self._runner.cancel(call_ids)
        for call in known:
            self._s.answers.tool_gone(call.made.call_id)
            self._hush(call)
            self._offer(call)
        return len(known)

    # --- over a broken connection ---

    def lost(self) -> None:
        """The connection is gone: what it was given last may not have reached the model."""
        for call in self._table.values():
            if not call.open or call.owing or call.silent:
                continue
            if call.given >= GIVEN_AT_MOST:
                call.open = False
                continue
            call.owing = True
            self._s.record.outcome(call.made.call_id, None)

    def set_up(self, history: Collection[object]) -> None:
        """A connection is being set up with `history`: it will wait for the results that are missing there."""
        missing = (item for item in history if isinstance(item, CalledTool) and item.outcome is None)
        self._set_up = frozenset(item.call_id for item in missing)

    def restored(self) -> None:
        """That connection is there. What nobody waits for any more is stopped."""
        now = self._owner.now()
        for name, call in tuple(self._table.items()):
            if name in self._set_up:
                call.generation, call.open, call.owing, call.came_at = self._owner.generation, True, True, now
                continue
            call.generation, call.open = None, False
            self._s.answers.tool_gone(name)
            self._runner.cancel([name])
            self._conclude(call)
        self.release()

    # --- inside ---

    def _again(self, event: ToolCall) -> None:
        """A call id that was there before: over a new connection it has its one result too, and is not run twice."""
        call = self._table.get(event.call_id)
        if call is None or call.generation == self._owner.generation:
            return
        call.generation, call.open, call.owing = self._owner.generation, True, True
        same = (call.made.tool, _text(call.made.arguments)) == (event.tool, _text(event.arguments))
        if not same:
            self._runner.cancel([event.call_id])
            call.result = ToolResult(event.call_id, error="There was a call of this name before.")
        if not self._s.answers.unwanted(event.turn):
            self._s.answers.tool_called(event.call_id, event.turn, call.delivery)
        call.made = event
        self.release()

    def _came(self, result: ToolResult) -> None:
        call = self._table.get(result.call_id)
        if call is None:
            return
        if call.delivery is Delivery.SILENT:
            result = replace(result, delivery=Delivery.SILENT)
        call.result, call.came_at = result, self._owner.now()
        if call.silent or call.generation is None:
            self._conclude(call)
        owed = self._s.answers.owed
        self._offer(call)
        if owed != self._s.answers.owed:
            self._floor.settle()

    def _offer(self, call: _Call) -> None:
        if call.result is not None and self._may(call, call.result.delivery):
            self._give(call, call.result)

    def _give(self, call: _Call, result: ToolResult) -> None:
        if not (call.owing and self._owner.connected and call.generation == self._owner.generation):
            return
        call.owing = False
        call.open = not call.silent
        call.given += 1
        if result.delivery is Delivery.INTERRUPT and self._floor.phase is Phase.SPEAKING:
            self._floor.drive(Interrupted(), "tool")
        self._owner.send(result)
        self._conclude(call)
        if call.silent and call.delivery is not Delivery.SILENT:
            self._s.answers.tool_gone(result.call_id)
        else:
            self._s.answers.tool_answered(result.call_id, call.made.turn, call.delivery)

    def _may(self, call: _Call, delivery: Delivery) -> bool:
        if delivery in (Delivery.IMMEDIATE, Delivery.SILENT):
            return True
        if self._owner.now() - call.came_at >= HOLD_SECONDS:
            return True
        phase, answers = self._floor.phase, self._s.answers
        if delivery is Delivery.INTERRUPT:
            return phase in (Phase.IDLE, Phase.THINKING, Phase.SPEAKING)
        alone = answers.owed in (None, call.made.turn) and not answers.under_way
        return phase in (Phase.IDLE, Phase.THINKING) and alone and not self._s.downlink.ready

    def _hush(self, call: _Call) -> None:
        """Nothing is to be said about its result."""
        if call.result is not None:
            call.result = replace(call.result, delivery=Delivery.SILENT)
            call.open &= call.owing
            self._conclude(call)

    def _conclude(self, call: _Call) -> None:
        """Its outcome is history."""
        if call.result is not None:
            told: Mapping[str, Any] = (
                {"error": call.result.error} if call.result.error else call.result.result
            )
            self._s.record.outcome(call.made.call_id, _text(told))

    def _forget_old(self) -> None:
        if len(self._table) <= REMEMBERED:
            return
        over = (name for name, call in self._table.items() if call.result is not None and not call.owing)
        name = next(over, None) or next(iter(self._table))
        self._runner.cancel([name])
        call = self._table[name]
        if call.result is not None:
            self._give(call, call.result)
        del self._table[name]


def _text(arguments: Mapping[str, Any] | str) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments, default=str)
