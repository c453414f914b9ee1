"""What the appliance is to say by itself: a bounded queue, urgent first. Pure."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

BOUND: Final = 16


@dataclass(frozen=True, slots=True)
class Announcement:
    """`patient`: told only when the floor is free; otherwise also while the person waits for an answer."""

    id: str
    text: str
    interruptible: bool = True
    urgent: bool = False
    patient: bool = False


class Announcements:
    def __init__(self, bound: int = BOUND) -> None:
        self._bound = bound
        self._waiting: deque[Announcement] = deque()
        self._dropped = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, announcement: Announcement) -> Announcement | None:
        """Line it up, urgent ones before all others; return the one that had to go when there were too many."""
        place = len(self._waiting)
        if announcement.urgent:
            place = sum(waiting.urgent for waiting in self._waiting)
        self._waiting.insert(place, announcement)
        if len(self._waiting) <= self._bound:
            return None
        self._dropped += 1
        lost = next((waiting for waiting in self._waiting if not waiting.urgent), self._waiting[0])
        self._waiting.remove(lost)
        return lost

    def put_back(self, announcement: Announcement) -> None:
        """It could not be said yet: it is the next again."""
        self._waiting.appendleft(announcement)

    def take(self, *, free: bool) -> Announcement | None:
        """The next to say; `free`: nobody has the floor and nobody waits."""
        chosen = next((waiting for waiting in self._waiting if free or not waiting.patient), None)
        if chosen is not None:
            self._waiting.remove(chosen)
        return chosen

    def counters(self) -> Mapping[str, int]:
        return {"announcements_waiting": len(self._waiting), "announcements_dropped": self._dropped}
