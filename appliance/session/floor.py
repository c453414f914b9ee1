"""Carries out what the turn table says: the one place where speech, answers and playout meet."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from appliance import events
from appliance.audio.playout import Playout
from appliance.bus import EventBus
from appliance.interfaces import (
    CommitTurn,
    DiscardTurn,
    ProviderCommand,
    SendAudio,
    SendText,
)
from appliance.session.answers import Answers
from appliance.session.downlink import Cut, Downlink, Utterance
from appliance.session.latency import TurnStopwatch
from appliance.session.record import Record
from appliance.session.turn import (
    AnswerOwed,
    Command,
    Phase,
    PlayedOut,
    ProtectedStarted,
    TurnEvent,
    TurnMachine,
    UtteranceStarted,
)
from appliance.session.uplink import Uplink


class FloorOwner(Protocol):
    """The session, as its floor sees it."""

    @property
    def generation(self) -> int:
        """Of the present connection."""
        ...

    def now(self) -> float: ...

    def last_voiced_at(self) -> float: ...

    def send(self, command: ProviderCommand) -> None: ...

    def stop_tools(self) -> None: ...

    def floor_taken(self) -> None:
        """The appliance has to be silent now: something was flushed, or the person began."""
        ...

    def floor_open(self) -> None:
        """Nobody talks and nothing sounds (idle), or the person waits for an answer (thinking)."""
        ...

    def sound_begins(self) -> None:
        """Something was put into the playout."""
        ...

    def cut_off(self, cut: Cut) -> None:
        """An utterance was broken off or dropped: the provider is to know what was heard of it."""
        ...


@dataclass(frozen=True, slots=True)
class Strands:
    """The parts of a session that the floor moves."""

    session: str
    line: str
    bus: EventBus
    playout: Playout
    uplink: Uplink
    downlink: Downlink
    answers: Answers
    record: Record
    stopwatch: TurnStopwatch


class Floor:
    """`drive` takes an event of the table; `settle` looks what follows from answers and playout by themselves."""

    def __init__(self, strands: Strands, owner: FloorOwner) -> None:
        self.turn = 0
        """The newest turn that was opened."""
        self._numbered = 0
        self._s = strands
        self._owner = owner
        self._machine = TurnMachine()
        self._cuts: list[Cut] = []
        self._typed: tuple[int, str] = (0, "")
        self._settling = False
        self._execute: Final[dict[Command, Callable[[], None]]] = {
            Command.HOLD_SPEECH: strands.uplink.hold,
            Command.DROP_SPEECH: strands.uplink.let_go,
            Command.OPEN_TURN: self._open_turn,
            Command.COMMIT_TURN: self._commit_turn,
            Command.DISCARD_TURN: self._discard_turn,
            Command.SEND_TEXT: self._send_text,
            Command.PAUSE: strands.playout.pause,
            Command.RESUME: strands.playout.resume,
            Command.FLUSH: self._flush,
            Command.CANCEL: self._cancel,
        }

    @property
    def phase(self) -> Phase:
        return self._machine.phase

    def allows(self, event: type[TurnEvent]) -> bool:
        return self._machine.allows(event)

    def number(self) -> int:
        """A new turn's number."""
        self._numbered += 1
        return self._numbered

    def drive(self, event: TurnEvent, reason: str = "") -> None:
        """Take `event`, do what it entails, and settle. `reason` is told when something is interrupted by it."""
        self._settling = True
        try:
            self._handle(event, reason)
        finally:
            self._settling = False
        self.settle()

    def type_text(self, event: TurnEvent, turn: int, text: str) -> None:
        """Drive `event`, which begins the typed `turn`."""
        self._typed = (turn, text)
        self.drive(event, "text")

    def settle(self) -> None:
        """Begin what may sound now, and leave the phases that have nothing to stay for."""
        if self._settling:
            return
        self._settling = True
        try:
            while self._step():
                pass
        finally:
            self._settling = False
        if self.phase in (Phase.IDLE, Phase.THINKING):
            self._owner.floor_open()

    def give_up(self) -> None:
        """No answer comes any more: withdraw what is owed, and let what sounds end where it is."""
        turn = self._s.answers.owed
        sounding = self._s.downlink.sounding
        self._settling = True
        try:
            self._cancel()
        finally:
            self._settling = False
        if turn is not None:
            self._answered(turn)
        if sounding is not None and sounding.response:
            self._s.downlink.end(sounding.id, broken=True)
        self.settle()

    def _step(self) -> bool:
        downlink, answers, phase = self._s.downlink, self._s.answers, self.phase
        if phase.open and (started := downlink.release(self._due)) is not None:
            self._handle(UtteranceStarted() if started.interruptible else ProtectedStarted())
            self._owner.sound_begins()
            return True
        if downlink.sounding is not None:
            return False
        if phase.sounding:
            more = phase is not Phase.OVERTALK and (answers.owed is not None or downlink.ready)
            self._handle(AnswerOwed() if more else PlayedOut())
            return True
        if phase in (Phase.THINKING, Phase.DOUBTING) and answers.owed is None and not downlink.ready:
            self._handle(PlayedOut())
            return True
        return False

    def _due(self, utterance: Utterance) -> bool:
        """Who waits for an answer is given nothing else of the provider's before."""
        owed = self._s.answers.owed
        return not utterance.response or owed is None or utterance.turn == owed

    def _handle(self, event: TurnEvent, reason: str = "") -> None:
        before = self._machine.state, self.turn
        owed = self._s.answers.owed
        commands = self._machine.handle(event)
        self._cuts = []
        for command in commands:
            self._execute[command]()
        if self._cuts or (Command.CANCEL in commands and owed is not None):
            self._tell_interrupted(reason)
        if (self._machine.state, self.turn) != before:
            self._publish(events.TurnChanged, state=self._machine.state.value)

    def _tell_interrupted(self, reason: str) -> None:
        sounded = next((cut for cut in self._cuts if cut.heard_ms), None)
        self._s.bus.publish(
            events.Interrupted(
                session=self._s.session,
                line=self._s.line,
                turn=sounded.utterance.turn if sounded else self.turn,
                heard_ms=sounded.heard_ms if sounded else 0,
                reason=reason or "speech",
            )
        )

    # --- commands of the table ---

    def _open_turn(self) -> None:
        self.turn = self.number()
        frames = self._s.uplink.open(self.turn)
        self._publish(events.SpeechStarted)
        for frame in frames:
            self._owner.send(SendAudio(self.turn, frame))
        self._owner.floor_taken()

    def _commit_turn(self) -> None:
        self._s.uplink.commit()
        self._s.answers.expect(self.turn)
        self._owner.send(CommitTurn(self.turn))
        self._s.stopwatch.start(self.turn, self._owner.last_voiced_at(), self._owner.now())
        self._publish(events.SpeechStopped)

    def _discard_turn(self) -> None:
        if self._s.uplink.discard():
            self._owner.send(DiscardTurn(self.turn))
        self._publish(events.SpeechStopped)

    def _send_text(self) -> None:
        self.turn, text = self._typed
        self._s.uplink.typed(self.turn, text)
        self._s.answers.expect(self.turn)
        self._s.record.user(self.turn, text, final=True)
        self._owner.send(SendText(self.turn, text))

    def _flush(self) -> None:
        cut = self._s.downlink.flush()
        if cut is not None:
            self._cut_off(cut)
        self._owner.floor_taken()

    def _cancel(self) -> None:
        """Withdraw the answers that wait; one that sounded was cut by a flush before this."""
        for cut in self._s.downlink.withdraw(lambda utterance: bool(utterance.response)):
            self._cut_off(cut)
        owed = self._s.answers.owed
        self._s.answers.withdraw()
        self._owner.stop_tools()
        if self.phase.heeds:
            for typed in self._s.uplink.carry():
                self._s.record.answered(typed)
        elif owed is not None:
            self._answered(owed)

    def _answered(self, turn: int) -> None:
        """`turn` is not sent again."""
        self._s.uplink.answered(turn)
        self._s.record.answered(turn)

    def _cut_off(self, cut: Cut) -> None:
        self._cuts.append(cut)
        self._s.record.said(cut.utterance, cut.heard)
        self._owner.cut_off(cut)

    def _publish(self, kind: type[events.Event], **fields: object) -> None:
        self._s.bus.publish(kind(session=self._s.session, line=self._s.line, turn=self.turn, **fields))  # type: ignore[call-arg,arg-type]
