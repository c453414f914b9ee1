"""A probe of sweeps, and what comes back of it: delay, clock drift, coupling, noise. Pure; float samples, -1 to 1.

What is heard of each sweep is divided by the sweep in the spectrum, which gives the response of the room and of both
devices. A sweep gathers its energy over its whole length, so that it is found 30 dB below the noise; and what a
loudspeaker distorts comes out ahead of the response, not in it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from appliance.audio.level import SILENCE_DBFS

LOW_HZ: Final = 250.0
HIGH_HZ: Final = 6_500.0
SWEEP_SECONDS: Final = 0.25
SWEEPS: Final = 8
SILENCE_SECONDS: Final = 0.6
"""Before the first sweep: there the room's noise is measured."""
APART_SECONDS: Final = 0.95
"""From one sweep's begin to the next: longer than a sweep, LONGEST_DELAY and the reverberation together."""
TAIL_SECONDS: Final = 0.7
LONGEST_DELAY: Final = 0.6
REVERBERATION: Final = 0.3
AHEAD: Final = 0.005
CLEAR_DB: Final = 14.0
"""A response's peak stands out from the noise in it by so much, or nothing was heard."""
STEP_PPM: Final = 500.0
"""No two clocks drift apart faster."""
_FADE_SECONDS: Final = 0.01
_FINE: Final = 8
"""Steps in one sample when two responses are laid upon each other."""

Samples = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Probe:
    """What is played: `starts` are the sample positions of the sweeps in it."""

    samples: Samples
    rate: int
    sweep: Samples
    starts: tuple[int, ...]

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate


@dataclass(frozen=True, slots=True)
class _Place:
    """One sweep: where it is in the probe, where in the recording its search begins, and where it was asked for."""

    start: int
    begin: int
    asked: float


@dataclass(frozen=True, slots=True)
class Acoustics:
    """What the probe says. Of a microphone that hears nothing of it only the noise is known."""

    noise_dbfs: float
    """RMS of the room while nothing is played."""
    sweeps_heard: int = 0
    delay_ms: float | None = None
    """From the card's asking for a sample to its return by the microphone."""
    drift_ppm: float | None = None
    """By how much the loudspeaker's clock is faster than the microphone's."""
    coupling_db: float | None = None
    """The echo's level against what is played, over the voice's band."""

    @property
    def heard(self) -> bool:
        return self.coupling_db is not None


def make_probe(rate: int, dbfs: float, sweeps: int = SWEEPS) -> Probe:
    """A probe whose sweeps peak at `dbfs`, 9 s long with eight of them."""
    at = np.arange(round(SWEEP_SECONDS * rate)) / rate
    high = min(HIGH_HZ, 0.45 * rate)
    octaves = math.log(high / LOW_HZ)
    phase = 2 * np.pi * LOW_HZ * SWEEP_SECONDS / octaves * (np.exp(at * octaves / SWEEP_SECONDS) - 1)
    fade = np.clip(np.minimum(at, SWEEP_SECONDS - at) / _FADE_SECONDS, 0.0, 1.0)
    sweep = np.sin(phase) * fade * 10 ** (dbfs / 20)
    starts = tuple(round((SILENCE_SECONDS + number * APART_SECONDS) * rate) for number in range(sweeps))
    samples = np.zeros(starts[-1] + len(sweep) + round(TAIL_SECONDS * rate))
    for start in starts:
        samples[start : start + len(sweep)] = sweep
    return Probe(samples, rate, sweep, starts)


def measure(heard: Samples, probe: Probe, asked: Sequence[float]) -> Acoustics:
    """`asked` is where in `heard` each sweep would begin if its first sample came back when the card asked for it.

    `heard` is at the probe's rate. Sweeps of which not all that could come back was recorded are left out.
    """
    noise = _noise_dbfs(heard[: max(1, round(min(asked, default=0.0)))], probe.rate)
    base = asked[0] - probe.starts[0] if asked else 0.0
    window = len(probe.sweep) + round((LONGEST_DELAY + REVERBERATION / 2) * probe.rate)
    places = [_Place(start, round(base + start), at) for start, at in zip(probe.starts, asked, strict=False)]
    places = [place for place in places if 0 <= place.begin <= len(heard) - window]
    responses = [_response(heard[place.begin : place.begin + window], probe) for place in places]
    found = [
        (place, response)
        for place, response in zip(places, responses, strict=True)
        if _clear(response, probe.rate)
    ]
    if len(found) < 2 or len(found) * 2 <= len(places):
        return Acoustics(noise, len(found))
    first = found[0][1]
    shifts = np.array([_shift(response, first) for _, response in found])
    starts = np.array([place.start for place, _ in found])
    # From where the card asked, not from where it should have: its requests come unevenly.
    late = np.array([place.begin - place.asked for place, _ in found]) + _peak(first) + shifts
    return Acoustics(
        noise_dbfs=noise,
        sweeps_heard=len(found),
        delay_ms=round(float(np.median(late)) * 1000 / probe.rate, 2),
        drift_ppm=round(-_slope(starts, shifts) * 1e6, 1),
        coupling_db=round(_coupling_db([response for _, response in found], shifts, probe), 1),
    )


