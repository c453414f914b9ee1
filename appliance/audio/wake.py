"""Who is meant: between two conversations the room is only listened to for its wake word. Decides; hears nothing."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum, auto
from typing import Any, Final, cast

from appliance.audio.capture import Captured
from appliance.audio.stop_word import ModelStop, SpokenStop, StopEar
from appliance.config.phrases import is_phrase
from appliance.config.schema import WakeWord
from appliance.frames import FRAME_MS
from appliance.interfaces import PhraseSpotter, WakeDetector
from appliance.plugins import load

GROUP: Final = "appliance.wake_detectors"
SPOTTERS: Final = "appliance.phrase_spotters"
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
    """A stop word was said over what sounds: that is silenced, no turn comes of the word, and that is all."""
    SLEEP = auto()
    """Nobody has said anything for a while: from here on the wake word is needed again. It goes nowhere."""


@dataclass(frozen=True, slots=True)
class Floor:
    """What the session does: nothing (`idle`), or it speaks or thinks (`busy`), or somebody talks (neither)."""

    idle: bool = True
    busy: bool = False


class WakeGate:
    """Takes every frame of the room. `awake` is what a light shows."""

    def __init__(self, settings: WakeWord, detector: WakeDetector, stops: Sequence[StopEar] = ()) -> None:
        self.awake = False
        self.word = ""
        """The newest that was heard."""
        self._settings = settings
        self._detector = detector
        self._stops = tuple(stops)
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
        stops = [ear.heard(captured, busy=floor.busy) for ear in self._stops]
        stop = next((word for word in stops if word is not None), None)
        # Where any speech interrupts, its speaker has the floor before the word is known.
        if stop is not None and not floor.idle:
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
        for ear in self._stops:
            ear.close()


def load_gate(settings: WakeWord) -> WakeGate:
    """The gate that `settings` ask for. Raise DriverMissing, UnknownName, or DeviceUnavailable for a model's file."""
    factory: Any = load(GROUP, settings.detector)
    detector = cast(WakeDetector, factory(settings.words, settings.sensitivity))
    models = tuple(word for word in settings.stop_words if not is_phrase(word, factory.words()))
    phrases = tuple(word for word in settings.stop_words if word not in models)
    stops: list[StopEar] = []
    if models:
        stops.append(ModelStop(cast(WakeDetector, factory(models, settings.sensitivity))))
    if phrases:
        spotter = load(SPOTTERS, "sphinx")(phrases, settings.sensitivity)
        stops.append(SpokenStop(cast(PhraseSpotter, spotter)))
    return WakeGate(settings, detector, stops)
