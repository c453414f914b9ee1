"""Runs tools. Whatever happens, each ToolCall gets exactly one ToolResult."""

import asyncio
import json
import logging
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from appliance.agents.agent import Agent
from appliance.bus import EventBus
from appliance.errors import ApplianceError, NotPossible, RequestInvalid, UnknownName
from appliance.events import Event, ToolCalled, ToolCancelled, ToolFinished
from appliance.interfaces import Delivery, ToolCall, ToolContext, ToolResult

TOOL_SECONDS: Final = 30.0
RUNNING_BOUND: Final = 16
RESULT_BOUND: Final = 64_000
"""Characters of a result as JSON: a longer one ends the connection of some providers."""
_REMEMBERED: Final = 256
Deliver = Callable[[ToolResult], None]
logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Run:
    """One call under way; out of the runner's table as soon as its result is delivered."""

    call: ToolCall
    deliver: Deliver
    begun: float
    task: asyncio.Task[Mapping[str, Any]]
    deadline: asyncio.TimerHandle


class ToolRunner:
    """The tools of one session. `deliver` gets the one result of a call on the loop's thread, not within `start`.

    A call id that was seen before is ignored and counted: its one result is on its way or was delivered. What a tool
    does after its call was cancelled or timed out changes nothing.
    """

    def __init__(
        self, agent: Agent, context: ToolContext, bus: EventBus, *, seconds: float = TOOL_SECONDS
    ) -> None:
        self.agent = agent
        self._deliveries = {declared.name: declared.delivery for declared in agent.declarations}
        self._patience = {declared.name: declared.seconds for declared in agent.declarations}
        self._context = context
        self._bus = bus
        self._seconds = seconds
        self._running: dict[str, _Run] = {}
        self._tasks: set[asyncio.Task[Mapping[str, Any]]] = set()
        self._seen: deque[str] = deque(maxlen=_REMEMBERED)
        self._counters = {"tool_calls": 0, "tool_errors": 0, "tool_repeats": 0, "tool_cancels": 0}

    @property
    def running(self) -> int:
        """Calls without a result so far."""
        return len(self._running)

    def counters(self) -> Mapping[str, int]:
        return dict(self._counters)

    def start(self, call: ToolCall, deliver: Deliver, *, refusal: str = "") -> bool:
        """Run `call` beside whatever runs already; return False for an id that was seen before.

        With a `refusal`, a sentence for the model, the tool is not run: that is the result.
        """
        if call.call_id in self._seen:
            self._counters["tool_repeats"] += 1
            return False
        self._seen.append(call.call_id)
        self._counters["tool_calls"] += 1
        loop = asyncio.get_running_loop()
        if not refusal and len(self._running) >= RUNNING_BOUND:
            refusal = "Too many tools are running at once."
        task = loop.create_task(self._perform(call, refusal), name=f"tool {call.tool}")
        seconds = max(self._seconds, self._patience.get(call.tool, 0.0))
        deadline = loop.call_later(seconds, self._expire, call.call_id)
        self._running[call.call_id] = _Run(call, deliver, loop.time(), task, deadline)
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._ended(call.call_id, done))
        return True

    def delivery(self, tool: str) -> Delivery:
        """How the tool's results are to be told."""
        return self._deliveries.get(tool, Delivery.IMMEDIATE)

    def cancel(self, call_ids: Collection[str] | None = None) -> int:
        """Cancel what runs, or those of `call_ids` that do; return how many there were.

        Each gets its one result at once: an error that is for the model to know, and not to speak about.
        """
        runs = tuple(run for name, run in self._running.items() if call_ids is None or name in call_ids)
        for run in runs:
            self._counters["tool_cancels"] += 1
            self._publish(ToolCancelled, call_id=run.call.call_id, tool=run.call.tool)
            self._settle(run, error="The call was cancelled.", delivery=Delivery.SILENT)
            run.task.cancel()
        return len(runs)

    async def close(self) -> None:
        """Cancel what runs and wait for it, at most 1 s."""
        self.cancel()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=1.0)

    async def _perform(self, call: ToolCall, refusal: str) -> Mapping[str, Any]:
        try:
            arguments = arguments_of(call)
        except RequestInvalid:
            self._publish(ToolCalled, call_id=call.call_id, tool=call.tool, arguments={})
            raise
        self._publish(ToolCalled, call_id=call.call_id, tool=call.tool, arguments=arguments)
        tool = self.agent.functions.get(call.tool)
        if tool is None:
            raise UnknownName(f"There is no tool {call.tool}.")
        if refusal:
            raise NotPossible(refusal)
        return plain(await tool.run(call.tool, arguments, self._context))

    def _expire(self, call_id: str) -> None:
        run = self._running.get(call_id)
        if run is not None:
            waited = asyncio.get_running_loop().time() - run.begun
            self._settle(run, error=f"The tool did not finish within {waited:.0f} seconds.")
            run.task.cancel()

    def _ended(self, call_id: str, task: asyncio.Task[Mapping[str, Any]]) -> None:
        self._tasks.discard(task)
        fault = None if task.cancelled() else task.exception()
        run = self._running.get(call_id)
        if run is None or run.task is not task:
            return
        if task.cancelled():
            self._settle(run, error="The tool gave up.")
        elif fault is None:
            self._settle(run, result=task.result())
        elif isinstance(fault, ApplianceError):
            self._settle(run, error=fault.message)
        else:
            logger.warning("tool %s failed: %s", run.call.tool, type(fault).__name__)
            self._settle(run, error="The tool failed.")

    def _settle(
        self,
        run: _Run,
        *,
        result: Mapping[str, Any] | None = None,
        error: str = "",
        delivery: Delivery | None = None,
    ) -> None:
        del self._running[run.call.call_id]
        run.deadline.cancel()
        self._counters["tool_errors"] += bool(error)
        spent = round((asyncio.get_running_loop().time() - run.begun) * 1000)
        outcome: dict[str, Any] = {"error": error} if error else {"result": result}
        self._publish(
            ToolFinished, call_id=run.call.call_id, tool=run.call.tool, duration_ms=spent, **outcome
        )
        run.deliver(
            ToolResult(run.call.call_id, result or {}, error, delivery or self.delivery(run.call.tool))
        )

    def _publish(self, kind: type[Event], **fields: Any) -> None:
        self._bus.publish(kind(session=self._context.session, line=self._context.line, **fields))


def plain(result: object) -> Mapping[str, Any]:
    """What a tool returned, as an object that any JSON can hold; what is no number becomes null.

    Raise NotPossible with a sentence for the model where it cannot be told.
    """
    named = result if isinstance(result, Mapping) else {} if result is None else {"result": result}
    try:
        text = json.dumps(dict(named), default=str, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        raise NotPossible("The tool returned something that cannot be told.") from None
    if len(text) > RESULT_BOUND:
        raise NotPossible("The tool returned too much to be told.")
    # Lone surrogates are no UTF-8; NaN and Infinity are no JSON.
    decoded: dict[str, Any] = json.loads(
        text.encode("utf-8", "replace").decode("utf-8"), parse_constant=lambda _: None
    )
    return decoded


def arguments_of(call: ToolCall) -> Mapping[str, Any]:
    """The arguments as an object. Raise RequestInvalid with a sentence for the model where they are none."""
    if not isinstance(call.arguments, str):
        return call.arguments
    try:
        decoded = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError):
        raise RequestInvalid("The arguments are not valid JSON.") from None
    if not isinstance(decoded, dict):
        raise RequestInvalid("The arguments must be a JSON object.")
    return decoded
