"""What the provider for tests is to answer, and what became of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from appliance.interfaces import (
    CancelResponse,
)


@dataclass(frozen=True)
class Say:
    """An answer: `text` spread evenly over `seconds` of audio, in pieces of `chunk_ms`, `speed` times real time."""

    text: str
    seconds: float
    chunk_ms: int = 100
    speed: float = 4.0
    think: float = 0.2
    finish: bool = True
    status: str = "completed"


@dataclass(frozen=True)
class Call:
    """A tool call, and what is said when its result is there."""

    tool: str
    arguments: Mapping[str, Any] | str
    then: Say
    think: float = 0.2
    unasked: bool = False
    """What is said of the result is an answer to no turn."""


@dataclass(frozen=True)
class Nothing:
    """No answer at all; or one without a sound, with `status`."""

    status: str = ""
    think: float = 0.2


@dataclass
class Answer:
    """What became of an answer."""

    response: str
    turn: int
    level: int
    say: Say
    cancelled: CancelResponse | None = None
    cancelled_at: float = 0.0
    connection: int = 0


@dataclass
class Turn:
    """What the provider received of a turn."""

    frames: list[bytes] = field(default_factory=list)
    text: str = ""
    committed: bool = False
    discarded: bool = False

    @property
    def ms(self) -> float:
        return sum(len(frame) for frame in self.frames) / 32
