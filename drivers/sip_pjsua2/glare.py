# SPDX-License-Identifier: Apache-2.0
"""Our own re-INVITEs: what one was for, whether it was refused, and when to offer again after a 491. Pure."""

from typing import Final

PENDING: Final = 491
"""Both sides had offered at once."""
_CHALLENGES: Final = frozenset({401, 407, 422})
"""The library answers these by itself, and asks again."""


def glare_delay(*, ours: bool, chance: float) -> float:
    """Seconds (RFC 3261, 14.1): whose call it is waits 2.1 to 4, the other up to 2; `chance` is 0 to 1."""
    return 2.1 + 1.9 * chance if ours else 2.0 * chance


class Wish:
    """What was asked for last, "hold" or "resume", until it is answered; empty without one. `now` is monotonic."""

    def __init__(self) -> None:
        self.what = ""
        self._again_at: float | None = None

    def begin(self, what: str) -> None:
        self.what, self._again_at = what, None

    def answered(self, code: int, now: float, *, ours: bool, chance: float) -> str:
        """What is refused for good by this answer to a re-INVITE; empty where nothing is."""
        if not self.what or code < 200 or code in _CHALLENGES:
            return ""
        if code == PENDING:
            self._again_at = now + glare_delay(ours=ours, chance=chance)
            return ""
        what, self.what = self.what, ""
        return what if code >= 300 else ""

    def due(self, now: float) -> str:
        """What is to be tried again now, once."""
        if self._again_at is None or now < self._again_at:
            return ""
        self._again_at = None
        return self.what
