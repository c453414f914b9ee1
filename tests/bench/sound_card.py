"""Figures of the sound card through a private PulseAudio server: round trip, regularity, opening, recovery, cost."""

import time
from typing import Any

import numpy as np

from drivers.audio_pyaudio import PyAudioCard
from tests.rig.card_user import CardUser, wait_for
from tests.rig.sound_server import MICROPHONE, SPEAKER, SoundServer
from tests.rig.sounds import babble, likeness

RUN_SECONDS = 8.0
TURNS = 5


def figure(name: str, value: float, unit: str, goal: str | None = None) -> dict[str, Any]:
    return {"name": name, "value": round(value, 2), "unit": unit, "goal": goal}


def present(user: CardUser) -> None:
    user.wait_until("input", "present", 8)
    user.wait_until("output", "present", 8)


def spacing_and_round_trip(period_ms: int) -> list[dict[str, Any]]:
    """From the request that took a sound to its arrival from the microphone, by way of the server's loopback."""
    with (
        SoundServer() as server,
        server.in_this_process(),
        CardUser(PyAudioCard(period_ms=period_ms)) as user,
    ):
        present(user)
        server.play_echo(latency_ms=1)
        time.sleep(1.0)
        sound, trips = babble(0.15, 48_000, seed=5), []
        began, cpu = time.monotonic(), time.process_time()
        while time.monotonic() - began < RUN_SECONDS:
            asked = time.monotonic()
            user.say(sound)
            time.sleep(0.6)
            trips.append(round_trip(user, sound, asked))
        cpu = (time.process_time() - cpu) / (time.monotonic() - began)
        came = np.array([arrival for arrival, _, _ in user.blocks if arrival > began])
        spacing = np.diff(came) * 1000
        counters, told = user.card.counters(), user.card.output_delay_ms
    name = f"{period_ms}ms"
    return [
        figure(f"round_trip_{name}_p50", float(np.nanmedian(trips)), "ms"),
        figure(f"block_spacing_{name}_p50", float(np.percentile(spacing, 50)), "ms"),
        figure(f"block_spacing_{name}_p99", float(np.percentile(spacing, 99)), "ms"),
        figure(f"output_delay_told_{name}", told, "ms"),
        figure(f"card_cpu_{name}", cpu * 100, "% of a core"),
        figure(f"xruns_{name}", counters["input_xruns"] + counters["output_xruns"], "count", "<= 0"),
    ]


def round_trip(user: CardUser, sound: Any, asked: float) -> float:
    """Milliseconds between the speaker's request that took the sound's first sample and that sample's arrival."""
    pulled = next(at for at, _ in user.pulls if at > asked)
    blocks = [(arrival, pcm) for arrival, _, pcm in user.blocks if arrival > asked - 0.1]
    alike, start = likeness(np.frombuffer(b"".join(pcm for _, pcm in blocks), "<i2"), sound)
    if alike < 0.8:
        return float("nan")
    samples = 0
    for arrival, pcm in blocks:
        samples += len(pcm) // 2
        if samples > start:
            return (arrival - pulled) * 1000
    return float("nan")


def opening() -> float:
    """From start() to the first block and the first request, devices being there."""
    with SoundServer() as server, server.in_this_process():
        took = []
        for _ in range(TURNS):
            began = time.monotonic()
            with CardUser(PyAudioCard()) as user:
                user.hears_within(8)
                wait_for(lambda: bool(user.pulls), 8)
                took.append(time.monotonic() - began)
        return float(np.median(took)) * 1000


def recovery() -> list[dict[str, Any]]:
    """Worst of some turns, from the device's return to the next block or request."""
    worst = {"microphone": 0.0, "speaker": 0.0, "server": 0.0}
    lost = 0.0
    with SoundServer() as server, server.in_this_process(), CardUser(PyAudioCard()) as user:
        present(user)
        for _ in range(TURNS):
            server.unplug(MICROPHONE)
            lost = max(lost, user.wait_until("input", "lost", 3))
            server.plug_microphone()
            worst["microphone"] = max(
                worst["microphone"], user.wait_until("input", "recovered", 8) + user.hears_within(8)
            )
            server.unplug(SPEAKER)
            user.wait_until("output", "lost", 3)
            server.plug_speaker()
            worst["speaker"] = max(
                worst["speaker"], user.wait_until("output", "recovered", 8) + user.is_asked_within(8)
            )
            server.kill()
            user.wait_until("input", "lost", 3)
            time.sleep(0.5)
            server.start()
            worst["server"] = max(
                worst["server"], user.wait_until("input", "recovered", 8) + user.hears_within(8)
            )
            user.wait_until("output", "recovered", 8)
    figures = [
        figure(f"recovery_{what}_worst", value * 1000, "ms", "<= 3000") for what, value in worst.items()
    ]
    return [figure("reroute_noticed_worst", lost * 1000, "ms", "<= 250"), *figures]


def idle_cost() -> float:
    """CPU of a card that waits for a device."""
    with SoundServer(running=False) as server, server.in_this_process(), CardUser(PyAudioCard()):
        time.sleep(1.5)
        began = time.process_time()
        time.sleep(5.0)
        return (time.process_time() - began) / 5.0 * 100


def measure() -> list[dict[str, Any]]:
    """All figures; takes about a minute."""
    return [
        *spacing_and_round_trip(10),
        *spacing_and_round_trip(20),
        figure("open_to_first_audio_p50", opening(), "ms", "<= 1000"),
        *recovery(),
        figure("waiting_cpu", idle_cost(), "% of a core", "<= 1"),
    ]
