"""Signals that tests play and look for: babble that sounds like nothing else, tones, and how to find them again."""

import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.int16]


def babble(seconds: float, rate: int, *, seed: int = 1) -> Samples:
    """Noise of speech's band in syllables of changing length: correlates with itself at one place only."""
    chance = np.random.default_rng(seed)
    noise = chance.standard_normal(round(seconds * rate))
    spectrum = np.fft.rfft(noise)
    frequencies = np.fft.rfftfreq(len(noise), 1 / rate)
    spectrum[(frequencies < 200) | (frequencies > 3400)] = 0
    voice = np.fft.irfft(spectrum, len(noise))
    times = np.arange(len(voice)) / rate
    syllables = 0.6 + 0.4 * np.sin(2 * np.pi * (4 * times + 0.8 * np.sin(2 * np.pi * 0.7 * times)))
    voice *= syllables / np.abs(voice).max()
    return np.asarray(voice * 16_000, dtype=np.int16)


def tone(frequency: float, seconds: float, rate: int, *, amplitude: int = 12_000) -> Samples:
    times = np.arange(round(seconds * rate)) / rate
    return np.asarray(amplitude * np.sin(2 * np.pi * frequency * times), dtype=np.int16)


def write_wav(path: Path, samples: Samples, rate: int) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def likeness(recorded: Samples, original: Samples) -> tuple[float, int]:
    """How alike the most similar stretch of the recording is to the original (at most 1), and where it starts."""
    if len(recorded) < len(original):
        return 0.0, 0
    size = 1 << (len(recorded) + len(original)).bit_length()
    ours, theirs = recorded.astype(np.float64), original.astype(np.float64)
    products = np.fft.irfft(np.fft.rfft(ours, size) * np.conj(np.fft.rfft(theirs, size)), size)
    products = products[: len(ours) - len(theirs) + 1]
    energy = np.concatenate(([0.0], np.cumsum(ours**2)))
    energies = energy[len(theirs) :] - energy[: -len(theirs)]
    scores = np.abs(products) / np.sqrt(np.maximum(energies, 1.0) * (theirs**2).sum())
    best = int(scores.argmax())
    return float(scores[best]), best


def share_of(frequency: float, samples: Samples, rate: int) -> float:
    """What part of the signal's energy lies within 20 Hz of `frequency`, 0 to 1."""
    if not len(samples):
        return 0.0
    power = np.abs(np.fft.rfft(samples.astype(np.float64))) ** 2
    frequencies = np.fft.rfftfreq(len(samples), 1 / rate)
    total = float(power.sum())
    return float(power[np.abs(frequencies - frequency) <= 20].sum()) / total if total else 0.0
