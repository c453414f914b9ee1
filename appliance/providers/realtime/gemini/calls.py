"""The tool calls of one connection: which wait for their result, and of which the model is about to speak. Pure."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from appliance.interfaces import CalledTool

BOUND: Final = 256


@dataclass(slots=True)
class Call:
    tool: str
    turn: int
    done: bool = False
    """Answered or withdrawn: no result of it is sent (again)."""


class Calls:
    """`restored` are the calls of the history; those without an outcome get their result over this connection."""

    def __init__(self, restored: Sequence[CalledTool]) -> None:
        self._restored = {call.call_id: call for call in restored if call.outcome is None}
        self._calls: dict[str, Call] = {}
        self._followed: deque[int] = deque(maxlen=BOUND)
        """Turns whose tool results the model is to speak about."""

    def restored(self, call_id: str) -> CalledTool | None:
        """A call that this session of the service does not know; its one result is due now."""
        return self._restored.pop(call_id, None)

    def get(self, call_id: str) -> Call | None:
        return self._calls.get(call_id)

    def made(self, call_id: str, call: Call) -> None:
        """The model called; the oldest of too many is forgotten."""
        while len(self._calls) >= BOUND:
            del self._calls[next(iter(self._calls))]
        self._calls[call_id] = call

    def withdraw(self, ids: Iterable[object]) -> dict[str, int]:
        """The model wants no results of these any more: those that were due, with their turns."""
        known = {one: self._calls[one] for one in ids if isinstance(one, str) and one in self._calls}
        due = {one: call for one, call in known.items() if not call.done}
        for call in due.values():
            call.done = True
        return {one: call.turn for one, call in due.items()}

    def follow(self, turn: int) -> None:
        """The model has a result of `turn` that it is to speak about."""
        self._followed.append(turn)

    def spoken_of(self) -> int | None:
        """The model speaks, and nobody else asked it to: the turn of the newest result, or else of the newest call."""
        if self._followed:
            newest = self._followed[-1]
            self._followed = deque((turn for turn in self._followed if turn != newest), maxlen=BOUND)
            return newest
        return next((call.turn for call in reversed(self._calls.values()) if not call.done), None)

    def pending(self, turn: int) -> bool:
        """A result of `turn` is due, or to be spoken about."""
        waiting = any(call.turn == turn and not call.done for call in self._calls.values())
        return waiting or turn in self._followed
