"""What the fake of Gemini Live is told to answer, what it heard, and what a session knows."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int16]
RATE = 24_000
LOUD = 300.0
ONSET_MS = 60


def answer_sound(number: int, seconds: float, rate: int = RATE) -> Samples:
    """The sound of the server's answer `number`: noise that no other answer has."""
    noise = np.random.default_rng(number).standard_normal(round(seconds * rate)) * 3_000
    return np.asarray(np.clip(noise, -30_000, 30_000), dtype=np.int16)


@dataclass(frozen=True, slots=True)
class Say:
    text: str
    seconds: float


@dataclass(frozen=True, slots=True)
class CallTool:
    tool: str
    arguments: Any


@dataclass(frozen=True, slots=True)
class SayNothing:
    reason: str = ""


Answer = Say | CallTool | SayNothing


@dataclass
class Activity:
    """What a client sent between the two ends of one activity, or what the server's detector took for one."""

    chunks: list[bytes] = field(default_factory=list)
    came: list[float] = field(default_factory=list)
    """The monotonic second at which each chunk came that was not pre-roll."""
    text: str = ""
    ended: bool = False

    def take(self, pcm: bytes) -> None:
        self.chunks.append(pcm)
        self.came.append(time.monotonic())

    @property
    def samples(self) -> Samples:
        return np.frombuffer(b"".join(self.chunks), dtype="<i2")

    @property
    def voiced(self) -> bool:
        return loud_ms(self.samples) >= ONSET_MS


@dataclass
class Call:
    tool: str
    blocking: bool
    state: str = "pending"
    response: Mapping[str, Any] = field(default_factory=dict)
    scheduling: str = ""


@dataclass
class Memory:
    """What a session knows, and a handle keeps."""

    history: list[tuple[str, str]] = field(default_factory=list)
    calls: dict[str, Call] = field(default_factory=dict)


def loud_ms(samples: Samples, rate: int = 16_000) -> float:
    block = rate // 50
    whole = samples[: len(samples) // block * block].astype(np.float64).reshape(-1, block)
    return float(np.count_nonzero(np.sqrt((whole**2).mean(axis=1)) > LOUD) * 20) if len(whole) else 0.0
