"""Whether two recordings of the same answer hold the same, one of them with a pause in it."""

import itertools

import numpy as np

from tests.rig.sounds import Samples, likeness
from tests.rig.spoken import levels, sounding

CHUNK_SECONDS = 0.5
ALIKE = 0.7
FLOOR = 200
SLACK_SECONDS = 0.12


def assert_nothing_lost(whole: Samples, paused: Samples, rate: int) -> float:
    """`paused` is `whole` with silence put in at one place: no piece lost, none repeated. Returns the pause's seconds.

    Each half second of `whole` is looked for in `paused`. It must be there, later by the same time as its
    neighbours; only once may that time grow, and then by as much as there is more silence.
    """
    whole, paused = _trimmed(whole, rate), _trimmed(paused, rate)
    size = round(CHUNK_SECONDS * rate)
    shifts: list[float] = []
    unlike: list[float] = []
    for begin in range(0, len(whole) - size, size):
        chunk = whole[begin : begin + size]
        if np.abs(chunk.astype(np.int32)).mean() < FLOOR:
            continue
        near = slice(max(0, begin - 2 * rate), begin + size + 4 * rate)
        alike, at = likeness(paused[near], chunk)
        if alike >= ALIKE:
            shifts.append((at + near.start - begin) / rate)
        else:
            unlike.append(begin / rate)
    assert len(unlike) <= 1, f"not found in the paused answer: what was said at {unlike} s"
    assert shifts, "nothing of the answer was found again"
    steps = [after - before for before, after in itertools.pairwise(shifts) if abs(after - before) > 0.02]
    assert len(steps) <= 1, f"the answer jumps: {steps}"
    pause = shifts[-1] - shifts[0]
    silent = _silence(paused, rate) - _silence(whole, rate)
    assert abs(pause - silent) <= SLACK_SECONDS, (
        f"it was silent for {silent:.2f} s, but went on {pause:.2f} s later"
    )
    assert pause > -0.02, "a piece was skipped"
    return pause


def _trimmed(samples: Samples, rate: int) -> Samples:
    spans = sounding(samples, rate, floor=FLOOR)
    return samples[round(spans[0][0] * rate) : round(spans[-1][1] * rate)]


def _silence(samples: Samples, rate: int) -> float:
    return float((levels(samples, rate) <= FLOOR).sum()) * 0.02
