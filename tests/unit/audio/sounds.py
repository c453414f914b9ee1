"""Sounds for the tests: speech by espeak-ng, and what must not be taken for speech. float, 16 kHz."""

import io
import subprocess
import wave
from functools import cache

import numpy as np
import samplerate

RATE = 16_000


@cache
def speech(text: str, voice: str = "en-us"):
    """`text` from its first audible sample on."""
    run = subprocess.run(["espeak-ng", "-v", voice, "--stdout", text], capture_output=True, check=True)
    with wave.open(io.BytesIO(run.stdout)) as file:
        rate, pcm = file.getframerate(), run.stdout[44:]
    signal = np.frombuffer(pcm, dtype="<i2") / 32_768
    signal = samplerate.resample(signal, RATE / rate, "sinc_best")
    loud = np.flatnonzero(np.abs(signal) > 0.05 * np.abs(signal).max())
    return signal[loud[0] : loud[-1]]


def silence(seconds: float):
    return np.random.default_rng(1).standard_normal(round(seconds * RATE)) * 3e-5


def white(seconds: float):
    return np.random.default_rng(2).standard_normal(round(seconds * RATE))


def fan(seconds: float):
    """Noise that falls with frequency, and the blades' hum."""
    noise = white(seconds)
    spectrum = np.fft.rfft(noise)
    bins = np.maximum(np.fft.rfftfreq(len(noise), 1 / RATE), 20)
    rumble = np.fft.irfft(spectrum / bins, len(noise))
    return rumble + 0.3 * np.std(rumble) * np.sin(2 * np.pi * 120 * np.arange(len(noise)) / RATE)


def hum(seconds: float):
    at = np.arange(round(seconds * RATE)) / RATE
    return sum(np.sin(2 * np.pi * 50 * k * at + k) / k for k in (1, 2, 3, 5, 7, 9, 12))


def music(seconds: float, *, note: float = 0.5, decay: float = 0.0):
    """Chords of three notes with overtones; with `decay` they are plucked, without it held."""
    signal = np.zeros(round(seconds * RATE))
    at = np.arange(round(note * RATE)) / RATE
    for number, start in enumerate(range(0, len(signal), len(at))):
        notes = np.random.default_rng(number).choice(
            [220, 277, 330, 392, 440, 494, 262, 349], 3, replace=False
        )
        chord = sum(np.sin(2 * np.pi * hertz * k * at) / k for hertz in notes for k in (1, 2, 3, 4))
        chord *= np.exp(-decay * at) * np.minimum(1, at / 0.01)
        signal[start : start + len(at)] = chord[: len(signal) - start]
    return signal


def at_level(signal: np.ndarray, dbfs: float):
    return signal / np.sqrt(np.mean(signal**2)) * 10 ** (dbfs / 20)


def pcm_of(signal: np.ndarray):
    return (np.clip(signal, -1, 1) * 32_767).astype("<i2").tobytes()
