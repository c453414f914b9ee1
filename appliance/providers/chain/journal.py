"""What was said and is not understood yet: turns, their sound, and how far a stage has been told of them.

Without clock and I/O: the ear (ear.py) says when, and does the sending.
"""

from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

FRAME_MS: Final = 20
LONGEST_FRAMES: Final = 60_000 // FRAME_MS
_PERIOD: Final = 1_000_000


@dataclass(slots=True, eq=False)
class Entry:
    """A turn. `sent` of its frames (20 ms at 16 kHz) went over the present connection.

    `key` is what the stage is told of instead of `turn`.
    """

    turn: int
    key: int
    frames: deque[bytes] = field(default_factory=deque)
    committed: bool = False
    sent: int = 0
    commit_sent: bool = False
    owed_since: float = 0.0
    """Since when its final transcript is the next that the stage owes."""
    losses: int = 0

    @property
    def behind(self) -> int:
        """Frames that are not sent."""
        return len(self.frames) - self.sent

    def take(self, most: int) -> bytes:
        """The next frames to send, at most so many. They count as sent."""
        size = min(self.behind, most)
        pcm = b"".join(islice(self.frames, self.sent, self.sent + size))
        self.sent += size
        return pcm


class TurnJournal:
    """Holds a minute of sound at most: beyond that the oldest goes, counted in `dropped_ms`."""

    def __init__(self) -> None:
        self.dropped_ms = 0
        self._entries: deque[Entry] = deque()
        self._unwanted: deque[int] = deque()
        self._period = 0
        """One for each conversation: the next one may say a turn again, which to a stage is another turn."""

    def __len__(self) -> int:
        return len(self._entries)

    def hear(self, turn: int, pcm: bytes) -> None:
        self._entry(turn).frames.append(pcm)
        while sum(len(one.frames) for one in self._entries) > LONGEST_FRAMES:
            self._drop_oldest()

    def commit(self, turn: int) -> None:
        self._entry(turn).committed = True

    def discard(self, turn: int) -> bool:
        """Forget it. Whether a stage heard of it and should forget it, too: `unwanted` will tell."""
        entry = self.find(turn)
        if entry is None:
            return False
        self._entries.remove(entry)
        if entry.sent:
            self._unwanted.append(entry.key)
        return bool(entry.sent)

    def find(self, turn: int) -> Entry | None:
        return next((entry for entry in self._entries if entry.turn == turn), None)

    def turn_of(self, key: int) -> int | None:
        """The turn of this conversation that a stage knows by `key`."""
        period, turn = divmod(key, _PERIOD)
        return turn if period == self._period else None

    def understood(self, entry: Entry, now: float) -> None:
        """Its final transcript is there. A stage that works off one turn after the other has its time for each."""
        self._entries.remove(entry)
        for other in self._entries:
            other.owed_since = now

    def next_to_send(self) -> Entry | None:
        return next((one for one in self._entries if not one.commit_sent), None)

    def next_unwanted(self) -> int | None:
        return self._unwanted.popleft() if self._unwanted else None

    def owed_since(self) -> float | None:
        """Since when the stage owes the next final transcript."""
        return next((one.owed_since for one in self._entries if one.commit_sent), None)

    def connection_lost(self, tries: int) -> list[int]:
        """The next connection knows nothing of what this one was given.

        Returns the turns that are given up: `tries` connections were lost over each, and it had been said to its end.
        """
        for entry in self._entries:
            entry.losses += 1 if entry.sent or entry.commit_sent else 0
        hopeless = [one for one in self._entries if one.losses >= tries and one.committed]
        for entry in hopeless:
            self._entries.remove(entry)
        self.send_anew()
        return [entry.turn for entry in hopeless]

    def send_anew(self) -> None:
        """To another connection, from each turn's start."""
        for entry in self._entries:
            entry.sent, entry.commit_sent = 0, False
        self._unwanted.clear()

    def next_conversation(self) -> None:
        for entry in tuple(self._entries):
            self.discard(entry.turn)
        self._period += 1

    def _entry(self, turn: int) -> Entry:
        entry = self.find(turn)
        if entry is None:
            entry = Entry(turn, self._period * _PERIOD + turn)
            self._entries.append(entry)
        return entry

    def _drop_oldest(self) -> None:
        entry = next(entry for entry in self._entries if entry.frames)
        entry.frames.popleft()
        entry.sent = max(0, entry.sent - 1)
        self.dropped_ms += FRAME_MS
