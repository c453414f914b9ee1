"""Wake words: how many of synthetic voices' are found, how late, how often other speech is mistaken, and the cost."""

import time
from typing import Any, Final

import numpy as np

from appliance.audio.wake import GROUP
from appliance.plugins import load
from tests.rig.spoken import speech

Figure = dict[str, Any]
FRAME: Final = 320
WORDS: Final = {"okay_nabu": "okay nahboo", "hey_mycroft": "hey mycroft", "hey_jarvis": "hey jarvis"}
VOICES: Final = (
    *("flite:rms", "flite:slt", "flite:awb", "flite:kal16"),
    *("espeak-ng:en-us", "espeak-ng:en-gb", "espeak-ng:en-us+f3", "espeak-ng:en-us+m4"),
)
OTHERS: Final = (
    "the weather today will be mostly cloudy with a few sunny spells in the afternoon",
    "okay never mind i will do it myself when i come home",
    "hey michael have you seen my other shoe it was here this morning",
    "set a timer for ten minutes and tell me a joke about a horse",
    "they may be right but nobody knows what they are going to do about it",
    "please call the office and ask them whether the parcel has come",
    "one two three four five six seven eight nine ten eleven twelve",
    "hey jack will you kindly pass me the paper, i want to read the news",
)


def measure() -> list[Figure]:
    """All figures; about a minute."""
    detector = load(GROUP, "micro")(tuple(WORDS), 0.5)
    figures, delays = [], []
    for word, text in WORDS.items():
        found = [delay for voice in VOICES if (delay := _delay(detector, word, text, voice)) is not None]
        delays += found
        figures.append(_figure(f"wake_{word}_found", len(found), f"of {len(VOICES)} voices"))
    figures.append(_figure("wake_delay_p50", float(np.median(delays)) * 1000, "ms after the word"))
    false, seconds, cpu = 0, 0.0, 0.0
    for voice in VOICES:
        for text in OTHERS:
            samples = speech(text, lead=0.3, tail=0.5, voice=voice)
            began = time.process_time()
            false += len(_heard(detector, samples))
            cpu += time.process_time() - began
            seconds += len(samples) / 16_000
    figures.append(_figure("wake_false", false, f"in {seconds / 60:.0f} min of other speech"))
    figures.append(_figure("wake_cpu", cpu / seconds * 100, f"% of a core, {len(WORDS)} words", "<= 3"))
    detector.close()
    return figures


def _delay(detector: Any, word: str, text: str, voice: str) -> float | None:
    """Seconds from the word's last sound until it was found."""
    tail = 0.8
    samples = speech(text, lead=0.5, tail=tail, voice=voice)
    end = len(samples) / 16_000 - tail
    found = [at for at, name in _heard(detector, samples) if name == word]
    _heard(detector, np.zeros(2 * 16_000, np.int16))
    return found[0] - end if found else None


def _heard(detector: Any, samples: Any) -> list[tuple[float, str]]:
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    told = ((number, detector.heard(frame.astype("<i2").tobytes())) for number, frame in enumerate(frames, 1))
    return [(number * 0.02, word) for number, word in told if word is not None]


def _figure(name: str, value: float, unit: str, goal: str = "") -> Figure:
    return {"name": name, "value": round(value, 1), "unit": unit, "goal": goal}
