"""Figures of the audio core alone: delay of capture, CPU of the paths, the resampler's stopband, time of a pull."""

import asyncio
import itertools
import time
from typing import Any

import numpy as np

from appliance.audio.capture import Captured, CapturePath, CaptureWorker
from appliance.audio.playout import Playout
from appliance.audio.resample import Resampler, to_pcm
from appliance.audio.ring import Ring
from appliance.audio.vad import load_confirm, load_detector
from appliance.config.schema import Vad
from appliance.interfaces import EchoCanceller
from appliance.plugins import load

RATE = 16_000
RATES = (8_000, 16_000, 24_000, 48_000)
STOPBAND_FROM = 0.62


def figure(name: str, value: float, unit: str, goal: float | None = None) -> dict[str, Any]:
    return {"name": name, "value": round(value, 3), "unit": unit, "goal": goal}


def canceller() -> EchoCanceller:
    built: EchoCanceller = load("appliance.echo_cancellers", "webrtc")()
    return built


def capture_path(rate: int, *, cancel: bool) -> CapturePath:
    return CapturePath(
        rate, Vad(), load_detector("webrtc"), load_confirm("auto"), canceller() if cancel else None
    )


def noise(rate: int, seconds: float) -> bytes:
    signal = np.random.default_rng(0).standard_normal(round(rate * seconds)) * 0.01
    return to_pcm(signal.astype(np.float32))


async def capture_delays(rate: int, *, cancel: bool, blocks: int = 150) -> list[float]:
    """Milliseconds from feeding a 20 ms block to its frame on the loop."""
    arrived: list[float] = []

    def take(_: Captured) -> None:
        arrived.append(time.monotonic())

    reference = Ring(rate) if cancel else None
    worker = CaptureWorker("bench", capture_path(rate, cancel=cancel), take, reference=reference)
    worker.start(asyncio.get_running_loop())
    block = noise(rate, 0.02)
    fed: list[float] = []
    for _ in range(blocks):
        if reference is not None:
            reference.write(block)
        fed.append(time.monotonic())
        worker.feed(block, fed[-1])
        await asyncio.sleep(0.02)
    worker.stop()
    return [(out - into) * 1000 for into, out in zip(fed, arrived, strict=False)]


def cpu_ms_per_second(rate: int, *, cancel: bool, seconds: int = 20) -> float:
    path = capture_path(rate, cancel=cancel)
    block = noise(rate, 0.02)
    path.process(block, 0.0, block)
    began = time.process_time()
    for _ in range(seconds * 50):
        path.process(block, 0.0, block if cancel else b"")
    return (time.process_time() - began) * 1000 / seconds


def worst_stopband_db() -> float:
    """The strongest alias of a tone above the lower rate's band, or image beyond it, relative to the tone."""
    worst = -200.0
    for from_rate, to_rate in itertools.permutations(RATES, 2):
        lower = min(from_rate, to_rate)
        for share in np.linspace(STOPBAND_FROM, 0.98, 12):
            tone = share * lower if from_rate > to_rate else (1 - share) * lower
            worst = max(worst, ghost_db(from_rate, to_rate, tone, abs(lower - tone)))
    return worst


def ghost_db(from_rate: int, to_rate: int, tone: float, ghost: float) -> float:
    wave = 0.5 * np.sin(2 * np.pi * tone * np.arange(from_rate // 2) / from_rate)
    out = Resampler(from_rate, to_rate).process(to_pcm(wave.astype(np.float32)))
    signal = np.frombuffer(out, dtype="<i2")[to_rate // 20 : -to_rate // 20] / 32_768
    window = np.blackman(len(signal))
    turn = np.exp(-2j * np.pi * ghost * np.arange(len(signal)) / to_rate)
    return float(20 * np.log10(2 * abs(np.sum(signal * window * turn)) / np.sum(window) / 0.5 + 1e-9))


def pull_times_ms(rate: int = 48_000, pulls: int = 3_000) -> list[float]:
    playout = Playout(rate)
    playout.reference = Ring(rate)
    playout.volume = 70
    playout.play("bench", noise(24_000, pulls * 0.01), 24_000)
    times: list[float] = []
    for number in range(pulls):
        if number % 50 == 0:
            playout.pause()
        elif number % 50 == 2:
            playout.resume()
        began = time.perf_counter()
        playout.pull(rate // 100)
        times.append((time.perf_counter() - began) * 1000)
    return times


def measure() -> list[dict[str, Any]]:
    """All figures; takes about ten seconds."""
    figures: list[dict[str, Any]] = []
    for rate, cancel in ((16_000, False), (48_000, True)):
        delays = asyncio.run(capture_delays(rate, cancel=cancel))
        name = f"capture_feed_to_loop_{rate // 1000}k{'_aec' if cancel else ''}"
        figures.append(figure(f"{name}_p50", float(np.percentile(delays, 50)), "ms", 1.5))
        figures.append(figure(f"{name}_p99", float(np.percentile(delays, 99)), "ms", 5.0))
    for rate, cancel in ((16_000, False), (16_000, True), (48_000, True)):
        name = f"capture_cpu_{rate // 1000}k{'_aec' if cancel else ''}"
        figures.append(figure(name, cpu_ms_per_second(rate, cancel=cancel), "ms per s of audio"))
    figures.append(figure("resampler_stopband_worst", worst_stopband_db(), "dB", -80.0))
    pulls = pull_times_ms()
    figures.append(figure("playout_pull_p50", float(np.percentile(pulls, 50)), "ms"))
    figures.append(figure("playout_pull_p99", float(np.percentile(pulls, 99)), "ms", 0.5))
    return figures


if __name__ == "__main__":
    import json

    for entry in measure():
        print(json.dumps(entry))
