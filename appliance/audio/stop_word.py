"""The stop word: said while the appliance speaks, it needs no wake word, and nothing of it leaves the device.

It is said by itself: an utterance between two pauses, no longer than a second, that cannot be the echo of what is
played. Such an utterance alone is recognised, on a thread of its own; while nobody talks over an answer, nothing is.
"""

import logging
import math
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, Protocol

import numpy as np

from appliance.audio.capture import Captured
from appliance.audio.echo_guard import FOREIGN_WINDOW
from appliance.audio.level import SILENCE_DBFS, level_dbfs
from appliance.errors import ApplianceError
from appliance.frames import FRAME_MS
from appliance.interfaces import PhraseSpotter, WakeDetector

logger = logging.getLogger(__name__)

BEGIN_MS: Final = 60.0
"""So much that is no echo begins an utterance."""
LEAST_MS: Final = 100.0
"""With less of that in it, it was a noise, or an echo that came later or earlier than usual for a moment."""
PRE_ROLL_MS: Final = 300.0
PAUSE_MS: Final = 180.0
"""Longer than the stillness before a "p" is let go."""
LONGEST_MS: Final = 1_400.0
"""Pre-roll included; what goes on longer is a sentence."""
DROP_DB: Final = 22.0
"""So far below its loudest an utterance is still."""
STILL_DBFS: Final = -55.0
_FRAMES: Final = round((LONGEST_MS + PAUSE_MS) / FRAME_MS)
_WINDOW: Final = FOREIGN_WINDOW


class StopEar(Protocol):
    """Hears a stop word."""

    def heard(self, captured: Captured, *, busy: bool) -> str | None:
        """The word that was said over an answer, once; `busy`: the appliance speaks or thinks."""
        ...

    def close(self) -> None: ...


class UtteranceWatch:
    """Frames to utterances between two pauses. Pure.

    Where something plays, what counts is what cannot be its echo (`foreign_ms`), elsewhere what the detector found. A
    canceller hides parts of a voice: it has ended where neither is anything heard nor anything foreign seen.
    """

    def __init__(self) -> None:
        self.running = False
        self._frames: deque[bytes] = deque(maxlen=_FRAMES)
        self._foreign: deque[bool] = deque([False] * _WINDOW, maxlen=_WINDOW)
        self._fresh_ms = 0
        self._voiced_ms = 0.0
        self._peak = SILENCE_DBFS
        self._length = 0
        self._person_ms = 0
        self._voice = False
        self._still_ms = 0

    def take(self, captured: Captured, *, begins: bool = True) -> bytes | None:
        """The next 20 ms; return the utterance that has ended with them. None begins where it may not (`begins`)."""
        pcm = captured.frame.pcm
        self._frames.append(pcm)
        level = level_dbfs(np.frombuffer(pcm, dtype="<i2"))
        person = self._person(captured)
        if not self.running:
            self._fresh_ms = self._fresh_ms + FRAME_MS if person else self._fresh_ms
            if not any(self._foreign):
                self._fresh_ms = 0
            if begins and self._fresh_ms >= BEGIN_MS:
                self._begin(level)
            return None
        self._length += 1
        self._person_ms += FRAME_MS if person else 0
        self._voice |= captured.speech or captured.over
        self._peak = max(self._peak, level)
        loud = level > max(self._peak - DROP_DB, STILL_DBFS)
        self._still_ms = 0 if loud or person else self._still_ms + FRAME_MS
        if self._still_ms < PAUSE_MS:
            return None
        self.running = False
        self._fresh_ms = 0
        someone = self._voice and self._person_ms >= LEAST_MS and self._length * FRAME_MS <= LONGEST_MS
        return b"".join(list(self._frames)[-self._length :]) if someone else None

    def reset(self) -> None:
        """What comes next has nothing to do with what came before."""
        self.running = False
        self._frames.clear()
        self._foreign.extend([False] * _WINDOW)
        self._fresh_ms = 0

    def _person(self, captured: Captured) -> bool:
        """Whether somebody is in this very frame."""
        voiced = captured.speech and captured.voiced_ms > self._voiced_ms
        self._voiced_ms = captured.voiced_ms if captured.speech else 0.0
        if math.isfinite(captured.foreign_ms):
            # The sum over the newest frames tells what this one adds to it.
            before = sum(list(self._foreign)[1:]) * FRAME_MS
            voiced = captured.foreign_ms > before
        self._foreign.append(voiced)
        return voiced

    def _begin(self, level: float) -> None:
        self.running = True
        self._peak = level
        self._still_ms = 0
        self._person_ms = self._fresh_ms
        self._voice = False
        self._length = min(len(self._frames), round(PRE_ROLL_MS / FRAME_MS))


Submit = Callable[..., Future[Any]]
"""Runs a function with arguments on another thread."""


class SpokenStop:
    """Implements StopEar for phrases that a spotter knows by their pronunciation. Belongs to the loop's thread."""

    def __init__(self, spotter: PhraseSpotter, submit: Submit | None = None) -> None:
        self._spotter = spotter
        self._watch = UtteranceWatch()
        self._threads = ThreadPoolExecutor(1, "stop-word")
        """Starts a thread when there is something to do."""
        self._submit: Submit = submit or self._threads.submit
        self._asked: Future[Any] | None = None
        self._ready = self._gone = False

    def heard(self, captured: Captured, *, busy: bool) -> str | None:
        if self._gone or not (busy or self._watch.running or self._asked):
            self._watch.reset()
            return None
        if not self._ready:
            # With the first answer, and not before: an appliance that waits for its wake word stays small.
            self._ready = True
            self._asked = self._submit(self._spotter.prepare)
        found = self._answer()
        utterance = self._watch.take(captured, begins=busy)
        if utterance is not None and self._asked is None:
            self._asked = self._submit(self._spotter.said, utterance)
        return found

    def close(self) -> None:
        self._gone = True
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _answer(self) -> str | None:
        asked = self._asked
        if asked is None or not asked.done():
            return None
        self._asked = None
        fault = asked.exception()
        if fault is None:
            found: str | None = asked.result()
            return found
        self._gone = True
        reason = (
            f"{fault.message} ({fault.hint})" if isinstance(fault, ApplianceError) else type(fault).__name__
        )
        logger.error("no stop word any more: %s", reason)
        return None


class ModelStop:
    """Implements StopEar for a wake detector's models."""

    def __init__(self, detector: WakeDetector) -> None:
        self._detector = detector

    def heard(self, captured: Captured, *, busy: bool) -> str | None:
        word = self._detector.heard(captured.frame.pcm)
        return word if busy else None

    def close(self) -> None:
        self._detector.close()
