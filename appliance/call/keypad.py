"""What people key in on a call, gathered into answers, which # or a pause ends. Belongs to the loop's thread."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

LONGEST: Final = 32
END: Final = "#"


def words(digits: str) -> str:
    """An answer as a model is told it."""
    return f"pressed {' '.join(digits)}"


@dataclass(slots=True)
class _Entry:
    digits: list[str] = field(default_factory=list)
    timer: asyncio.TimerHandle | None = None


class Keypad:
    """`answer(call, digits)` is called once an answer is complete; `pause` is in seconds."""

    def __init__(self, pause: float, answer: Callable[[str, str], None]) -> None:
        self._pause = pause
        self._answer = answer
        self._entries: dict[str, _Entry] = {}

    def press(self, call: str, digit: str) -> None:
        """One more digit. # ends an answer and is none of its digits, unless it stands alone."""
        entry = self._entries.setdefault(call, _Entry())
        if entry.timer is not None:
            entry.timer.cancel()
        if digit != END or not entry.digits:
            entry.digits.append(digit)
        if digit == END or len(entry.digits) >= LONGEST:
            self._complete(call)
            return
        entry.timer = asyncio.get_running_loop().call_later(self._pause, self._complete, call)

    def forget(self, call: str) -> None:
        """The call is over, or what was keyed in is for somebody else."""
        entry = self._entries.pop(call, None)
        if entry is not None and entry.timer is not None:
            entry.timer.cancel()

    def _complete(self, call: str) -> None:
        entry = self._entries.pop(call, None)
        if entry is not None:
            if entry.timer is not None:
                entry.timer.cancel()
            self._answer(call, "".join(entry.digits))
