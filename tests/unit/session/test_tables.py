"""The two tables: what is in them, and that nothing else is possible."""

import itertools

import pytest

from appliance.errors import IllegalTransition
from appliance.session import machine, turn
from appliance.session.machine import SessionEvent, SessionMachine, SessionState
from appliance.session.turn import Command, Phase, TurnEvent, TurnMachine, TurnState

C = Command
BARGE_IN = [C.FLUSH, C.CANCEL, C.OPEN_TURN]

TURNS = [
    # phase, event, phase afterwards, commands
    ("idle", "SpeechStarted", "listening", [C.OPEN_TURN]),
    ("idle", "TalkPressed", "listening", [C.OPEN_TURN]),
    ("idle", "TextTyped", "thinking", [C.SEND_TEXT]),
    ("idle", "UtteranceStarted", "speaking", []),
    ("idle", "ProtectedStarted", "protected", []),
    ("idle", "Interrupted", "idle", []),
    ("listening", "SpeechStopped", "thinking", [C.COMMIT_TURN]),
    ("listening", "SpeechDismissed", "idle", [C.DISCARD_TURN]),
    ("listening", "TalkPressed", "listening", []),
    ("listening", "Interrupted", "listening", []),
    ("thinking", "SpeechStarted", "doubting", [C.HOLD_SPEECH]),
    ("thinking", "TalkPressed", "listening", [C.CANCEL, C.OPEN_TURN]),
    ("thinking", "UtteranceStarted", "speaking", []),
    ("thinking", "ProtectedStarted", "protected", []),
    ("thinking", "Interrupted", "idle", [C.CANCEL]),
    ("thinking", "PlayedOut", "idle", []),
    ("doubting", "SpeechConfirmed", "listening", [C.CANCEL, C.OPEN_TURN]),
    ("doubting", "SpeechDismissed", "thinking", [C.DROP_SPEECH]),
    ("doubting", "TalkPressed", "listening", [C.CANCEL, C.OPEN_TURN]),
    ("doubting", "Interrupted", "listening", [C.CANCEL, C.OPEN_TURN]),
    ("doubting", "PlayedOut", "listening", [C.OPEN_TURN]),
    ("speaking", "SpeechStarted", "paused", [C.PAUSE, C.HOLD_SPEECH]),
    ("speaking", "TalkPressed", "listening", BARGE_IN),
    ("speaking", "TextTyped", "thinking", [C.FLUSH, C.CANCEL, C.SEND_TEXT]),
    ("speaking", "UtteranceStarted", "speaking", []),
    ("speaking", "ProtectedStarted", "protected", []),
    ("speaking", "Interrupted", "idle", [C.FLUSH, C.CANCEL]),
    ("speaking", "PlayedOut", "idle", []),
    ("speaking", "AnswerOwed", "thinking", []),
    ("paused", "SpeechConfirmed", "listening", BARGE_IN),
    ("paused", "SpeechDismissed", "speaking", [C.RESUME, C.DROP_SPEECH]),
    ("paused", "TalkPressed", "listening", BARGE_IN),
    ("paused", "Interrupted", "listening", BARGE_IN),
    ("paused", "PlayedOut", "listening", [C.RESUME, C.OPEN_TURN]),
    ("paused", "AnswerOwed", "doubting", [C.RESUME]),
    ("protected", "SpeechStarted", "cautious", [C.HOLD_SPEECH]),
    ("protected", "TalkPressed", "listening", BARGE_IN),
    ("protected", "UtteranceStarted", "speaking", []),
    ("protected", "ProtectedStarted", "protected", []),
    ("protected", "Interrupted", "idle", [C.FLUSH, C.CANCEL]),
    ("protected", "PlayedOut", "idle", []),
    ("protected", "AnswerOwed", "thinking", []),
    ("cautious", "SpeechConfirmed", "overtalk", [C.CANCEL, C.OPEN_TURN]),
    ("cautious", "SpeechDismissed", "protected", [C.DROP_SPEECH]),
    ("cautious", "TalkPressed", "listening", BARGE_IN),
    ("cautious", "Interrupted", "listening", BARGE_IN),
    ("cautious", "PlayedOut", "listening", [C.OPEN_TURN]),
    ("cautious", "AnswerOwed", "doubting", []),
    ("overtalk", "SpeechStopped", "protected", [C.COMMIT_TURN]),
    ("overtalk", "TalkPressed", "listening", [C.FLUSH]),
    ("overtalk", "Interrupted", "listening", [C.FLUSH]),
    ("overtalk", "PlayedOut", "listening", []),
]

