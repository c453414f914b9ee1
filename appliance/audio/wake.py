"""Who is meant: between two conversations the room is only listened to for its wake word. Decides; hears nothing."""

from collections import deque
from dataclasses import dataclass, replace
from enum import StrEnum, auto
from typing import Final, cast

from appliance.audio.capture import Captured
from appliance.config.schema import WakeWord
from appliance.frames import FRAME_MS
from appliance.interfaces import WakeDetector
from appliance.plugins import load

GROUP: Final = "appliance.wake_detectors"
PRE_ROLL_MS: Final = 200.0
"""So long after its end a word is found at most: who goes on without a pause is heard from their first sound."""


class Way(StrEnum):
    """What becomes of a frame."""

    HEAR = auto()
    """The session hears it."""
    MISS = auto()
    """It goes nowhere."""
    WAKE = auto()
    """The wake word ends with it: whatever sounds is silenced, and what follows is heard."""
    STOP = auto()
    """The stop word ends with it: whatever sounds is silenced, and that is all."""
    SLEEP = auto()
    """Nobody has said anything for a while: from here on the wake word is needed again. It goes nowhere."""


@dataclass(frozen=True, slots=True)
class Floor:
    """What the session does: nothing (`idle`), or it speaks or thinks (`busy`), or somebody talks (neither)."""

    idle: bool = True
    busy: bool = False


class WakeGate:
    """Takes every frame of the room. `awake` is what a light shows."""

    def __init__(self, settings: WakeWord, detector: WakeDetector, stop: WakeDetector | None = None) -> None:
        self.awake = False
        self.word = ""
        """The newest that was heard."""
        self._settings = settings
        self._detector = detector
        self._stop = stop
        self._until = 0.0
        self._held = False
        self._newest: deque[Captured] = deque(maxlen=round(PRE_ROLL_MS / FRAME_MS))

    def take(self, captured: Captured, now: float, floor: Floor) -> Way:
        """The next 20 ms, taken at the monotonic second `now`."""
        self._newest.append(captured)
        word = self._detector.heard(captured.frame.pcm)
        talking = self.awake and not floor.idle and not floor.busy
        if word is not None and not talking:
            self.word = word
            self.rouse(now)
            return Way.WAKE
        stop = self._stop.heard(captured.frame.pcm) if self._stop is not None else None
        if stop is not None and floor.busy:
            self.word, self.awake = stop, self._held
            return Way.STOP
        if not self.awake:
            return Way.MISS
        if self._held or not floor.idle or captured.speech:
            self._until = now + self._settings.follow_up
        elif now >= self._until:
            self.awake = False
            return Way.SLEEP
        by_word = self._settings.interrupt == "word"
        return Way.MISS if floor.busy and by_word else Way.HEAR

    def pre_roll(self) -> list[Captured]:
        """The newest frames, as if nobody had spoken in them: to be heard before what follows the word."""
        return [replace(one, speech=False, edge=None, voiced_ms=0.0, over=False) for one in self._newest]

    def rouse(self, now: float, *, held: bool = False) -> None:
        """Listen without the word: a key was pressed, or, `held` until `doze`, the receiver lifted."""
        self.awake, self._until = True, now + self._settings.follow_up
        self._held |= held

    def doze(self) -> bool:
        """The word is needed again; whether it was not."""
        was, self.awake, self._held = self.awake, False, False
        return was

    def close(self) -> None:
        self._detector.close()
        if self._stop is not None:
            self._stop.close()


def load_gate(settings: WakeWord) -> WakeGate:
    """The gate that `settings` ask for. Raise DriverMissing, UnknownName, or DeviceUnavailable for a model's file."""
    factory = load(GROUP, settings.detector)
    detector = cast(WakeDetector, factory(settings.words, settings.sensitivity))
    stop = (
        cast(WakeDetector, factory(settings.stop_words, settings.sensitivity))
        if settings.stop_words
        else None
    )
    return WakeGate(settings, detector, stop)