def _noise_dbfs(silence: Samples, rate: int) -> float:
    """Median of 20 ms frames: a door that closes is not the room's noise."""
    step = round(rate * 0.02)
    frames = silence[: len(silence) // step * step].reshape(-1, step)
    if not len(frames):
        return SILENCE_DBFS
    power = float(np.median(np.mean(frames**2, axis=1)))
    return round(max(SILENCE_DBFS, 10 * math.log10(max(power, 1e-12))), 1)


def _response(heard: Samples, probe: Probe) -> Samples:
    size = 1 << (len(heard) + len(probe.sweep)).bit_length()
    sweep = np.fft.rfft(probe.sweep, size)
    power = np.abs(sweep) ** 2
    floor = 1e-3 * float(power.max())
    answer = np.fft.rfft(heard, size) * np.conj(sweep) / (power + floor)
    return np.asarray(np.fft.irfft(answer * _band(size, probe.rate), size)[: len(heard)])


def _band(size: int, rate: int) -> Samples:
    """1 in the sweep's band, with soft edges of a third of an octave."""
    hertz = np.maximum(np.fft.rfftfreq(size, 1 / rate), 1.0)
    high = min(HIGH_HZ, 0.45 * rate)
    rise = np.clip(np.log2(hertz / LOW_HZ) * 3, 0, 1)
    fall = np.clip(np.log2(high / hertz) * 3, 0, 1)
    return np.asarray(np.sin(np.pi / 2 * rise) ** 2 * np.sin(np.pi / 2 * fall) ** 2)


def _peak(response: Samples) -> float:
    return _refined(np.abs(response), int(np.argmax(np.abs(response))))


def _clear(response: Samples, rate: int) -> bool:
    """The peak stands out from the rest, and lies where an echo may."""
    height = np.abs(response)
    peak = int(np.argmax(height))
    if peak > LONGEST_DELAY * rate:
        return False
    rest = np.concatenate(
        (height[: max(0, peak - round(AHEAD * rate))], height[peak + round(REVERBERATION * rate) :])
    )
    noise = float(np.sqrt(np.mean(rest**2))) if len(rest) else 0.0
    return bool(height[peak] > 10 ** (CLEAR_DB / 20) * max(noise, 1e-9))


def _shift(response: Samples, first: Samples) -> float:
    """By how many samples `response` is later than `first`: where the two are most alike."""
    size = 1 << (2 * len(first)).bit_length()
    product = np.fft.rfft(response, size) * np.conj(np.fft.rfft(first, size))
    fine = np.fft.irfft(product, size * _FINE)
    place = int(np.argmax(fine))
    place = place - len(fine) if place > len(fine) // 2 else place
    return _refined(np.roll(fine, len(fine) // 2), place + len(fine) // 2) / _FINE - len(fine) // 2 / _FINE


def _refined(curve: Samples, at: int) -> float:
    """The vertex of the parabola through a maximum and its neighbours."""
    if not 0 < at < len(curve) - 1:
        return float(at)
    left, middle, right = curve[at - 1 : at + 2]
    bend = left - 2 * middle + right
    return float(at + (0.5 * (left - right) / bend if bend else 0.0))


def _slope(starts: npt.NDArray[np.int_], shifts: Samples) -> float:
    """Mean slope from sweep to sweep, without those steps that a lost block made."""
    spans, rises = np.diff(starts), np.diff(shifts)
    slopes = rises / spans
    usual = np.abs(slopes - np.median(slopes)) <= STEP_PPM * 1e-6
    if not np.any(usual):
        return float(np.median(slopes))
    return float(np.sum(rises[usual]) / np.sum(spans[usual]))


def _coupling_db(responses: Sequence[Samples], shifts: Samples, probe: Probe) -> float:
    """Power of the response against 1, each octave of the band counted alike, the noise in it taken off."""
    rate = probe.rate
    peak, ahead = round(_peak(responses[0])), round(AHEAD * rate)
    window = ahead + round(REVERBERATION * rate)
    size = 1 << window.bit_length()
    octaves = 1 / np.maximum(np.fft.rfftfreq(size, 1 / rate), 1.0)
    powers, noises = [], []
    for response, shift in zip(responses, shifts, strict=True):
        begin = max(0, peak + round(float(shift)) - ahead)
        powers.append(_power(response[begin : begin + window], size, octaves))
        # Ahead of the response lies noise alone, and what the loudspeaker distorts.
        before = response[max(0, begin - window) : begin]
        if len(before) >= window // 8:
            noises.append(_power(before, size, octaves) * window / len(before))
    power = float(np.median(powers))
    echo = max(power - (float(np.median(noises)) if noises else 0.0), power / 1000)
    return 10 * math.log10(max(echo, 1e-12) / float(np.sum(_band(size, rate) ** 2 * octaves)))


def _power(piece: Samples, size: int, octaves: Samples) -> float:
    return float(np.sum(np.abs(np.fft.rfft(piece, size)) ** 2 * octaves))
