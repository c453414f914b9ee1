"""What people say in tests, as samples: packaged voices, a cough, silence."""

import functools
import subprocess
import tempfile
import wave

import numpy as np

from appliance.audio.resample import Resampler
from tests.rig.sounds import Samples

LOUDNESS = 9_000
"""The peak of a person at a telephone's distance."""


@functools.lru_cache(maxsize=64)
def _voice(text: str, rate: int, voice: str) -> bytes:
    """PCM of a Debian package's voice: "espeak-ng:en-us", "flite:rms"."""
    engine, _, name = voice.partition(":")
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        command = {
            "espeak-ng": ["espeak-ng", "-v", name, "-w", file.name, text],
            "flite": ["flite", "-voice", name, "-t", text, "-o", file.name],
        }[engine]
        subprocess.run(command, capture_output=True, check=True, timeout=30)
        with wave.open(file.name) as sound:
            pcm, own = sound.readframes(sound.getnframes()), sound.getframerate()
    resampler = Resampler(own, rate)
    return resampler.process(pcm) + resampler.flush()


def speech(
    text: str, rate: int = 16_000, *, lead: float = 0.0, tail: float = 0.0, voice: str = "flite:rms"
) -> Samples:
    """`text` spoken, with seconds of silence before and after it."""
    samples = np.frombuffer(_voice(text, rate, voice), dtype="<i2").astype(np.float64)
    loud = np.flatnonzero(np.abs(samples) > np.abs(samples).max() * 0.005)
    samples = samples[loud[0] : loud[-1] + 1]
    samples *= LOUDNESS / np.abs(samples).max()
    return np.concatenate((silence(lead, rate), samples.astype(np.int16), silence(tail, rate)))


def silence(seconds: float, rate: int = 16_000) -> Samples:
    return np.zeros(round(seconds * rate), np.int16)


def cough(seconds: float = 0.15, rate: int = 16_000, *, seed: int = 1) -> Samples:
    """A burst of noise in speech's band, with a sharp beginning."""
    count = round(seconds * rate)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(count))
    frequencies = np.fft.rfftfreq(count, 1 / rate)
    spectrum[(frequencies < 200) | (frequencies > 3000)] = 0
    burst = np.fft.irfft(spectrum, count) * np.minimum(1.0, np.arange(count, 0, -1) / (0.3 * count))
    return np.asarray(burst / np.abs(burst).max() * LOUDNESS, dtype=np.int16)


def levels(samples: Samples, rate: int, *, block: float = 0.02) -> Samples:
    """The peak of each block."""
    size = round(rate * block)
    whole = samples[: len(samples) // size * size].reshape(-1, size)
    return np.asarray(np.abs(whole.astype(np.int32)).max(axis=1).clip(0, 32_767), dtype=np.int16)


def sounding(samples: Samples, rate: int, *, floor: int = 200) -> list[tuple[float, float]]:
    """From when to when there is sound: pauses below 0.4 s do not count as such."""
    spans: list[tuple[float, float]] = []
    for index in np.flatnonzero(levels(samples, rate) > floor):
        begin, end = index * 0.02, (index + 1) * 0.02
        if spans and begin - spans[-1][1] < 0.4:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((begin, end))
    return spans
