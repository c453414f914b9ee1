"""The room line in simulated rooms: each is measured, used in the mode that follows, and listened to for a while.

HANDSET_ACOUSTIC_MINUTES: minutes of room time without anybody, 3 unless told; as long again, ten at most, with
somebody who talks over it every few seconds. `make acoustics` takes 30.
"""

import os
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from appliance.audio.duplex import Choice, Duplex, choose
from appliance.audio.sweep import make_probe
from appliance.audio.sweep import measure as judge
from tests.rig.acoustic_stage import AcousticStage
from tests.rig.acoustics import RATE, Echo, Setting

Figure = dict[str, Any]
ROOMS: Final = {
    "headset": Setting(coupling_db=-60, delay_ms=40),
    "desk": Setting(coupling_db=-20, delay_ms=20),
    "kiosk_drift": Setting(coupling_db=-12, delay_ms=100, drift_ppm=200),
    "kiosk_far": Setting(coupling_db=-12, delay_ms=300, drift_ppm=-200),
    "cheap_speaker": Setting(coupling_db=-12, delay_ms=60, drive=4),
    "loud": Setting(coupling_db=-3, delay_ms=60, drive=2),
    "very_loud": Setting(coupling_db=6, delay_ms=300, drift_ppm=200, drive=4),
}
PROBE_DBFS: Final = -18.0
BARGE_SECONDS: Final = 600.0


def measure() -> Iterator[Figure]:
    """All figures, as they come."""
    seconds = 60 * float(os.environ.get("HANDSET_ACOUSTIC_MINUTES", "3"))
    delays: list[float] = []
    for name, setting in ROOMS.items():
        choice = calibrated(setting)
        stage = AcousticStage(setting, choice)
        tally = stage.run(seconds)
        stage.close()
        shown = f"{choice.mode}" + (f" by {choice.duck_db:.0f} dB" if choice.duck_db else "")
        yield _figure(f"{name}_self_interruptions", len(tally.self_interruptions), shown, "<= 0")
        yield _figure(f"{name}_pauses", len(tally.pauses), f"in {tally.played:.0f} s of playback", "")
        if choice.mode is Duplex.HALF:
            continue
        stage = AcousticStage(setting, choice, barge_every=3.0, seed=2)
        tally = stage.run(min(seconds, BARGE_SECONDS))
        stage.close()
        delays += tally.delays
        yield _figure(f"{name}_barge_in_p50", _percentile(tally.delays, 50), "ms", "<= 180")
        yield _figure(f"{name}_barge_in_p95", _percentile(tally.delays, 95), "ms", "<= 250")
        yield _figure(f"{name}_unnoticed", tally.missed, f"of {len(tally.delays) + tally.missed}", "")
        yield _figure(f"{name}_self_interruptions_beside", len(tally.self_interruptions), "times", "<= 0")
    yield _figure("all_barge_in_p50", _percentile(delays, 50), "ms", "<= 180")
    yield _figure("all_barge_in_p95", _percentile(delays, 95), "ms", "<= 250")


def calibrated(setting: Setting) -> Choice:
    """What `handset audio calibrate --no-speech` chooses in that room."""
    probe = make_probe(RATE, PROBE_DBFS, 4)
    echo = Echo(setting)
    for start in range(0, len(probe.samples), 4_000):
        echo.play(probe.samples[start : start + 4_000])
    pace = 1 + setting.drift_ppm * 1e-6
    found = judge(echo.take(len(probe.samples)), probe, [start / pace for start in probe.starts])
    return choose(found) if found.heard else Choice(Duplex.FULL, 0.0, "no echo")


def _figure(name: str, value: float, unit: str, goal: str) -> Figure:
    return {"name": name, "value": round(value, 1), "unit": unit, "goal": goal}


def _percentile(delays: list[float], share: float) -> float:
    return float(np.percentile(delays, share)) * 1000 if delays else float("nan")
