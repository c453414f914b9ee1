"""What is known of one call."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, Final

from appliance.call.machine import CallState
from appliance.call.quality import CallQuality

ROOM: Final = "room"


@dataclass(slots=True)
class Call:
    """One call, from its INVITE to its end. Times are Unix seconds."""

    id: str
    direction: str
    peer: str
    state: CallState
    started_at: float
    agent: str = ""
    account: str = "default"
    connected_at: float | None = None
    answered_at: float | None = None
    """The same by the loop's clock, which nobody sets."""
    code: int = 0
    reason: str = ""
    session: str | None = None
    line: str | None = None
    codec: str = ""
    display_name: str = ""
    digits_by: str = "rfc4733"
    """How the far end and we send each other digits: rfc4733, info or inband. The SIP client's thread reads it too."""
    quality: CallQuality = field(default_factory=CallQuality)
    by_agent: bool = False
    """An agent's tool dialled it."""
    called: str = ""
    """Whom the caller dialled, as an address."""
    about: str = ""
    """What the agent is told of caller and number."""
    intercom: bool = False
    """The caller asked to be answered at once, and may."""
    waiting: bool = False
    """It rings until somebody is free for it."""
    locked: bool = False
    """The caller is being asked for a PIN: what they key in is told to nobody."""
    place: str = ""
    """ROOM: a person there talks on it, and no agent."""
    beside: str = ""
    """The call whose caller is to be handed over here: it has no session of its own."""
    given_up: bool = False
    """It rang for too long, and we ended it."""
    answer_timer: asyncio.TimerHandle | None = None

    def cancel_timer(self) -> None:
        """It need not be answered or given up later."""
        if self.answer_timer is not None:
            self.answer_timer.cancel()
            self.answer_timer = None

    def wire(self) -> dict[str, Any]:
        """As `status` shows it."""
        return {
            "call": self.id,
            "direction": self.direction,
            "state": str(self.state),
            "peer": self.peer,
            "display_name": self.display_name,
            "called": self.called,
            "account": self.account,
            "session": self.session,
            "line": self.line,
            "place": self.place or "agent",
            "codec": self.codec,
            "started_at": self.started_at,
            "connected_at": self.connected_at,
            "quality": self.quality.latest.wire() if self.quality.latest is not None else None,
        }
