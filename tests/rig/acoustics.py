"""A room between a loudspeaker and a microphone: reflections, delay, drift, distortion, noise. 16 kHz, block by block.

The reflections are found by the image method (Allen and Berkley, 1979): a box's walls are mirrors, and each mirror
image of the loudspeaker is a source of its own, later and fainter.
"""

import functools
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

RATE: Final = 16_000
SOUND_SPEED: Final = 343.0
SINC_TAPS: Final = 16
SPEAKER_BAND_HZ: Final = (180.0, 6_800.0)
"""What a small loudspeaker gives back."""

Signal = npt.NDArray[np.float64]
Point = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Space:
    """A box in metres; `absorption` is the share of a sound's energy that a wall swallows."""

    size: Point = (4.2, 3.4, 2.5)
    speaker: Point = (2.0, 1.2, 0.9)
    microphone: Point = (2.15, 1.2, 0.9)
    absorption: float = 0.35


@dataclass(frozen=True, slots=True)
class Setting:
    """What lies between what is played and what the microphone takes."""

    coupling_db: float = -12.0
    """Level of the echo against what is played."""
    delay_ms: float = 60.0
    """Of the devices; the air comes on top."""
    drift_ppm: float = 0.0
    """By how much the loudspeaker's clock is faster than the microphone's."""
    drive: float = 0.0
    """How hard the loudspeaker is driven: 0 is linear; at 4, a tone at full scale comes with 30 % harmonics."""
    noise_dbfs: float = -72.0
    space: Space = Space()


@functools.lru_cache(maxsize=16)
def image_response(space: Space, rate: int = RATE, seconds: float = 0.3) -> Signal:
    """From the loudspeaker to the microphone, scaled to energy 1, beginning with the direct sound."""
    size, speaker, microphone = (np.array(point) for point in (space.size, space.speaker, space.microphone))
    reflection = np.sqrt(1 - space.absorption)
    reach = [int(np.ceil(SOUND_SPEED * seconds / (2 * side))) for side in size]
    response = np.zeros(round(seconds * rate) + 1)
    axes = [_images(speaker[axis], microphone[axis], size[axis], reach[axis]) for axis in range(3)]
    (x, bounces_x), (y, bounces_y), (z, bounces_z) = axes
    for distance_z, bounces in zip(z, bounces_z, strict=True):
        distance = np.sqrt(x[:, None] ** 2 + y[None, :] ** 2 + distance_z**2)
        strength = reflection ** (bounces_x[:, None] + bounces_y[None, :] + bounces) / np.maximum(
            distance, 0.01
        )
        place = np.rint(distance / SOUND_SPEED * rate).astype(int)
        inside = place < len(response)
        np.add.at(response, place[inside], strength[inside])
    response = response[np.flatnonzero(response)[0] :]
    # Air and walls swallow the lowest sounds' standing sum, which the method leaves in.
    response = np.diff(response, prepend=0.0) * 0.5 + response * 0.5
    return np.asarray(response / np.sqrt(np.sum(response**2)))


def _images(speaker: float, microphone: float, side: float, reach: int) -> tuple[Signal, Signal]:
    """Distances along one axis to all images, and how often each met a wall."""
    numbers = np.arange(-reach, reach + 1)
    straight = np.abs(2 * numbers * side + speaker - microphone)
    mirrored = np.abs(2 * numbers * side - speaker - microphone)
    bounces = (np.abs(2 * numbers), np.abs(numbers - 1) + np.abs(numbers))
    return np.concatenate((straight, mirrored)), np.concatenate(bounces).astype(float)


def distorted(signal: Signal, drive: float) -> Signal:
    """What a loudspeaker driven so hard makes of it: odd and even harmonics, as loud as before for faint sounds."""
    if not drive:
        return signal
    bent = signal + 0.08 * drive * signal**2
    return np.asarray(np.tanh(drive * bent) / drive)


class Echo:
    """Takes what is played, by the loudspeaker's clock; gives what the microphone takes of it, by its own."""

    def __init__(self, setting: Setting, seed: int = 1) -> None:
        response = _band_limited(image_response(setting.space))
        self._response = response * 10 ** (setting.coupling_db / 20)
        self._setting = setting
        self._chance = np.random.default_rng(seed)
        self._tail = np.zeros(len(response) - 1)
        self._size = 1 << (len(response) + 4_096).bit_length()
        self._spectrum = np.fft.rfft(self._response, self._size)
        # Before the first sample lies the delay, and what the interpolation looks back.
        self._heard = np.zeros(round(setting.delay_ms * RATE / 1000) + SINC_TAPS)
        self._base = 0
        self._taken = 0
        self._noise = 10 ** (setting.noise_dbfs / 20)

    def play(self, signal: Signal) -> None:
        """The next samples, at most 4096, -1 to 1."""
        sent = distorted(signal, self._setting.drive)
        count = len(sent) + len(self._tail)
        spread = np.fft.irfft(np.fft.rfft(sent, self._size) * self._spectrum, self._size)[:count]
        spread[: len(self._tail)] += self._tail
        self._tail = spread[len(sent) :]
        self._heard = np.concatenate((self._heard, spread[: len(sent)]))

    def take(self, count: int) -> Signal:
        """The microphone's next samples, noise included; what was not played yet is silence."""
        pace = 1 + self._setting.drift_ppm * 1e-6
        at = (self._taken + np.arange(count)) * pace - self._base
        self._taken += count
        whole = np.floor(at).astype(int)
        if (short := int(whole[-1]) + SINC_TAPS + 1 - len(self._heard)) > 0:
            heard = np.concatenate((self._heard, np.zeros(short)))
        else:
            heard = self._heard
        if self._setting.drift_ppm:
            taps = np.arange(SINC_TAPS)
            offset = taps[None, :] - (SINC_TAPS // 2 - 1) - (at - whole)[:, None]
            window = np.cos(np.pi * offset / (SINC_TAPS + 1)) ** 2
            signal = np.sum(heard[whole[:, None] + taps[None, :]] * np.sinc(offset) * window, axis=1)
        else:
            signal = heard[whole + SINC_TAPS // 2 - 1]
        spare = max(0, int(whole[-1]) - 4 * SINC_TAPS)
        self._heard, self._base = self._heard[spare:], self._base + spare
        return np.asarray(signal + self._noise * self._chance.standard_normal(count))


def _band_limited(response: Signal) -> Signal:
    """Heard through a small loudspeaker; energy 1 again."""
    size = 1 << (2 * len(response)).bit_length()
    spectrum = np.fft.rfft(response, size)
    hertz = np.fft.rfftfreq(size, 1 / RATE)
    low, high = SPEAKER_BAND_HZ
    # Minimum phase matters little here; causality does: a one-sided filter of each edge, second order.
    lower = (1j * hertz / low) ** 2 / (1 + 1.414j * hertz / low - (hertz / low) ** 2)
    upper = 1 / (1 + 1.414j * hertz / high - (hertz / high) ** 2)
    shaped = np.fft.irfft(spectrum * lower * upper, size)[: len(response)]
    return np.asarray(shaped / np.sqrt(np.sum(shaped**2)))
