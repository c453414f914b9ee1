"""What a session is given: the line it is held on, and what the daemon lends to all sessions."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from appliance.audio.playout import Playout
from appliance.bus import EventBus
from appliance.config.schema import Conversation, Limits, Vad
from appliance.interfaces import LineKind, Provider, Voice
from appliance.session.checkpoint import Checkpoints
from appliance.session.record import Journal
from appliance.session.standing import Standings
from appliance.session.usage import Usage


class SessionLine(Protocol):
    """The line, as its session sees it."""

    @property
    def id(self) -> str: ...

    @property
    def kind(self) -> LineKind: ...

    @property
    def playout(self) -> Playout: ...

    @property
    def by_voice(self) -> bool:
        """Speech opens a turn; otherwise the push-to-talk key alone does."""
        ...

    def watch_playout(self) -> None:
        """Hand the playout's marks to the session while anything plays."""
        ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The same for all sessions. `providers` in the order of the ladder, the preferred first."""

    bus: EventBus
    providers: Sequence[Provider]
    journal: Journal
    voice: Voice | None = None
    conversation: Conversation = field(default_factory=Conversation)
    vad: Vad = field(default_factory=Vad)
    chance: random.Random = field(default_factory=random.Random)
    standings: Standings = field(default_factory=Standings)
    limits: Limits = field(default_factory=Limits)
    usage: Usage = field(default_factory=Usage)
    checkpoints: Checkpoints = field(default_factory=Checkpoints)
