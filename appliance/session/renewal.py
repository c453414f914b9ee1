"""When a connection is renewed that its provider is going to end. Pure: the caller tells the time."""

from typing import Final

MARGIN_SECONDS: Final = 2.5
"""So long before the end it is renewed whatever goes on: dialling must be over by then."""
PAUSE_SECONDS: Final = 0.5
"""A pause is one after so long: the newest handle comes after the turn has ended."""
SETTLED_SECONDS: Final = 10.0
"""A connection that is younger waits for its last moment: a provider may announce the end as soon as it is dialled."""


class Renewal:
    """Of one connection, which rose at `risen_at`."""

    def __init__(self, risen_at: float) -> None:
        self._risen_at = risen_at
        self._forced_at: float | None = None

    def due(self, seconds: float, now: float) -> None:
        """The provider ends the connection in `seconds`. Of several announcements the soonest counts."""
        # Written so that a number that is none counts as now.
        left = seconds - MARGIN_SECONDS if seconds > MARGIN_SECONDS else 0.0
        self._forced_at = now + left if self._forced_at is None else min(self._forced_at, now + left)

    def now(self, quiet_for: float, now: float) -> bool:
        """Whether to renew. `quiet_for`: how long nobody has talked, nothing sounded and nothing was owed."""
        if self._forced_at is None:
            return False
        settled = now - self._risen_at >= SETTLED_SECONDS
        return now >= self._forced_at or (settled and quiet_for >= PAUSE_SECONDS)
