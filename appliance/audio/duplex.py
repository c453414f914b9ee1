"""How a room may be talked in, by what was measured of it: both at once, or one after the other. Pure."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # a start needs what was chosen, not how a room is measured
    from appliance.audio.sweep import Acoustics

FULL_UP_TO_DB: Final = -9.0
"""An echo no louder than this, against what is played, leaves the canceller and the level test enough to go by."""
MOST_DUCK_DB: Final = 12.0
"""More quietly than by this the appliance would not be understood."""
LEAST_DUCK_DB: Final = 3.0
LEAST_ERLE_DB: Final = 10.0
"""A canceller that takes less of the echo away has not found it, or the loudspeaker distorts."""
NOISY_DBFS: Final = -33.0
"""In noise like this no voice can be told from it: speech at the microphone is -20 to -35 dBFS."""


class Duplex(StrEnum):
    FULL = "full"
    """A person may talk over the appliance at any time."""
    DUCKED = "ducked"
    """The same; the appliance speaks more quietly than its volume says."""
    HALF = "half"
    """The microphone is not listened to while the appliance speaks."""
    PUSH_TO_TALK = "push-to-talk"
    """Only the key opens a turn."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of speech that was played: how much of its echo was taken away, and how often it was mistaken."""

    erle_db: float | None
    """None where the echo did not stand out from the noise."""
    onsets: int
    """How often the detector took the echo for a person."""


@dataclass(frozen=True, slots=True)
class Choice:
    mode: Duplex
    duck_db: float
    reason: str


def choose(found: "Acoustics", trial: Trial | None = None, *, canceller: bool = True) -> Choice:
    """The mode for a room in which the probe was heard, and why; `trial` None: none was made."""
    coupling = found.coupling_db
    if coupling is None:
        raise ValueError("a probe that was not heard says nothing about the echo")
    if found.noise_dbfs > NOISY_DBFS:
        return Choice(
            Duplex.PUSH_TO_TALK, 0.0, f"the noise of {found.noise_dbfs:.0f} dBFS is as loud as a person"
        )
    if not canceller:
        return Choice(Duplex.HALF, 0.0, "no echo canceller is installed")
    duck = max(0.0, coupling - FULL_UP_TO_DB)
    if trial is not None and trial.onsets:
        duck += LEAST_DUCK_DB
    if duck > MOST_DUCK_DB:
        return Choice(Duplex.HALF, 0.0, f"the echo of {coupling:+.0f} dB is louder than a person")
    if trial is not None and trial.erle_db is not None and trial.erle_db < LEAST_ERLE_DB:
        return Choice(Duplex.HALF, 0.0, f"only {trial.erle_db:.0f} dB of the echo can be taken away")
    if duck:
        duck = max(duck, LEAST_DUCK_DB)
        why = "mistaken for a person" if trial is not None and trial.onsets else "as loud as a person"
        return Choice(Duplex.DUCKED, round(duck, 1), f"the echo of {coupling:+.0f} dB is {why}")
    return Choice(Duplex.FULL, 0.0, f"the echo of {coupling:+.0f} dB is taken away")
