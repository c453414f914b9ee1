"""What was said: to the bus as transcripts, to the store, and as the history that a new connection begins with."""

import time
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final, Protocol

from appliance.bus import EventBus
from appliance.events import Transcript
from appliance.interfaces import CalledTool, HistoryItem
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


@dataclass(slots=True)
class _Entry:
    """`turn` is that of the person's words; they may come after the place that is kept for them."""

    item: HistoryItem | CalledTool
    turn: int = 0


class Record:
    """What the person said counts as history once it is answered: until then it is sent again with its sound."""

    def __init__(self, session: str, line: str, bus: EventBus, journal: Journal) -> None:
        self._session = session
        self._line = line
        self._bus = bus
        self._journal = journal
        self._history: deque[_Entry] = deque()
        self._unanswered: dict[int, str] = {}
        self._answered: deque[int] = deque(maxlen=_PENDING)
        self._told: deque[tuple[int, str]] = deque(maxlen=_PENDING)

    def history(self) -> tuple[HistoryItem | CalledTool, ...]:
        """Oldest first; a call has its outcome as soon as the model was given it."""
        return tuple(
            entry.item for entry in self._history if isinstance(entry.item, CalledTool) or entry.item.text
        )

    def user(self, turn: int, text: str, *, final: bool) -> None:
        """What the provider understood of `turn`, or what was typed; told once, though a provider echoes what was."""
        told = final and (turn, text) in self._told
        if not told:
            self._publish(turn, "user", text, final=final)
        if not final or not text:
            return
        if not told:
            self._told.append((turn, text))
            self._journal.add_turn(self._session, turn, "user", text, None, time.time())
        place = next((entry for entry in self._history if entry.turn == turn), None) if turn else None
        if place is not None:
            place.item = HistoryItem("user", text)
        elif turn in self._answered:
            self._append(HistoryItem("user", text), turn)
        else:
            self._unanswered[turn] = text
            while len(self._unanswered) > _PENDING:
                del self._unanswered[next(iter(self._unanswered))]

    def answered(self, turn: int) -> None:
        """`turn` needs no answer any more, nor does what was said before it. Harmless when repeated."""
        if turn in self._answered:
            return
        self._answered.append(turn)
        heard_before = tuple(self._unanswered)
        upto = heard_before.index(turn) + 1 if turn in heard_before else 0
        for number in heard_before[:upto] or tuple(before for before in heard_before if before < turn):
            self._append(HistoryItem("user", self._unanswered.pop(number)), number)
        if not upto:
            self._append(HistoryItem("user", ""), turn)

    def said_again(self, typed: Collection[int]) -> None:
        """What is not answered was sent again, and will be understood again; but not so what was `typed`."""
        for turn in [turn for turn in self._unanswered if turn not in typed]:
            del self._unanswered[turn]

    def called(self, call: CalledTool) -> None:
        """The model called a tool."""
        self._append(call)

    def outcome(self, call_id: str, outcome: str | None) -> None:
        """What became of that call, JSON text; None: the model does not know it, after all."""
        for entry in self._history:
            if isinstance(entry.item, CalledTool) and entry.item.call_id == call_id:
                entry.item = replace(entry.item, outcome=outcome)

    def _append(self, item: HistoryItem | CalledTool, turn: int = 0) -> None:
        self._history.append(_Entry(item, turn))
        if len(self._history) > HISTORY_ITEMS:
            self._history.remove(next((one for one in self._history if _over(one)), self._history[0]))

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
            self._append(HistoryItem("assistant", heard))

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


def _over(entry: _Entry) -> bool:
    """Nothing is to come of it: not the outcome of a call."""
    return not isinstance(entry.item, CalledTool) or entry.item.outcome is not None
