"""Which pieces of another line's sound are left out, so that a delay that came once does not stay. Pure.

A stall of the machine, or two clocks that drift, leave more waiting than is ever needed. What was waiting at least,
over a second, is not needed: so much goes, in the pauses, or piece by piece where nobody pauses.
"""

import math
from typing import Final

NEEDED_MS: Final = 30.0
"""What may always wait: the next piece may come so late."""
PIECE_MS: Final = 20.0
WINDOW: Final = 50
LAST: Final = 40
"""The piece of a window that goes, whatever it holds."""


class Backlog:
    """One stream's; told of each piece of 20 ms in turn."""

    def __init__(self) -> None:
        self._least = math.inf
        self._count = 0
        self._surplus = 0

    def leaves_out(self, queued_ms: float, *, quiet: bool) -> bool:
        """Whether the next piece goes; `queued_ms` is what waits before it."""
        self._least = min(self._least, queued_ms)
        self._count += 1
        if self._count == WINDOW:
            self._surplus = max(0, math.ceil((self._least - NEEDED_MS) / PIECE_MS))
            self._least, self._count = math.inf, 0
        if not self._surplus or not (quiet or self._count == LAST):
            return False
        self._surplus -= 1
        return True
