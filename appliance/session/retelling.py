"""What each new connection is told of the conversation: what it begins with, what is sent again, what is given up."""

from collections.abc import Collection, Mapping
from typing import Protocol

from appliance.interfaces import CalledTool, CancelResponse, CommitTurn, HistoryItem, SendAudio, SendText
from appliance.session.calls import Calls
from appliance.session.downlink import Cut
from appliance.session.floor import Floor, FloorOwner, Strands
from appliance.session.phrases import Phrase


class RetellingOwner(FloorOwner, Protocol):
    """The dialogue, as its retelling sees it."""

    @property
    def restores_calls(self) -> bool:
        """The provider that is dialled takes calls without an outcome."""
        ...

    def warn(self, code: str, message: str) -> None: ...

    def appliance_says(self, which: Phrase) -> None: ...

    def abandon_answer(self, which: Phrase) -> None:
        """No answer comes: let the floor go, and say so unless something was said."""
        ...


class Retelling:
    """For each connection `set_up`, `restore` once it is there, `lost` in the end; all on the loop's thread."""

    def __init__(self, strands: Strands, floor: Floor, calls: Calls, owner: RetellingOwner) -> None:
        self._s = strands
        self._floor = floor
        self._calls = calls
        self._owner = owner
        self._retold: frozenset[str] = frozenset()
        """Utterances that the newest set-up tells of, though they were not heard to the end."""
        self._restored = True
        """Its connection is there."""
        self._corrections: list[CancelResponse] = []
        self._given_up = 0

    def counters(self) -> Mapping[str, int]:
        return {"turns_given_up": self._given_up}

    def set_up(self, *, bare: bool = False) -> tuple[HistoryItem | CalledTool, ...]:
        """What the connection begins with that is dialled now; `restore` sends what it does not know by then.

        `bare`: nothing. The record keeps it for the connection after that.
        """
        if bare:
            self._owner.warn(
                "history_left_out", "every connection broke at once: the next begins without the history"
            )
            self._calls.set_up(())
            self._retold, self._restored = frozenset(), False
            self._corrections.clear()
            return ()
        said = self._s.record.history()
        if not self._owner.restores_calls:
            said = tuple(
                item for item in said if not isinstance(item, CalledTool) or item.outcome is not None
            )
        unheard = [entry for entry in self._s.downlink.answers() if entry.spoken.text.strip()]
        self._calls.set_up(said)
        self._retold, self._restored = frozenset(entry.id for entry in unheard), False
        self._corrections.clear()
        return (*said, *(HistoryItem("assistant", entry.to_be_heard, entry.id) for entry in unheard))

    def restore(self) -> None:
        """A new connection has what `set_up` gave: send what has changed since, and the unanswered turns."""
        self._restored = True
        # A turn that opens in what follows sends itself.
        entries = self._s.uplink.resent()
        for correction in self._corrections:
            self._owner.send(correction)
        self._corrections.clear()
        self._calls.restored()
        self._s.record.said_again([entry.turn for entry in entries if entry.text])
        for entry in entries:
            if entry.text:
                self._owner.send(SendText(entry.turn, entry.text))
                continue
            for frame in entry.frames:
                self._owner.send(SendAudio(entry.turn, frame))
            if entry.committed:
                self._owner.send(CommitTurn(entry.turn))
        self._give_up_lost()

    def cut_off(self, cut: Cut) -> None:
        """Less of an utterance was heard than the set-up tells: the connection learns so."""
        if cut.utterance.id not in self._retold:
            return
        correction = CancelResponse(cut.utterance.id, cut.heard, cut.heard_ms)
        if self._restored:
            self._owner.send(correction)
        else:
            self._corrections.append(correction)

    def lost(self, *, broken: bool) -> None:
        """The connection is gone; `broken`: not on purpose. An answer that had begun, or acted, is not asked for again.

        It is still to come where it waits for a tool: the next connection is given the result.
        """
        self._calls.lost()
        if broken and (turns := self._s.uplink.lost()):
            self._give_up(turns)
        self._give_up_lost()
        self._floor.settle()

    def _give_up(self, turns: Collection[int]) -> None:
        """They ended each connection that was to answer them: they are history, unanswered."""
        self._given_up += len(turns)
        self._owner.warn(
            "turn_given_up", "each connection that was to answer broke off: what was said is not sent again"
        )
        self._owner.abandon_answer(Phrase.NO_ANSWER)
        for turn in turns:
            self._s.uplink.answered(turn)
            self._s.record.answered(turn)

    def _give_up_lost(self) -> None:
        answers, downlink = self._s.answers, self._s.downlink
        resent = {entry.turn for entry in self._s.uplink.unanswered()}
        if answers.owed is None or answers.owed in resent or self._calls.keeps(answers.owed):
            return
        begun = any(entry.turn == answers.owed for entry in downlink.answers())
        answers.settle()
        if not begun:
            self._owner.appliance_says(Phrase.SAY_AGAIN)
        self._floor.settle()
