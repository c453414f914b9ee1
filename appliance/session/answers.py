"""Which answer is owed, and which responses still count. Pure.

A turn is owed one answer. It is settled by the end of a response that began, or gave something, after the last tool
result of the turn was given: a model may say "let me see" in a response of its own before it has the result. A tool
whose result can wait (any delivery but IMMEDIATE) runs in the background: what is said meanwhile is an answer.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from appliance.interfaces import Delivery

UNASKED: Final = 0
"""The turn of a response that answers none."""
_REMEMBERED: Final = 64


@dataclass(slots=True)
class Answers:
    """Bookkeeping of one session. A response is named with its connection, so that none is taken for another."""

    owed: int | None = None
    """The turn that an answer is owed to."""
    _withdrawn: deque[int] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    _live: dict[str, int] = field(default_factory=dict)
    _gave: set[str] = field(default_factory=set)
    """Responses that had a word or a sound."""
    _settling: set[str] = field(default_factory=set)
    _tools: dict[str, tuple[int, bool]] = field(default_factory=dict)
    """The calls without a result so far: the turn, and whether its answer waits for it."""
    _reaction_due: bool = False
    """A tool's result was given for the owed turn, and nothing came after it."""

    @property
    def under_way(self) -> int:
        """How many responses have begun and not ended."""
        return len(self._live)

    def turn_of(self, response: str) -> int | None:
        """The turn that a live response answers; None for one that does not count (any more)."""
        return self._live.get(response)

    def oldest(self) -> str:
        """The live response that began first."""
        return next(iter(self._live))

    def unwanted(self, turn: int) -> bool:
        """An answer to `turn` was withdrawn or given up."""
        return turn in self._withdrawn

    def expect(self, turn: int) -> None:
        """The person has finished `turn`."""
        self.settle()
        self.owed = turn

    def began(self, response: str, turn: int) -> bool:
        """Whether the response is wanted."""
        if self.unwanted(turn):
            return False
        if turn == UNASKED and self._reaction_due and self.owed is not None:
            turn = self.owed
        self._live[response] = turn
        self._count(response)
        return True

    def gave(self, response: str) -> None:
        """Text or audio of the response came."""
        if response in self._live:
            self._gave.add(response)
            self._count(response)

    def _count(self, response: str) -> None:
        if self._live[response] != self.owed:
            return
        self._reaction_due = False
        if not self._awaited():
            self._settling.add(response)

    def ended(self, response: str) -> None:
        """No more of it comes."""
        turn = self._live.pop(response, None)
        if turn is not None and response in self._settling and self.owed == turn and not self._awaited():
            self.settle()
        self._settling.discard(response)
        self._gave.discard(response)

    def _awaited(self) -> bool:
        """A tool runs that the answer waits for."""
        return any(turn == self.owed and needed for turn, needed in self._tools.values())

    def tool_called(self, call_id: str, turn: int, delivery: Delivery) -> None:
        if delivery is Delivery.SILENT:
            return
        needed = delivery is Delivery.IMMEDIATE
        self._tools[call_id] = turn, needed
        if turn == self.owed:
            self._settling = set() if needed else self._settling & self._gave

    def tool_answered(self, call_id: str, turn: int, delivery: Delivery) -> None:
        """The model has the result of a call of `turn`, declared with `delivery`."""
        self._tools.pop(call_id, None)
        if delivery is not Delivery.SILENT:
            self._reaction_due |= turn == self.owed
            if delivery is not Delivery.IMMEDIATE and turn in self._withdrawn:
                # The person went on meanwhile; what comes of the tool is told all the same.
                wanted = (one for one in self._withdrawn if one != turn)
                self._withdrawn = deque(wanted, maxlen=_REMEMBERED)
        elif turn == self.owed and not self._has_other(turn):
            self.settle()

    def _has_other(self, turn: int) -> bool:
        """Something else than silent tools is there to answer `turn`."""
        running = any(called == turn for called, _ in self._tools.values())
        return running or self._reaction_due or turn in self._live.values()

    def tool_gone(self, call_id: str) -> None:
        """Nobody waits for the result of that call any more."""
        self._tools.pop(call_id, None)

    def withdraw(self) -> None:
        """Want nothing of what is owed or under way any more."""
        self._withdrawn.extend(turn for turn in self._live.values() if turn != UNASKED)
        if self.owed is not None:
            self._withdrawn.append(self.owed)
        self._live.clear()
        self._gave.clear()
        self.settle()

    def settle(self) -> None:
        """Nothing is owed any more; what is under way still counts."""
        self.owed = None
        self._settling.clear()
        self._reaction_due = False

    def lost(self) -> tuple[str, ...]:
        """The connection is gone with all that was under way. Return the responses that had not ended."""
        live = tuple(self._live)
        self._live.clear()
        self._gave.clear()
        self._settling.clear()
        self._reaction_due = False
        return live
