"""Who holds the floor. A table, without clock and I/O: an event and a phase give the next phase and what is to be done.

The control API knows four states; the table has more phases, because a sound that may become a barge-in is not one yet,
and because some utterances cannot be interrupted. A candidate is speech that has begun while the appliance speaks or
thinks: it is kept back from the provider until it has lasted long enough to be a barge-in.
"""

from collections.abc import Mapping
from enum import StrEnum, auto
from typing import Final

from appliance.errors import IllegalTransition
from appliance.records import record


class TurnState(StrEnum):
    """Who holds the floor, as the control API tells it."""

    IDLE = "idle"
    LISTENING = "listening"
    THINKING = "thinking"
    SPEAKING = "speaking"


class Phase(StrEnum):
    IDLE = "idle"
    LISTENING = "listening"
    THINKING = "thinking"
    DOUBTING = "doubting"
    """Thinking, and a candidate sounds: no answer begins meanwhile."""
    SPEAKING = "speaking"
    PAUSED = "paused"
    """Speaking, and a candidate sounds: playout stands still."""
    PROTECTED = "protected"
    """Speaking what cannot be interrupted."""
    CAUTIOUS = "cautious"
    """Speaking what cannot be interrupted, and a candidate sounds: playout goes on."""
    OVERTALK = "overtalk"
    """Speaking what cannot be interrupted, while the person says a turn of their own."""

    @property
    def state(self) -> TurnState:
        return _STATES[self]

    @property
    def doubtful(self) -> bool:
        """A candidate sounds: it will be confirmed or dismissed."""
        return self in (Phase.DOUBTING, Phase.PAUSED, Phase.CAUTIOUS)

    @property
    def heeds(self) -> bool:
        """The person's speech goes to the provider as it comes."""
        return self in (Phase.LISTENING, Phase.OVERTALK)

    @property
    def sounding(self) -> bool:
        """Something is in the playout."""
        return self.state is TurnState.SPEAKING

    @property
    def open(self) -> bool:
        """The next utterance may begin to sound."""
        return self in (Phase.IDLE, Phase.THINKING, Phase.SPEAKING, Phase.PROTECTED)


_STATES: Final = {
    Phase.IDLE: TurnState.IDLE,
    Phase.LISTENING: TurnState.LISTENING,
    Phase.THINKING: TurnState.THINKING,
    Phase.DOUBTING: TurnState.THINKING,
    Phase.SPEAKING: TurnState.SPEAKING,
    Phase.PAUSED: TurnState.SPEAKING,
    Phase.PROTECTED: TurnState.SPEAKING,
    Phase.CAUTIOUS: TurnState.SPEAKING,
    Phase.OVERTALK: TurnState.SPEAKING,
}


@record(frozen=True, slots=True)
class TurnEvent:
    """Base of what moves the floor."""


@record(frozen=True, slots=True)
class SpeechStarted(TurnEvent):
    """The detector heard an onset."""


@record(frozen=True, slots=True)
class SpeechConfirmed(TurnEvent):
    """A candidate has lasted long enough: it is a barge-in."""


@record(frozen=True, slots=True)
class SpeechDismissed(TurnEvent):
    """It was a cough: too short to be a candidate any longer, or to be a turn."""


@record(frozen=True, slots=True)
class SpeechStopped(TurnEvent):
    """The person has finished."""


@record(frozen=True, slots=True)
class TalkPressed(TurnEvent):
    """The push-to-talk key is down: an unconditional barge-in."""


@record(frozen=True, slots=True)
class TextTyped(TurnEvent):
    """A typed turn begins."""


@record(frozen=True, slots=True)
class Interrupted(TurnEvent):
    """Somebody told the appliance to be silent."""


@record(frozen=True, slots=True)
class UtteranceStarted(TurnEvent):
    """Something that may be interrupted is put into the playout."""


@record(frozen=True, slots=True)
class ProtectedStarted(TurnEvent):
    """Something that may not be interrupted is put into the playout."""


@record(frozen=True, slots=True)
class PlayedOut(TurnEvent):
    """Nothing is left to play, and no answer is owed."""


@record(frozen=True, slots=True)
class AnswerOwed(TurnEvent):
    """Nothing is left to play, but an answer is still owed."""


class Command(StrEnum):
    """What the session does, in this order, when the floor changes."""

    HOLD_SPEECH = auto()
    """Keep the candidate's sound, pre-roll included."""
    DROP_SPEECH = auto()
    """It was no speech: let it go."""
    OPEN_TURN = auto()
    """A turn begins: send what was kept, and what follows."""
    COMMIT_TURN = auto()
    DISCARD_TURN = auto()
    SEND_TEXT = auto()
    PAUSE = auto()
    RESUME = auto()
    FLUSH = auto()
    """Silence: drop what plays and what waits to play."""
    CANCEL = auto()
    """Withdraw every answer that is owed, begun or waiting, and tell the provider what was heard; stop tools."""


