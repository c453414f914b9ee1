"""Services that also tell when what came and went, and take a pace for their answers: what the bench asks of each."""

from abc import abstractmethod

import numpy as np

from tests.rig.chain_service import ChainService
from tests.rig.services import GeminiService, OpenAiService, Service
from tests.rig.sounds import Samples

PIECE_MS = 20
"""How long the pieces of OpenAI's paced answers are; Gemini's keep their length."""


class TimedService(Service):
    """All moments are monotonic seconds."""

    @abstractmethod
    def pace(self, speed: float, *, think: float, jitter_ms: float = 0.0) -> None:
        """From now on answers begin after `think` seconds and come `speed` times real time, pieces late by a chance."""

    @abstractmethod
    def arrived(self) -> list[tuple[float, Samples]]:
        """`received` in the pieces in which it came, and when each did."""

    @abstractmethod
    def first_audio_at(self) -> float:
        """When the newest session's first audio came; 0 before that."""

    @abstractmethod
    def heard_by_all(self) -> Samples:
        """What came in all sessions, at `rate`."""

    @abstractmethod
    def sounded_at(self) -> list[float]:
        """When the first sound of each answer was sent."""

    @abstractmethod
    def truncated_ms(self) -> list[int | None]:
        """What was told to have been heard of each answer; None where nothing was told."""


class TimedOpenAi(OpenAiService, TimedService):
    _how: dict[str, float] | None = None

    def will_say(self, text: str, seconds: float) -> None:
        self.server.will_say(text, seconds, **(self._how or {}))

    def pace(self, speed: float, *, think: float, jitter_ms: float = 0.0) -> None:
        self._how = {"speed": speed, "think": think, "jitter_ms": jitter_ms, "chunk_ms": PIECE_MS}

    def arrived(self) -> list[tuple[float, Samples]]:
        left = len(self.received())
        pieces: list[tuple[float, Samples]] = []
        for came, pcm in reversed(self.server.sessions[-1].received if left else ()):
            if left <= 0:
                break
            left -= len(pcm) // 2
            pieces.append((came, np.frombuffer(pcm, "<i2")))
        return pieces[::-1]

    def first_audio_at(self) -> float:
        return next((came for one in self.server.sessions[-1:] for came, _ in one.received), 0.0)

    def heard_by_all(self) -> Samples:
        return np.concatenate([session.samples for session in self.server.sessions])

    def sounded_at(self) -> list[float]:
        return [answer.sounded_at for answer in self.server.answers if answer.pcm]

    def truncated_ms(self) -> list[int | None]:
        return [answer.truncated_ms for answer in self.server.answers if answer.pcm]


class TimedGemini(GeminiService, TimedService):
    def pace(self, speed: float, *, think: float, jitter_ms: float = 0.0) -> None:
        self.server.speed, self.server.think, self.server.jitter_ms = speed, think, jitter_ms

    def arrived(self) -> list[tuple[float, Samples]]:
        turns = [one for session in self.server.sessions[-1:] for one in session.activities]
        return [
            (came, np.frombuffer(chunk, "<i2"))
            for turn in turns[-1:]
            for came, chunk in zip(turn.came, turn.chunks, strict=True)
        ]

    def first_audio_at(self) -> float:
        heard = [one for session in self.server.sessions[-1:] for one in session.activities]
        return next((came for one in heard for came in one.came), 0.0)

    def heard_by_all(self) -> Samples:
        return np.concatenate([session.audio for session in self.server.sessions])

    def sounded_at(self) -> list[float]:
        return self.server.sounded_at

    def truncated_ms(self) -> list[int | None]:
        return [None] * self.server.answers


class TimedChain(ChainService, TimedService):
    """Answers begin with BEGINS: what a voice is asked for tells no answer from a piece of one. Nothing is told of what
    came when: a fake of speech to text keeps no times."""

    BEGINS = "It "

    def pace(self, speed: float, *, think: float, jitter_ms: float = 0.0) -> None:
        """Each of the three thinks for so long."""
        assert not jitter_ms
        self.mouth.speed = speed
        self.ear.think = self.mind.think = self.mouth.think = think

    def arrived(self) -> list[tuple[float, Samples]]:
        raise NotImplementedError

    def first_audio_at(self) -> float:
        raise NotImplementedError

    def heard_by_all(self) -> Samples:
        return np.concatenate([np.frombuffer(bytes(session.pcm), "<i2") for session in self.ear.sessions])

    def sounded_at(self) -> list[float]:
        return [
            one.sounded_at for one in self.mouth.spoken if one.text.startswith(self.BEGINS) and one.sounded_at
        ]

    def truncated_ms(self) -> list[int | None]:
        return [None] * len(self.sounded_at())


TIMED_SERVICES: dict[str, type[TimedService]] = {
    service.name: service for service in (TimedOpenAi, TimedGemini)
}
