"""The states of a call, and which may follow which. Pure: no clock, no I/O.

    incoming ─► ringing ─► connected ◄─► held
    dialing ─► ringing/early ─► connected ◄─► transferring ─► ended
Every state may end. What the far side reports late or out of order is no error of ours: `follow` says so and
nothing changes.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class CallState(StrEnum):
    """As the control API shows it."""

    INCOMING = "incoming"
    """An INVITE has come; nobody has been told to ring yet."""
    DIALING = "dialing"
    """Our INVITE is out."""
    RINGING = "ringing"
    """180: we ring, or the far phone does."""
    EARLY = "early"
    """183: the far side plays something before it answers."""
    CONNECTED = "connected"
    HELD = "held"
    TRANSFERRING = "transferring"
    """Somebody else is being called for the far side; repeated with each step that is told of it."""
    ENDED = "ended"


_S: Final = CallState
FOLLOWERS: Final[Mapping[CallState, frozenset[CallState]]] = {
    _S.INCOMING: frozenset({_S.RINGING, _S.CONNECTED, _S.ENDED}),
    _S.DIALING: frozenset({_S.RINGING, _S.EARLY, _S.CONNECTED, _S.ENDED}),
    _S.RINGING: frozenset({_S.EARLY, _S.CONNECTED, _S.ENDED}),
    _S.EARLY: frozenset({_S.RINGING, _S.CONNECTED, _S.ENDED}),
    _S.CONNECTED: frozenset({_S.HELD, _S.TRANSFERRING, _S.ENDED}),
    _S.HELD: frozenset({_S.CONNECTED, _S.TRANSFERRING, _S.ENDED}),
    _S.TRANSFERRING: frozenset({_S.TRANSFERRING, _S.CONNECTED, _S.HELD, _S.ENDED}),
    _S.ENDED: frozenset(),
}
HELD_HERE: Final = "held here"
"""The telephone's reason for a call that we have put on hold, and not the far end."""
ANSWERED: Final = frozenset({_S.CONNECTED, _S.HELD, _S.TRANSFERRING})


def follow(state: CallState, reported: CallState) -> CallState | None:
    """The state after `reported`, or None where the report comes late, twice, or out of order."""
    return reported if reported in FOLLOWERS[state] else None