Step = tuple[Phase, tuple[Command, ...]]
(IDLE, LISTENING, THINKING, DOUBTING, SPEAKING, PAUSED, PROTECTED, CAUTIOUS, OVERTALK) = Phase
_C = Command
_BARGE_IN: Final[Step] = (LISTENING, (_C.FLUSH, _C.CANCEL, _C.OPEN_TURN))
_SILENCED: Final[Step] = (IDLE, (_C.FLUSH, _C.CANCEL))

TRANSITIONS: Final[Mapping[Phase, Mapping[type[TurnEvent], Step]]] = {
    IDLE: {
        SpeechStarted: (LISTENING, (_C.OPEN_TURN,)),
        TalkPressed: (LISTENING, (_C.OPEN_TURN,)),
        TextTyped: (THINKING, (_C.SEND_TEXT,)),
        UtteranceStarted: (SPEAKING, ()),
        ProtectedStarted: (PROTECTED, ()),
        Interrupted: (IDLE, ()),
    },
    LISTENING: {
        SpeechStopped: (THINKING, (_C.COMMIT_TURN,)),
        SpeechDismissed: (IDLE, (_C.DISCARD_TURN,)),
        TalkPressed: (LISTENING, ()),
        Interrupted: (LISTENING, ()),
    },
    THINKING: {
        SpeechStarted: (DOUBTING, (_C.HOLD_SPEECH,)),
        TalkPressed: (LISTENING, (_C.CANCEL, _C.OPEN_TURN)),
        UtteranceStarted: (SPEAKING, ()),
        ProtectedStarted: (PROTECTED, ()),
        Interrupted: (IDLE, (_C.CANCEL,)),
        PlayedOut: (IDLE, ()),
    },
    DOUBTING: {
        SpeechConfirmed: (LISTENING, (_C.CANCEL, _C.OPEN_TURN)),
        SpeechDismissed: (THINKING, (_C.DROP_SPEECH,)),
        TalkPressed: (LISTENING, (_C.CANCEL, _C.OPEN_TURN)),
        Interrupted: (LISTENING, (_C.CANCEL, _C.OPEN_TURN)),
        PlayedOut: (LISTENING, (_C.OPEN_TURN,)),
    },
    SPEAKING: {
        SpeechStarted: (PAUSED, (_C.PAUSE, _C.HOLD_SPEECH)),
        TalkPressed: _BARGE_IN,
        TextTyped: (THINKING, (_C.FLUSH, _C.CANCEL, _C.SEND_TEXT)),
        UtteranceStarted: (SPEAKING, ()),
        ProtectedStarted: (PROTECTED, ()),
        Interrupted: _SILENCED,
        PlayedOut: (IDLE, ()),
        AnswerOwed: (THINKING, ()),
    },
    PAUSED: {
        SpeechConfirmed: _BARGE_IN,
        SpeechDismissed: (SPEAKING, (_C.RESUME, _C.DROP_SPEECH)),
        TalkPressed: _BARGE_IN,
        Interrupted: _BARGE_IN,
        # The last sample left just before the pause: nothing is interrupted any more.
        PlayedOut: (LISTENING, (_C.RESUME, _C.OPEN_TURN)),
        AnswerOwed: (DOUBTING, (_C.RESUME,)),
    },
    PROTECTED: {
        SpeechStarted: (CAUTIOUS, (_C.HOLD_SPEECH,)),
        TalkPressed: _BARGE_IN,
        UtteranceStarted: (SPEAKING, ()),
        ProtectedStarted: (PROTECTED, ()),
        Interrupted: _SILENCED,
        PlayedOut: (IDLE, ()),
        AnswerOwed: (THINKING, ()),
    },
    CAUTIOUS: {
        SpeechConfirmed: (OVERTALK, (_C.CANCEL, _C.OPEN_TURN)),
        SpeechDismissed: (PROTECTED, (_C.DROP_SPEECH,)),
        TalkPressed: _BARGE_IN,
        Interrupted: _BARGE_IN,
        PlayedOut: (LISTENING, (_C.OPEN_TURN,)),
        AnswerOwed: (DOUBTING, ()),
    },
    OVERTALK: {
        SpeechStopped: (PROTECTED, (_C.COMMIT_TURN,)),
        TalkPressed: (LISTENING, (_C.FLUSH,)),
        Interrupted: (LISTENING, (_C.FLUSH,)),
        PlayedOut: (LISTENING, ()),
    },
}


class TurnMachine:
    """Starts in `idle`; `phase` changes only in `handle`."""

    def __init__(self) -> None:
        self.phase = IDLE

    @property
    def state(self) -> TurnState:
        return self.phase.state

    def allows(self, event: type[TurnEvent]) -> bool:
        """Whether the present phase has an entry for `event`."""
        return event in TRANSITIONS[self.phase]

    def handle(self, event: TurnEvent) -> tuple[Command, ...]:
        """Return what is to be done; raise IllegalTransition and change nothing where the table has no entry."""
        try:
            new, commands = TRANSITIONS[self.phase][type(event)]
        except KeyError:
            raise IllegalTransition(self.phase, event) from None
        self.phase = new
        return commands
