"""The verbs `audio list`, `audio test` and `audio level`: which devices there are, and whether they hear and sound."""

import argparse
import json
import math
import sys
import time
from collections.abc import Generator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, cast

import numpy as np
import numpy.typing as npt

from appliance import plugins
from appliance.audio.level import SILENCE_DBFS
from appliance.audition import Audition, CardFactory
from appliance.config.load import load
from appliance.config.schema import Room
from appliance.interfaces import DeviceInfo, SoundCard

GROUP: Final = "appliance.sound_cards"
LEVEL_SECONDS: Final = 0.1

BEEP_HZ: Final = 1_000.0
BEEP_SECONDS: Final = 0.2
BEEPS_AT: Final = (0.5, 1.3, 1.9)
"""Seconds from the start; the distances differ, so that a hum that comes and goes is no beep."""
BEEP_DBFS: Final = -12.0
LISTEN_SECONDS: Final = 3.0
LONGEST_DELAY: Final = 0.45
DELAYS_APART: Final = 0.15
ABOVE_NOISE_DB: Final = 10.0
_STEP: Final = 0.01

Samples = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Level:
    """The microphone over 100 ms, in dB below full scale."""

    rms_dbfs: float
    peak_dbfs: float


@dataclass(frozen=True, slots=True)
class BeepTest:
    """What became of the beeps. `delay_ms` is from the card's asking for the beep to its return, if it was heard."""

    heard: bool
    beeps_heard: int
    delay_ms: float | None
    above_noise_db: float
    noise_dbfs: float
    """Of the beep's tone, before the first one."""
    input: str
    output: str
    remedy: str


def devices(card_name: str) -> list[DeviceInfo]:
    """The devices of that kind of card by stable name."""
    return _factory(card_name).devices()


def beep_test(card: SoundCard) -> BeepTest:
    """Play three beeps and listen for them; takes about four seconds. Raise DeviceUnavailable without both devices."""
    room = Audition(card)
    try:
        names = room.open({"input", "output"})
        room.play(beeps(card.playout_rate), [round(at * card.playout_rate) for at in BEEPS_AT])
        heard = room.record(LISTEN_SECONDS)
    finally:
        card.stop()
    return _judge(heard.samples, heard.rate, [at - heard.began for at in room.asked], names)


def levels(card: SoundCard) -> Generator[Level, None, None]:
    """The microphone's level ten times a second, until the iterator is closed. Raise DeviceUnavailable without one."""
    room = Audition(card)
    try:
        room.open({"input"})
        while True:
            samples = room.record(LEVEL_SECONDS).samples
            yield Level(_dbfs(float(np.sqrt(np.mean(samples**2)))), _dbfs(float(np.abs(samples).max())))
    finally:
        card.stop()


def list_devices(args: argparse.Namespace) -> int:
    """Print the devices; 0 also when there are none."""
    found = devices(_configured(args).sound_card)
    if args.json:
        print(json.dumps([asdict(device) for device in found]))
        return 0
    for kind, title in (("input", "microphones"), ("output", "speakers")):
        print(f"{title} (room.{kind}):")
        of_kind = [device for device in found if device.kind == kind]
        for device in of_kind:
            print(
                f"  {'*' if device.default else ' '} {device.name}  ({device.channels} channels, {device.rate} Hz)"
            )
        if not of_kind:
            print("    none: plug one in; it is taken at once, without a restart")
    print('* is what "default" means now')
    return 0


def test(args: argparse.Namespace) -> int:
    """Play beeps and listen; 1 when they were not heard."""
    result = beep_test(_configured_card(args))
    if args.json:
        print(json.dumps(asdict(result)))
    elif result.heard:
        print(f"{result.output} sounds and {result.input} hears it:", end=" ")
        print(f"{result.delay_ms:.0f} ms later, {result.above_noise_db:.0f} dB above the noise")
    else:
        print(
            f"{result.beeps_heard} of {len(BEEPS_AT)} beeps of {result.output} were heard by {result.input}"
        )
        print(f"  {result.remedy}")
    return 0 if result.heard else 1


def level(args: argparse.Namespace) -> int:
    """Show the level until `--seconds` are over or Ctrl-C."""
    end = math.inf if args.seconds is None else time.monotonic() + args.seconds
    meter = levels(_configured_card(args))
    try:
        for now in meter:
            if args.json:
                print(json.dumps(asdict(now)), flush=True)
            else:
                _draw(now)
            if time.monotonic() >= end:
                return 0
    except KeyboardInterrupt:
        return 0
    finally:
        meter.close()
    return 0


