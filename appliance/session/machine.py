"""The states of a session. A table, without clock and I/O; docs/architecture.md draws it."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from appliance.errors import IllegalTransition
from appliance.records import record


class SessionState(StrEnum):
    CREATED = "created"
    CONNECTING = "connecting"
    ACTIVE = "active"
    RECONNECTING = "reconnecting"
    TRANSFERRING = "transferring"
    CLOSED = "closed"


@record(frozen=True, slots=True)
class SessionEvent:
    """Base of what moves a session."""


@record(frozen=True, slots=True)
class Started(SessionEvent):
    """The first dial of a provider begins."""


@record(frozen=True, slots=True)
class LinkRose(SessionEvent):
    """A provider is connected, and the conversation restored."""


@record(frozen=True, slots=True)
class LinkFell(SessionEvent):
    """The provider's connection is gone; it is dialled again."""


@record(frozen=True, slots=True)
class TransferBegan(SessionEvent):
    """The conversation goes over to another agent."""


@record(frozen=True, slots=True)
class Ended(SessionEvent):
    """The session is over, for whatever reason."""


CREATED, CONNECTING, ACTIVE, RECONNECTING, TRANSFERRING, CLOSED = SessionState

TRANSITIONS: Final[Mapping[SessionState, Mapping[type[SessionEvent], SessionState]]] = {
    CREATED: {Started: CONNECTING, Ended: CLOSED},
    CONNECTING: {LinkRose: ACTIVE, Ended: CLOSED},
    ACTIVE: {LinkFell: RECONNECTING, TransferBegan: TRANSFERRING, Ended: CLOSED},
    RECONNECTING: {LinkRose: ACTIVE, Ended: CLOSED},
    TRANSFERRING: {LinkRose: ACTIVE, LinkFell: RECONNECTING, Ended: CLOSED},
    CLOSED: {},
}


class SessionMachine:
    """Starts in `created`; `state` changes only in `handle`."""

    def __init__(self) -> None:
        self.state = CREATED

    def handle(self, event: SessionEvent) -> SessionState:
        """Return the state after `event`; raise IllegalTransition and change nothing where the table has no entry."""
        new = TRANSITIONS[self.state].get(type(event))
        if new is None:
            raise IllegalTransition(self.state, event)
        self.state = new
        return new
