"""What the fake of OpenAI Realtime is told to answer, what became of it, and what stands in a conversation."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.fakes.openai_schema import RATE

Samples = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Say:
    """An answer of `seconds` of sound, in deltas of `chunk_ms`, `speed` times real time.

    Each delta but the first is late by a chance of up to `jitter_ms`; none overtakes another.
    """

    text: str
    seconds: float = 1.0
    chunk_ms: int = 100
    speed: float = 4.0
    think: float = 0.02
    finish: bool = True
    jitter_ms: float = 0.0


@dataclass(frozen=True)
class Call:
    """One response with a tool call each; `arguments` as text stand as they are."""

    calls: Sequence[tuple[str, Mapping[str, Any] | str]]
    text: str = ""
    think: float = 0.02


@dataclass(frozen=True)
class Nothing:
    """A response without a word; `status` as the service says it."""

    status: str = "completed"
    code: str = ""
    think: float = 0.02


Plan = Say | Call | Nothing


@dataclass
class Answer:
    """What became of a response: `truncated_ms` is what the client left of its sound."""

    response: str
    item: str
    plan: Plan
    pcm: bytes = b""
    sent_ms: float = 0.0
    sounded_at: float = 0.0
    """Monotonic second at which the first sound of it was sent."""
    status: str = "in_progress"
    truncated_ms: int | None = None
    deleted: bool = False
    metadata: Mapping[str, str] | None = None


@dataclass
class Item:
    """Something in the conversation. `pcm` is the sound of a spoken turn, `heard` how it reads."""

    id: str
    body: dict[str, Any]
    pcm: bytes = b""
    heard: str = ""

    @property
    def samples(self) -> Samples:
        return np.frombuffer(self.pcm, "<i2")

    @property
    def said(self) -> str:
        """The words of a message."""
        return " ".join(str(part.get("text", "")) for part in self.body.get("content", ())).strip()


@functools.lru_cache(maxsize=256)
def sound_of(number: int, milliseconds: int) -> bytes:
    """The sound of the answer with this number: noise that is like no other answer's."""
    chance = np.random.default_rng(number)
    return bytes(chance.integers(-6_000, 6_000, RATE * milliseconds // 1000).astype("<i2").tobytes())
