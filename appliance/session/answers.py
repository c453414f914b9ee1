"""Which answer is owed, and which responses still count. Pure.

A turn is owed one answer. It is settled by the end of a response that began, or gave something, after the last tool
result of the turn was sent: a model may say "let me see" in a response of its own before it has the result.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

_REMEMBERED: Final = 64


@dataclass(slots=True)
class Answers:
    """Bookkeeping of one session. A response is named with its connection, so that none is taken for another."""

    owed: int | None = None
    """The turn that an answer is owed to."""
    tool_used: bool = False
    """The owed turn has called a tool: it must not be put to a provider a second time."""
    _withdrawn: deque[int] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    _live: dict[str, int] = field(default_factory=dict)
    _settling: set[str] = field(default_factory=set)
    _tools: set[str] = field(default_factory=set)

    @property
    def tools_running(self) -> bool:
        return bool(self._tools)

    def turn_of(self, response: str) -> int | None:
        """The turn that a live response answers; None for one that does not count (any more)."""
        return self._live.get(response)

    def unwanted(self, turn: int) -> bool:
        """An answer to `turn` was withdrawn or given up."""
        return turn in self._withdrawn

    def expect(self, turn: int) -> None:
        """The person has finished `turn`."""
        self.owed = turn
        self.tool_used = False
        self._settling.clear()

    def began(self, response: str, turn: int) -> bool:
        """Whether the response is wanted."""
        if self.unwanted(turn):
            return False
        self._live[response] = turn
        self.gave(response)
        return True

    def gave(self, response: str) -> None:
        """Text or audio of the response came."""
        if response in self._live and not self._tools:
            self._settling.add(response)

    def ended(self, response: str) -> None:
        """No more of it comes."""
        turn = self._live.pop(response, None)
        if turn is not None and response in self._settling and not self._tools and self.owed == turn:
            self.owed = None
        self._settling.discard(response)

    def tool_called(self, call_id: str, turn: int) -> None:
        if turn == self.owed:
            self.tool_used = True
            self._tools.add(call_id)
            self._settling.clear()

    def tool_answered(self, call_id: str) -> None:
        self._tools.discard(call_id)

    def withdraw(self) -> None:
        """Want nothing of what is owed or under way any more."""
        self._withdrawn.extend(self._live.values())
        if self.owed is not None:
            self._withdrawn.append(self.owed)
        self._live.clear()
        self._tools.clear()
        self.settle()

    def settle(self) -> None:
        """Nothing is owed any more; what is under way still counts."""
        self.owed = None
        self.tool_used = False
        self._settling.clear()

    def lost(self) -> tuple[str, ...]:
        """The connection is gone with all that was under way. Return the responses that had not ended."""
        live = tuple(self._live)
        self._live.clear()
        self._settling.clear()
        self._tools.clear()
        return live
