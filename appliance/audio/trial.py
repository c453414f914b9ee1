"""Recorded echo of speech through the path it would take: what is left of it, and whether it passes for a person."""

from typing import Final

import numpy as np
import numpy.typing as npt

from appliance.audio.capture import CapturePath
from appliance.audio.duplex import Trial
from appliance.audio.level import level_dbfs
from appliance.audio.resample import Resampler
from appliance.audio.vad import Edge
from appliance.frames import BYTES_PER_SAMPLE, FRAME_MS, WORKING_RATE, samples_in

ABOVE_NOISE_DB: Final = 15.0
LEAST_FRAMES: Final = 25
"""Half a second of echo: of less nothing is said."""


def try_echo(near: bytes, far: bytes, rate: int, path: CapturePath, *, since: float) -> Trial:
    """Send what the microphone took, and beside it what was played, through `path`; both s16le at `rate`, in step.

    What comes before `since` seconds only lets the canceller learn the room.
    """
    raw = np.frombuffer(Resampler(rate, WORKING_RATE).process(near), "<i2")
    block = samples_in(FRAME_MS, rate) * BYTES_PER_SAMPLE
    taken, left, onsets = [], [], 0
    suspected = False
    for start in range(0, len(near) - block + 1, block):
        end = (start + block) / BYTES_PER_SAMPLE / rate
        for captured in path.process(near[start : start + block], end, far[start : start + block]):
            at = round((captured.frame.at - FRAME_MS / 1000) * WORKING_RATE)
            piece = raw[max(0, at) : at + samples_in(FRAME_MS, WORKING_RATE)]
            if captured.frame.at < since or not len(piece):
                continue
            onsets += captured.edge is Edge.STARTED or (captured.over and not suspected)
            suspected = captured.over
            taken.append(level_dbfs(piece))
            left.append(captured.level_dbfs)
    return Trial(_erle_db(np.array(taken), np.array(left)), onsets)


def _erle_db(taken: npt.NDArray[np.float64], left: npt.NDArray[np.float64]) -> float | None:
    """Median over the frames in which the echo stands out from the quietest tenth."""
    if not len(taken):
        return None
    loud = taken > np.percentile(taken, 10) + ABOVE_NOISE_DB
    if np.count_nonzero(loud) < LEAST_FRAMES:
        return None
    return round(float(np.median(taken[loud] - left[loud])), 1)
