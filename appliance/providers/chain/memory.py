"""What was said in a conversation, as it was heard, and how much of it a model is shown. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from appliance.interfaces import CalledTool, HistoryItem
from appliance.stages import AnswerCall, Remembered, Said, ToolUse

BOUND_CHARACTERS: Final = 24_000
"""About 6,000 tokens: what a small model on the own network can hold, besides instructions and tools."""
BOUND_ITEMS: Final = 200
PENDING: Final = '{"status": "pending", "note": "the result is not there yet"}'
BROKEN: Final = '{"error": "there is no result"}'


@dataclass(slots=True)
class _Speech:
    role: str
    text: str
    response: str = ""
    turn: int = 0


@dataclass(slots=True)
class _Use:
    call: AnswerCall
    outcome: str | None = None


@dataclass(slots=True)
class Memory:
    """Of one conversation. The oldest exchanges are forgotten beyond the bounds; a call and its outcome go together."""

    bound_characters: int = BOUND_CHARACTERS
    forgotten: int = 0
    """Items that no prompt holds any more."""
    _items: list[_Speech | _Use] = field(default_factory=list)

    def restore(self, history: Sequence[HistoryItem | CalledTool]) -> None:
        """Take up a conversation. A call without an outcome waits for its one result."""
        for item in history:
            if isinstance(item, CalledTool):
                call = AnswerCall(item.call_id, item.tool, item.arguments)
                self._items.append(_Use(call, item.outcome))
            elif item.text:
                self._items.append(_Speech(item.role, item.text, item.response))

    def user(self, text: str, turn: int = 0) -> None:
        """What was said as `turn`. Said again, it is that turn as a whole: the person went on after a pause."""
        last = self._items[-1] if self._items else None
        if turn and isinstance(last, _Speech) and last.turn == turn:
            last.text = text
        else:
            self._items.append(_Speech("user", text, turn=turn))

    def assistant(self, response: str, text: str) -> None:
        """The next part of what is said as `response`."""
        spoken = self._spoken(response)
        if spoken is None:
            self._items.append(_Speech("assistant", text, response))
        else:
            spoken.text += text

    def rewrite(self, response: str, heard: str) -> None:
        """Only `heard` is true of that answer."""
        spoken = self._spoken(response)
        if spoken is not None:
            spoken.text = heard.strip()

    def called(self, call: AnswerCall) -> None:
        self._items.append(_Use(call))

    def settle(self, call_id: str, outcome: str) -> None:
        """The one result of a call. What comes late stands at the end, where the model looks for what is new."""
        for place, item in enumerate(self._items):
            if isinstance(item, _Use) and item.call.call_id == call_id:
                item.outcome = outcome
                if any(isinstance(later, _Speech) and later.text for later in self._items[place + 1 :]):
                    self._items.append(self._items.pop(place))
                return

    def items(self) -> tuple[Remembered, ...]:
        """For a prompt: within the bounds, beginning with something that the person said where there is such."""
        self._forget()
        return tuple(self._shown())

    def _spoken(self, response: str) -> _Speech | None:
        for item in reversed(self._items):
            if isinstance(item, _Speech) and item.response == response and response:
                return item
        return None

    def _shown(self) -> Iterator[Remembered]:
        for item in self._items:
            if isinstance(item, _Use):
                call = item.call
                outcome = PENDING if item.outcome is None else item.outcome
                yield ToolUse(
                    call.call_id, call.tool, call.arguments, outcome[: self.bound_characters], call.opaque
                )
            elif item.text.strip():
                yield Said(item.role, item.text.strip()[-self.bound_characters :])

    def _forget(self) -> None:
        while len(self._items) > 1 and (
            len(self._items) > BOUND_ITEMS or self._size() > self.bound_characters
        ):
            # The exchange goes as a whole: what follows its first item up to what the person said next.
            ends = (place for place in range(1, len(self._items)) if self._asked(place))
            end = next(ends, 0)
            if not end:
                return
            self.forgotten += end
            del self._items[:end]

    def _asked(self, place: int) -> bool:
        item = self._items[place]
        return isinstance(item, _Speech) and item.role == "user"

    def _size(self) -> int:
        return sum(
            len(item.text)
            if isinstance(item, _Speech)
            else len(item.call.arguments) + min(len(item.outcome or PENDING), self.bound_characters)
            for item in self._items
        )
