"""What of a spoken turn a provider received: each piece is looked for in what arrived."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from appliance.audio.resample import Resampler
from tests.rig.sounds import Samples

RATE = 8_000
"""Pieces are looked for at a telephone's rate: two thirds of the work on both sides is saved, an eighth of a
millisecond is still told."""

PIECE_SECONDS = 0.3
STEP_SECONDS = 0.1
ALIKE = 0.75
TWICE = 0.93
"""Two vowels of one voice are alike too: only so good a second likeness is the same piece again."""
FLOOR = 300
"""A piece whose mean level is lower is a pause between words, and says nothing."""
SLACK_MS = 15.0


@dataclass(frozen=True)
class Alignment:
    """Milliseconds of the spoken turn that did not arrive, and that arrived twice; `shift_ms` is its place."""

    lost_ms: float
    repeated_ms: float
    shift_ms: float

    @property
    def whole(self) -> bool:
        return self.lost_ms == 0 and self.repeated_ms == 0


def align(spoken: Samples, received: Samples, rate: int) -> Alignment:
    """Look for each 300 ms of `spoken` in `received`, both at `rate`.

    Lost is what is found nowhere, and what is skipped where the place of one piece and the next differ by less than
    their distance; repeated is what is found in two places, and what was put in between.
    """
    lost = repeated = 0.0
    shifts: list[float] = []
    places_of = _Places(_telephone(received, rate))
    for begin, piece in _pieces(_telephone(spoken, rate)):
        places = places_of(piece)
        if not places:
            lost += STEP_SECONDS * 1000
            continue
        repeated += STEP_SECONDS * 1000 * (len(places) - 1)
        shifts.append((places[0] - begin) * 1000 / RATE)
    for before, after in itertools.pairwise(shifts):
        if after - before < -SLACK_MS:
            lost += before - after
        elif after - before > SLACK_MS:
            repeated += after - before
    return Alignment(lost, repeated, shifts[0] if shifts else 0.0)


def missing_ms(spoken: Samples, received: Samples, rate: int) -> float:
    """How much of `spoken` is found nowhere in `received`, in whatever order it came."""
    places_of = _Places(_telephone(received, rate))
    pieces = _pieces(_telephone(spoken, rate))
    return sum(STEP_SECONDS * 1000 for _, piece in pieces if not places_of(piece))


def _telephone(samples: Samples, rate: int) -> Samples:
    if rate == RATE:
        return samples
    resampler = Resampler(rate, RATE)
    return np.frombuffer(resampler.process(samples.astype("<i2").tobytes()) + resampler.flush(), dtype="<i2")


def _pieces(spoken: Samples) -> Iterator[tuple[int, Samples]]:
    """Each piece that is no pause, and where it begins."""
    size, step = round(PIECE_SECONDS * RATE), round(STEP_SECONDS * RATE)
    for begin in range(0, len(spoken) - size + 1, step):
        piece = spoken[begin : begin + size]
        if np.abs(piece.astype(np.int32)).mean() >= FLOOR:
            yield begin, piece


class _Places:
    """Where `received` is like a piece, the likest first; places nearer than half a piece count as one."""

    def __init__(self, received: Samples) -> None:
        self._received = received.astype(np.float64)
        self._energy = np.concatenate(([0.0], np.cumsum(self._received**2)))
        length = round(PIECE_SECONDS * RATE)
        self._size = 1 << (len(received) + length).bit_length()
        self._spectrum = np.fft.rfft(self._received, self._size)

    def __call__(self, piece: Samples) -> list[int]:
        if len(self._received) < len(piece):
            return []
        theirs = piece.astype(np.float64)
        products = np.fft.irfft(self._spectrum * np.conj(np.fft.rfft(theirs, self._size)), self._size)
        products = products[: len(self._received) - len(theirs) + 1]
        energies = self._energy[len(theirs) :] - self._energy[: -len(theirs)]
        scores = products / np.sqrt(np.maximum(energies, 1.0) * (theirs**2).sum())
        found: list[int] = []
        while True:
            best = int(scores.argmax())
            if scores[best] < (TWICE if found else ALIKE):
                return found
            found.append(best)
            near = len(piece) // 2
            scores[max(0, best - near) : best + near] = 0.0
