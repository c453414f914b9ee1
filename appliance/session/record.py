"""What was said: to the bus as transcripts, to the store, and as the history that a new connection begins with."""

import time
from collections import deque
from typing import Final, Protocol

from appliance.events import EventBus, Transcript
from appliance.interfaces import HistoryItem
from appliance.session.downlink import Utterance

HISTORY_ITEMS: Final = 60
_PENDING: Final = 32


class Journal(Protocol):
    """Where sessions are kept. Nothing here waits or fails."""

    def begin_session(self, session: str, line: str, agent: str, at: float, user: str = "") -> None: ...

    def add_turn(
        self, session: str, turn: int, role: str, text: str, heard: str | None, at: float
    ) -> None: ...

    def end_session(self, session: str, reason: str, at: float) -> None: ...


class NoJournal:
    """Keeps nothing."""

    def begin_session(self, session: str, line: str, agent: str, at: float, user: str = "") -> None: ...

    def add_turn(
        self, session: str, turn: int, role: str, text: str, heard: str | None, at: float
    ) -> None: ...

    def end_session(self, session: str, reason: str, at: float) -> None: ...


class Record:
    """What the person said counts as history once it is answered: until then it is sent again with its sound."""

    def __init__(self, session: str, line: str, bus: EventBus, journal: Journal) -> None:
        self._session = session
        self._line = line
        self._bus = bus
        self._journal = journal
        self._history: deque[HistoryItem] = deque(maxlen=HISTORY_ITEMS)
        self._unanswered: dict[int, str] = {}
        self._answered: deque[int] = deque(maxlen=_PENDING)

    def history(self) -> tuple[HistoryItem, ...]:
        return tuple(self._history)

    def user(self, turn: int, text: str, *, final: bool) -> None:
        """What the provider understood of `turn`, or what was typed."""
        self._publish(turn, "user", text, final=final)
        if not final or not text:
            return
        self._journal.add_turn(self._session, turn, "user", text, None, time.time())
        if turn in self._answered:
            self._history.append(HistoryItem("user", text))
            return
        self._unanswered[turn] = text
        while len(self._unanswered) > _PENDING:
            del self._unanswered[next(iter(self._unanswered))]

    def answered(self, turn: int) -> None:
        """The answer to `turn` began. Harmless when repeated."""
        if turn not in self._answered:
            self._answered.append(turn)
        text = self._unanswered.pop(turn, "")
        if text:
            self._history.append(HistoryItem("user", text))

    def saying(self, utterance: Utterance) -> None:
        """More text of it came."""
        self._publish(utterance.turn, "assistant", utterance.spoken.text.strip(), final=False)

    def said(self, utterance: Utterance, heard: str) -> None:
        """It is over; `heard` is what reached the person."""
        text = utterance.spoken.text.strip()
        if not text:
            return
        self._publish(utterance.turn, "assistant", text, final=True, heard=heard)
        self._journal.add_turn(self._session, utterance.turn, "assistant", text, heard, time.time())
        if heard:
            self._history.append(HistoryItem("assistant", heard))

    def _publish(self, turn: int, role: str, text: str, *, final: bool, heard: str | None = None) -> None:
        self._bus.publish(
            Transcript(
                session=self._session,
                line=self._line,
                turn=turn,
                role=role,
                text=text,
                final=final,
                heard=heard,
            )
        )
