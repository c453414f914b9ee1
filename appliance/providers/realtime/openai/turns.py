"""The person's turns in the service's input buffer, and what was understood of them. Pure."""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from appliance.interfaces import UserHeard
from appliance.providers.realtime.mail import Mail

SHORTEST_MS: Final = 100.0
"""A shorter commit is an error to the service."""
_REMEMBERED: Final = 64


@dataclass(slots=True)
class _Heard:
    """The transcripts of a turn's items, in order. `open` are those that are not final."""

    texts: dict[str, str] = field(default_factory=dict)
    open: set[str] = field(default_factory=set)


class Turns:
    """Which turn the audio in the buffer belongs to, which turn an item is, and how it reads."""

    def __init__(self, mail: Mail) -> None:
        self.open: int | None = None
        """The turn whose audio is in the buffer."""
        self.buffered_ms = 0.0
        self.ended: int | None = None
        """The turn that the service ended last."""
        self._mail = mail
        self._committed: deque[int] = deque()
        self._turn_of: dict[str, int] = {}
        self._heard: dict[int, _Heard] = {}

    def add(self, turn: int, milliseconds: float) -> None:
        """Audio of `turn` goes into the buffer."""
        self.open = turn
        self.buffered_ms += milliseconds

    def fill(self, milliseconds: float) -> None:
        """Silence goes into the buffer."""
        self.buffered_ms += milliseconds

    def cleared(self) -> None:
        """Nothing is in the buffer any more."""
        self.open = None
        self.buffered_ms = 0.0

    def commit(self, turn: int) -> None:
        """The buffer is committed as `turn`: the next item is its."""
        self._committed.append(turn)
        self.cleared()

    def withdraw_commit(self) -> int | None:
        """The service refused the oldest commit; return its turn."""
        return self._committed.popleft() if self._committed else None

    def item(self, item_id: str) -> int | None:
        """The service took an item off the buffer. Return its turn where the service itself ended it."""
        if self._committed:
            self._bind(item_id, self._committed.popleft())
            return None
        turn = self.open if self.open is not None else self.ended
        if turn is None:
            self._mail.trouble("unexpected_item", "the service took a turn that there was not")
            return None
        self._bind(item_id, turn)
        self.cleared()
        self.ended = turn
        return turn

    def reads(self, item_id: str, piece: str) -> None:
        """The next piece of an item's transcript."""
        self._read(item_id, piece, final=False)

    def read(self, item_id: str, whole: str) -> None:
        """The whole transcript of an item; empty where nothing was understood."""
        self._read(item_id, whole, final=True)

    def typed(self, turn: int, text: str) -> None:
        """Typed text is understood as it stands; so is a turn with nothing in it."""
        self._mail.tell(UserHeard(turn, text, final=True))

    def _bind(self, item_id: str, turn: int) -> None:
        self._turn_of[item_id] = turn
        heard = self._heard.setdefault(turn, _Heard())
        heard.texts.setdefault(item_id, "")
        heard.open.add(item_id)
        while len(self._turn_of) > _REMEMBERED:
            self._turn_of.pop(next(iter(self._turn_of)))
        while len(self._heard) > _REMEMBERED:
            self._heard.pop(next(iter(self._heard)))

    def _read(self, item_id: str, text: str, *, final: bool) -> None:
        turn = self._turn_of.get(item_id)
        heard = None if turn is None else self._heard.get(turn)
        if turn is None or heard is None or item_id not in heard.open:
            self._mail.count("late_transcripts")
            return
        heard.texts[item_id] = text if final else heard.texts[item_id] + text
        if final:
            heard.open.discard(item_id)
        whole = " ".join(filter(None, (said.strip() for said in heard.texts.values())))
        self._mail.tell(UserHeard(turn, whole, final=not heard.open))
