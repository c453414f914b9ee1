"""Somebody who talks over answers in a simulated room, and the stop ear that listens to them, without a clock.

The answers go on whatever is said: each word is a trial of its own.
"""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from appliance.audio.stop_word import SpokenStop
from appliance.config.schema import Vad
from appliance.plugins import load
from tests.rig.acoustic_stage import ANSWER_DBFS, FRAME, FRAME_SECONDS, PERSON_DBFS
from tests.rig.acoustics import RATE, Echo, Setting
from tests.rig.full_duplex import FullDuplex
from tests.rig.spoken import speech

GAP_SECONDS: Final = 1.2
LATE_SECONDS: Final = 0.8
"""After its end a word is not looked for any more."""


@dataclass(frozen=True, slots=True)
class Said:
    """What somebody says, in which voice."""

    text: str
    voice: str


@dataclass
class Found:
    """Seconds from the end of what was said to when it was taken for the word, in order; None where it was not."""

    delays: list[float | None] = field(default_factory=list)
    unasked: int = 0
    """It was found though nobody had said anything."""
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    """Of the stop ear alone."""


class StopStage:
    """A room in which answers follow each other without a pause. Deterministic."""

    def __init__(self, setting: Setting, answers: Iterable[Said], duck_db: float = 0.0) -> None:
        self._setting = setting
        self._answers = list(answers)
        line = FullDuplex.built(Vad(), duck_db)
        self._playout, self._path, self._far_end = line.playout, line.path, line.far_end
        self._echo = Echo(setting)
        self._ear = SpokenStop(load("appliance.phrase_spotters", "sphinx")(("stop",)), submit=at_once)
        self._now = 0.0
        self._due = 0.0
        self._begun = 0
        self._found_at: list[float] = []

    def hear(self, said: Iterable[Said]) -> Found:
        """Each over the answers, a pause after it."""
        found = Found()
        for one in said:
            words = at_level(one, PERSON_DBFS) / 32_768
            since = self._now
            self._run(words, found)
            end = self._now
            self._run(np.zeros(round(GAP_SECONDS * RATE)), found)
            hits = [at - end for at in self._found_at if since < at <= end + LATE_SECONDS]
            found.delays.append(hits[0] if hits else None)
        return found

    def alone(self, seconds: float) -> Found:
        """Nobody says anything."""
        found = Found()
        self._found_at.clear()
        self._run(np.zeros(round(seconds * RATE)), found)
        found.unasked = len(self._found_at)
        return found

    def close(self) -> None:
        self._ear.close()
        self._path.close()

    def _run(self, near: Any, found: Found) -> None:
        for start in range(0, len(near), FRAME):
            piece = np.zeros(FRAME)
            piece[: len(near) - start] = near[start : start + FRAME]
            self._step(piece, found)
            self._now += FRAME_SECONDS
            found.seconds += FRAME_SECONDS

    def _step(self, near: Any, found: Found) -> None:
        if not self._playout.active():
            self._answer()
        self._due += FRAME * (1 + self._setting.drift_ppm * 1e-6)
        while self._due >= FRAME:
            self._due -= FRAME
            self._echo.play(np.frombuffer(self._playout.pull(FRAME), "<i2") / 32_768)
        heard = self._echo.take(FRAME) + near
        pcm = (np.clip(heard, -1, 1) * 32_767).astype("<i2").tobytes()
        for captured in self._path.process(pcm, self._now, self._far_end.take(FRAME)):
            began = time.process_time()
            if self._ear.heard(captured, busy=True) is not None:
                self._found_at.append(self._now)
            found.cpu_seconds += time.process_time() - began

    def _answer(self) -> None:
        name = str(self._begun)
        said = self._answers[self._begun % len(self._answers)]
        self._begun += 1
        self._playout.play(name, at_level(said, ANSWER_DBFS).astype("<i2").tobytes(), RATE)
        self._playout.finish(name)


def at_level(said: Said, dbfs: float) -> Any:
    samples = speech(said.text, RATE, voice=said.voice).astype(np.float64)
    samples *= 10 ** (dbfs / 20) * 32_768 / np.sqrt(np.mean(samples**2))
    return np.clip(samples, -32_768, 32_767)


def at_once(function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
    """A thread that takes no time."""
    done: Future[Any] = Future()
    done.set_result(function(*arguments))
    return done
