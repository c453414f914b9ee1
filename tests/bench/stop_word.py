"""The stop word over answers in simulated rooms: how often it is found, what else is taken for it, the cost."""

import itertools
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from tests.bench.acoustics import ROOMS, calibrated
from tests.bench.wake import OTHERS
from tests.rig.acoustic_stage import ANSWERS, INTERRUPTIONS
from tests.rig.stop_stage import Found, Said, StopStage

Figure = dict[str, Any]
VOICES: Final = (
    *("flite:rms", "flite:slt", "flite:awb", "flite:kal16", "flite:kal"),
    *(
        "espeak-ng:en-us",
        "espeak-ng:en-gb",
        "espeak-ng:en-gb-scotland",
        "espeak-ng:en-us+f3",
        "espeak-ng:en-us+m4",
    ),
    *("espeak-ng:en-gb+f4", "espeak-ng:en-us+m7"),
)
RHYMES: Final = (
    "stock",
    "top",
    "shop",
    "step",
    "stuck",
    "hot",
    "drop",
    "stuff",
    "wait",
    "yes",
    "no",
    "thank you",
)
SPEAKERS: Final = ("flite:rms", "flite:slt", "espeak-ng:en-us", "espeak-ng:en-gb")
OWN: Final = (
    *ANSWERS,
    "You can stop me at any time. Just say the word.",
    "Stop. That is what you can say when you have heard enough.",
    "The bus does not stop here any more.",
)
TALK: Final = tuple(text for text in (*OTHERS, *INTERRUPTIONS) if "stop" not in text) * 2
TAKEN: Final = ("headset", "desk", "kiosk_drift", "cheap_speaker", "loud")
ALONE_SECONDS: Final = 120.0


def measure() -> Iterator[Figure]:
    """All figures, as they come; about six minutes."""
    everything: list[Found] = []
    own = [Said(text, voice) for text, voice in zip(OWN * 4, itertools.cycle(SPEAKERS), strict=False)]
    for name in TAKEN:
        choice = calibrated(ROOMS[name])
        stage = StopStage(ROOMS[name], own, choice.duck_db)
        alone = stage.alone(ALONE_SECONDS)
        stops = stage.hear([Said("stop", voice) for voice in VOICES] * 2)
        twice = stage.hear([Said("stop stop", voice) for voice in VOICES])
        others = stage.hear(Said(text, SPEAKERS[i % 4]) for i, text in enumerate(TALK))
        rhymes = stage.hear(Said(text, voice) for text in RHYMES for voice in SPEAKERS[1:3])
        stage.close()
        everything += [alone, stops, twice, others, rhymes]
        yield _count(f"stop_{name}_found", stops)
        yield _count(f"stop_{name}_found_twice", twice)
        delays = [delay for delay in stops.delays if delay is not None]
        yield _figure(f"stop_{name}_delay_p50", float(np.median(delays)) * 1000, "ms after the word")
        yield _figure(
            f"stop_{name}_own", alone.unasked, f"in {alone.seconds / 60:.0f} min of own speech", "<= 0"
        )
        yield _count(f"stop_{name}_others", others)
        yield _count(f"stop_{name}_rhymes", rhymes)
    seconds = sum(found.seconds for found in everything)
    cpu = sum(found.cpu_seconds for found in everything)
    yield _figure("stop_cpu", cpu / seconds * 100, "% of a core while it speaks and others talk", "<= 10")
    silent = everything[::5]
    quiet = sum(found.cpu_seconds for found in silent) / sum(found.seconds for found in silent)
    yield _figure("stop_cpu_alone", quiet * 100, "% of a core while it speaks", "<= 1")


def _count(name: str, found: Found) -> Figure:
    hits = sum(delay is not None for delay in found.delays)
    return _figure(name, hits, f"of {len(found.delays)}")


def _figure(name: str, value: float, unit: str, goal: str = "") -> Figure:
    return {"name": name, "value": round(value, 1), "unit": unit, "goal": goal}