def _configured(args: argparse.Namespace) -> Room:
    """The section; faults of others that only show with the plugins installed are no obstacle here."""
    return load(Path(args.config) if args.config else None).require().room


def _configured_card(args: argparse.Namespace) -> SoundCard:
    room = _configured(args)
    return _factory(room.sound_card)(room.input, room.output)


def _factory(card_name: str) -> CardFactory:
    return cast(CardFactory, plugins.load(GROUP, card_name))


def _draw(now: Level) -> None:
    """One line; on a terminal it moves in its place."""
    bar = "#" * max(0, round((now.rms_dbfs + 60) / 1.5))
    line = f"{now.rms_dbfs:6.1f} dBFS  peak {now.peak_dbfs:6.1f}  {bar:<40}"
    print(f"\r{line}" if sys.stdout.isatty() else line, end="" if sys.stdout.isatty() else "\n", flush=True)


def beeps(rate: int) -> bytes:
    """Silence with the beeps in their places, faded so that they do not click."""
    times = np.arange(round(BEEP_SECONDS * rate)) / rate
    fade = np.minimum(1.0, np.minimum(times, BEEP_SECONDS - times) / 0.01)
    beep = np.sin(2 * np.pi * BEEP_HZ * times) * fade * 10 ** (BEEP_DBFS / 20)
    whole = np.zeros(round((BEEPS_AT[-1] + BEEP_SECONDS) * rate) + 1)
    for at in BEEPS_AT:
        begin = round(at * rate)
        whole[begin : begin + len(beep)] = beep
    return (whole * 32767).astype("<i2").tobytes()


def _judge(heard: Samples, rate: int, played: list[float], names: dict[str, str]) -> BeepTest:
    strength = _strength(heard, rate)
    before = strength[: max(1, int(min(played, default=LISTEN_SECONDS) / _STEP))]
    noise = float(np.percentile(before, 90))
    found = [beep for at in played if (beep := _find_beep(strength, at, noise)) is not None]
    delays = [delay for delay, _ in found]
    enough = len(found) >= 2 and max(delays) - min(delays) < DELAYS_APART
    return BeepTest(
        heard=enough,
        beeps_heard=len(found),
        delay_ms=round(float(np.median(delays)) * 1000, 1) if enough else None,
        above_noise_db=round(float(np.median([gain for _, gain in found])), 1) if found else 0.0,
        noise_dbfs=round(noise, 1),
        input=names["input"],
        output=names["output"],
        remedy="" if enough else _remedy(heard),
    )


def _find_beep(strength: Samples, at: float, noise: float) -> tuple[float, float] | None:
    """Delay and height above the noise of the beep that was asked for at `at`, if it is in the recording.

    A beep is loud for its own length, give or take the room's echo; a click or a voice is not.
    """
    first = int(at / _STEP)
    window = strength[first : first + int((LONGEST_DELAY + BEEP_SECONDS) / _STEP)]
    if not len(window):
        return None
    gain = float(window.max()) - noise
    loud = np.flatnonzero(window > window.max() - 6)
    if gain < ABOVE_NOISE_DB or not BEEP_SECONDS * 0.5 <= len(loud) * _STEP <= BEEP_SECONDS * 2:
        return None
    return (first + int(loud[0])) * _STEP - at, gain


def _remedy(heard: Samples) -> str:
    if not np.any(heard):
        return "the microphone gives perfect silence: it is muted, or the wrong one (see: handset audio list)"
    return "turn the speaker up, and bring the microphone nearer; see: handset audio level"


def _strength(samples: Samples, rate: int) -> Samples:
    """How loud the beep's tone is in each 10 ms, in dB."""
    step = round(rate * _STEP)
    rows = samples[: len(samples) // step * step].reshape(-1, step)
    phase = np.exp(-2j * np.pi * BEEP_HZ * np.arange(step) / rate)
    amplitude = np.abs(rows @ phase) * 2 / step
    return np.asarray(20 * np.log10(np.maximum(amplitude, 10 ** (SILENCE_DBFS / 20))))


def _dbfs(amplitude: float) -> float:
    return max(SILENCE_DBFS, 20 * math.log10(amplitude)) if amplitude > 0 else SILENCE_DBFS
