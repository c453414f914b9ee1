"""Tones as WAV files, and what tone a recording holds."""

import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt


def write_tone(path: Path, hertz: float, seconds: float, rate: int = 8000, *, amplitude: float = 0.3) -> Path:
    """A mono WAV of a sine."""
    at = np.arange(int(seconds * rate)) / rate
    write_wav(path, (amplitude * 32767 * np.sin(2 * np.pi * hertz * at)).astype(np.int16), rate)
    return path


def write_wav(path: Path, samples: npt.NDArray[np.int16], rate: int) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())


def dominant_hertz(samples: npt.NDArray[np.int16], rate: int) -> float:
    """The loudest frequency, 0 for silence."""
    if len(samples) == 0 or int(np.abs(samples).max()) < 50:
        return 0.0
    spectrum = np.abs(np.fft.rfft(samples.astype(np.float64) * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * rate / len(samples))
