"""What Playout queues: the audio of utterances, added by the loop's thread and taken by the driver's.

The two share no lock: every value has one writing thread.
"""

import math
from collections import deque
from typing import Final

import numpy as np
from numpy.typing import NDArray

from appliance.audio.resample import Resampler

SEGMENTS: Final = 16

Samples = NDArray[np.int16]
EMPTY: Final[Samples] = np.zeros(0, dtype="<i2")


class Utterance:
    """Audio of one `utterance`: the loop's thread adds, the driver's thread takes."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.resampler: Resampler | None = None
        self.half_sample = b""
        self.pieces: deque[Samples] = deque()
        self.queued = 0  # written by the loop's thread, as are `covered_ms` and `ended`
        self.covered_ms = 0.0
        self.ended = False
        self.taken = 0  # written by the driver's thread, as is all below
        self.head = EMPTY
        self.sounding = False
        self.began = False
        self.ran_dry = False
        self.lead_ms = 0.0  # of what it gathers before it sounds, see appliance.audio.cover
        self.dry = 0  # samples pulled while it had none and was not ended
        self.spare = math.inf  # the fewest samples that were left after a pull while more was to come
        self.aside = False
        self.segments: tuple[tuple[int, int], ...] = ()

    def take(self, count: int, position: int) -> Samples:
        """Driver's thread: at most `count` samples, which the device takes as samples `position`... of its stream."""
        if not len(self.head):
            try:
                self.head = self.pieces.popleft()
            except IndexError:
                return EMPTY
        part, self.head = self.head[:count], self.head[count:]
        taken = len(part)
        self.taken += taken
        if self.segments and sum(self.segments[-1]) == position:
            start, length = self.segments[-1]
            self.segments = (*self.segments[:-1], (start, length + taken))
        else:
            self.segments = (*self.segments[1 - SEGMENTS :], (position, taken))
        return part

    def left(self) -> int:
        return max(0, self.queued - self.taken)

    def over(self) -> bool:
        return self.ended and not self.left()

    def unheard(self, sounded: int) -> int:
        """Samples taken, but at stream positions from `sounded` on."""
        return sum(max(0, start + length - max(start, sounded)) for start, length in self.segments)


class Queue:
    """Utterances between two flushes, oldest first; the driver's thread removes what is over."""

    def __init__(self) -> None:
        self.order: deque[Utterance] = deque()

    def head(self) -> Utterance | None:
        try:
            return self.order[0]
        except IndexError:
            return None

    def samples(self) -> int:
        return sum(utterance.left() for utterance in tuple(self.order))