SESSIONS = [
    ("created", "Started", "connecting"),
    ("created", "Ended", "closed"),
    ("connecting", "LinkRose", "active"),
    ("connecting", "Ended", "closed"),
    ("active", "LinkFell", "reconnecting"),
    ("active", "TransferBegan", "transferring"),
    ("active", "Ended", "closed"),
    ("reconnecting", "LinkRose", "active"),
    ("reconnecting", "Ended", "closed"),
    ("transferring", "LinkRose", "active"),
    ("transferring", "LinkFell", "reconnecting"),
    ("transferring", "Ended", "closed"),
]


def turn_event(name: str) -> TurnEvent:
    event: TurnEvent = getattr(turn, name)()
    return event


def session_event(name: str) -> SessionEvent:
    event: SessionEvent = getattr(machine, name)()
    return event


def turn_machine(phase: str) -> TurnMachine:
    subject = TurnMachine()
    subject.phase = Phase(phase)
    return subject


def session_machine(state: str) -> SessionMachine:
    subject = SessionMachine()
    subject.state = SessionState(state)
    return subject


TURN_EVENTS = sorted(kind.__name__ for kind in TurnEvent.__subclasses__())
SESSION_EVENTS = sorted(kind.__name__ for kind in SessionEvent.__subclasses__())
ILLEGAL_TURNS = sorted(set(itertools.product(map(str, Phase), TURN_EVENTS)) - {row[:2] for row in TURNS})
ILLEGAL_SESSIONS = sorted(
    set(itertools.product(map(str, SessionState), SESSION_EVENTS)) - {row[:2] for row in SESSIONS}
)


@pytest.mark.parametrize(("phase", "event", "after", "commands"), TURNS)
def test_the_floor_changes_as_the_table_says(phase, event, after, commands):
    subject = turn_machine(phase)
    assert subject.allows(type(turn_event(event)))
    assert list(subject.handle(turn_event(event))) == commands
    assert subject.phase == after


@pytest.mark.parametrize(("phase", "event"), ILLEGAL_TURNS)
def test_what_the_turn_table_does_not_have_raises_and_changes_nothing(phase, event):
    subject = turn_machine(phase)
    with pytest.raises(IllegalTransition, match=f"{event} is illegal in state {phase}"):
        subject.handle(turn_event(event))
    assert subject.phase == phase


@pytest.mark.parametrize(("state", "event", "after"), SESSIONS)
def test_a_session_changes_as_the_table_says(state, event, after):
    subject = session_machine(state)
    assert subject.handle(session_event(event)) == after == subject.state


@pytest.mark.parametrize(("state", "event"), ILLEGAL_SESSIONS)
def test_what_the_session_table_does_not_have_raises_and_changes_nothing(state, event):
    subject = session_machine(state)
    with pytest.raises(IllegalTransition, match=f"{event} is illegal in state {state}"):
        subject.handle(session_event(event))
    assert subject.state == state


def test_every_phase_is_one_of_the_four_states_of_the_control_api():
    assert {phase.state for phase in Phase} == set(TurnState)


def test_whoever_is_silenced_by_a_flush_was_sounding():
    flushed = {phase for phase, _, _, commands in TURNS if C.FLUSH in commands}
    assert all(Phase(phase).sounding for phase in flushed)


def test_a_paused_playout_is_always_resumed_or_flushed():
    leaving = [row for row in TURNS if row[0] == "paused"]
    assert all(C.RESUME in commands or C.FLUSH in commands for _, _, _, commands in leaving)


def test_a_turn_is_opened_exactly_where_listening_begins():
    for phase, _, after, commands in TURNS:
        begins = Phase(after).heeds and not Phase(phase).heeds
        assert begins == (C.OPEN_TURN in commands)
