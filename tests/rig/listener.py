"""Which of several sentences a recording of the appliance says, by comparing it with each as its voice says it.

A general recogniser mistakes one synthetic minute for another; the voice itself does not: espeak-ng says the same text
in the same way each time, so the right sentence fits the recording's spectrum through any codec, and a wrong one not.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
from numpy.typing import NDArray

from appliance.audio.resample import Resampler
from appliance.providers.offline.voice import EspeakVoice

RATE = 8_000
HOP = 80
WINDOW = 256
LIKENESS = 0.6
_BANDS = slice(8, 108)  # 250 to 3400 Hz: what a telephone passes
Spectrum = NDArray[np.float64]


def recognise(pcm: bytes, rate: int, phrases: Sequence[str]) -> str:
    """The one of `phrases` that is said somewhere in `pcm` (s16le mono), or nothing when none fits."""
    heard = _spectrum(_resampled(pcm, rate))
    likeness = {phrase: _likeness(heard, _said(phrase)) for phrase in phrases}
    best = max(likeness, key=lambda phrase: likeness[phrase], default="")
    return best if best and likeness[best] >= LIKENESS else ""


def _likeness(heard: Spectrum, said: Spectrum) -> float:
    """The best normalised correlation of `said` with any stretch of `heard` of its length."""
    if len(said) == 0 or len(heard) < len(said):
        return 0.0
    size = 1 << (len(heard) + len(said)).bit_length()
    product = np.fft.irfft(
        np.fft.rfft(heard, size, axis=0) * np.fft.rfft(said[::-1], size, axis=0), size, axis=0
    )
    matches = product.sum(axis=1)[len(said) - 1 : len(heard)]
    energy = np.concatenate(([0.0], np.cumsum(np.square(heard).sum(axis=1))))
    stretch = np.sqrt(energy[len(said) :] - energy[: -len(said)])
    scale = stretch * np.sqrt(np.square(said).sum())
    return float(np.max(matches / np.maximum(scale, 1e-9)))


def _spectrum(samples: NDArray[np.float64]) -> Spectrum:
    """Log spectra each 10 ms, each band free of its mean, so that loudness and a codec's colour do not matter."""
    if len(samples) < WINDOW:
        return np.zeros((0, _BANDS.stop - _BANDS.start))
    frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP] * np.hanning(WINDOW)
    power = np.square(np.abs(np.fft.rfft(frames, axis=1)))[:, _BANDS]
    floor = max(float(power.max()) * 1e-5, 1.0)
    levels = np.log(np.maximum(power, floor))
    return np.asarray(levels - levels.mean(axis=0))


@cache
def _said(phrase: str) -> Spectrum:
    with ThreadPoolExecutor(1) as aside:  # the caller may be on a loop of its own
        return _spectrum(aside.submit(asyncio.run, _voiced(phrase)).result())


async def _voiced(phrase: str) -> NDArray[np.float64]:
    text = phrase.strip()
    text = text[:1].upper() + text[1:] + ("" if text.endswith((".", "?", "!")) else ".")
    pieces = [spoken async for spoken in EspeakVoice().speak(text)]
    samples = _resampled(b"".join(piece.pcm for piece in pieces), pieces[0].rate)
    loud = np.flatnonzero(np.abs(samples) > 200)
    return samples[loud[0] : loud[-1] + 1] if len(loud) else samples


def _resampled(pcm: bytes, rate: int) -> NDArray[np.float64]:
    resampler = Resampler(rate, RATE)
    return np.frombuffer(resampler.process(pcm) + resampler.flush(), dtype="<i2").astype(np.float64)
