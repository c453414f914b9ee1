"""The verb `audio calibrate`: plays a probe and a sentence, measures what comes back, and keeps what follows of it."""

import argparse
import asyncio
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Final, cast

import numpy as np
import numpy.typing as npt

from appliance import plugins
from appliance.audio.capture import CapturePath
from appliance.audio.double_talk import DoubleTalk
from appliance.audio.duplex import Trial
from appliance.audio.resample import Resampler
from appliance.audio.sweep import Probe, make_probe, measure
from appliance.audio.trial import try_echo
from appliance.audio.vad import load_confirm, load_detector
from appliance.audition import Audition, CardFactory, Recording
from appliance.calibration import Calibration, CalibrationFile, calibrated
from appliance.config.load import load
from appliance.config.schema import Configuration, Vad
from appliance.errors import ApplianceError, DeviceUnavailable
from appliance.frames import BYTES_PER_SAMPLE
from appliance.interfaces import EchoCanceller, SoundCard, Voice

PROBE_DBFS: Final = -18.0
Samples = npt.NDArray[np.float64]
SWEEPS: Final = 6
SETTLE_SECONDS: Final = 0.5
"""A sound server needs this before its delay is steady."""
SPEECH: Final = "I am listening to how this room sounds. Please be quiet for a moment, until I have finished."
SPEECH_DBFS: Final = -18.0
"""RMS of what is spoken: about that of the voices of all services."""
AFTER_SECONDS: Final = 1.0
TRIES: Final = 3


class NothingHeard(DeviceUnavailable):
    """The microphone hears nothing of the speaker."""

    code = "nothing_heard"
    default_hint = 'turn the speaker up (handset audio test); a headset has no echo: room.duplex = "full"'


def calibrate(args: argparse.Namespace) -> int:
    """Measure, print and keep; 1 where nothing was heard."""
    configuration = load(Path(args.config) if args.config else None).require()
    factory = cast(CardFactory, plugins.load("appliance.sound_cards", configuration.room.sound_card))
    if not args.json:
        print("Be quiet for a quarter of a minute: a few chirps, and a sentence.", flush=True)
    card = factory(configuration.room.input, configuration.room.output)
    result = calibration(card, configuration.vad, sentence="" if args.no_speech else SPEECH)
    CalibrationFile(configuration.storage.directory).keep(result)
    if args.json:
        print(json.dumps(asdict(result)))
    else:
        print(told(result, configuration))
    return 0


def calibration(card: SoundCard, vad: Vad, *, sentence: str = SPEECH) -> Calibration:
    """What is measured of the card's devices, in about 15 s. Raise DeviceUnavailable, or NothingHeard."""
    room = Audition(card)
    probe = make_probe(card.playout_rate, PROBE_DBFS, SWEEPS)
    speech = _speech(sentence, card.playout_rate)
    try:
        names = room.open({"input", "output"})
        played = _pcm(np.concatenate((probe.samples, speech)))
        heard = _played_and_heard(room, played, probe)
    finally:
        card.stop()
    found = measure(_at_rate(heard, probe.rate), probe, _asked(heard, room.asked, probe.rate))
    if not found.heard:
        raise NothingHeard(f"{names['input']} hears nothing of {names['output']}")
    canceller = _canceller()
    trial = None
    if canceller is not None and len(speech):
        trial = _trial(heard, played, probe, room.asked, card, vad, canceller)
    devices = (names["input"], names["output"])
    return calibrated(devices, time.time(), found, trial, canceller=canceller is not None)


def _played_and_heard(room: Audition, played: bytes, probe: Probe) -> Recording:
    """Once more where a device was lost meanwhile: another delay holds after that."""
    seconds = len(played) / BYTES_PER_SAMPLE / probe.rate + AFTER_SECONDS
    for _ in range(TRIES):
        losses = room.losses
        time.sleep(SETTLE_SECONDS)
        room.forget()
        room.play(played, [*probe.starts])
        heard = room.record(seconds)
        if room.losses == losses and len(room.asked) == len(probe.starts):
            return heard
    raise DeviceUnavailable(
        f"a device was lost in each of {TRIES} measurements", hint="see: handset doctor, and its cable"
    )


def told(result: Calibration, configuration: Configuration) -> str:
    """For a person at a terminal."""
    lines = [
        f"{result.output} -> {result.input}",
        f"  delay     {result.delay_ms:8.1f} ms   from asking for a sample to hearing it",
        f"  drift     {result.drift_ppm:8.1f} ppm  of the speaker's clock against the microphone's",
        f"  coupling  {result.coupling_db:8.1f} dB   of the echo against what is played",
        f"  noise     {result.noise_dbfs:8.1f} dBFS",
    ]
    if result.erle_db is not None:
        lines.append(f"  cancelled {result.erle_db:8.1f} dB   of the echo of speech")
    if result.onsets:
        lines.append(f"  mistaken  {result.onsets:8d}      times for a person")
    duck = f", {result.duck_db:.0f} dB more quietly" if result.duck_db else ""
    lines.append(f"duplex: {result.duplex}{duck}: {result.reason}")
    if configuration.room.duplex != "auto":
        lines.append(f'room.duplex = "{configuration.room.duplex}" holds instead; "auto" goes by this')
    else:
        lines.append("a running appliance takes it over with its next reload or restart")
    return "\n".join(lines)


def _asked(heard: Recording, asked: list[float], rate: int) -> list[float]:
    return [heard.index(at) * rate / heard.rate for at in asked]


def _at_rate(heard: Recording, rate: int) -> Samples:
    if heard.rate == rate:
        return heard.samples
    resampler = Resampler(heard.rate, rate)
    pcm = resampler.process(_pcm(heard.samples)) + resampler.flush()
    return np.frombuffer(pcm, "<i2") / 32768


def _trial(
    heard: Recording,
    played: bytes,
    probe: Probe,
    asked: list[float],
    card: SoundCard,
    vad: Vad,
    canceller: EchoCanceller,
) -> Trial:
    """What is played beside what was heard of it, each from the moment at which the card asked for it."""
    rate = card.capture_rate
    resampler = Resampler(card.playout_rate, rate)
    far = resampler.process(played) + resampler.flush()
    first = float(
        np.median(
            [
                heard.index(at) - start * rate / probe.rate
                for at, start in zip(asked, probe.starts, strict=False)
            ]
        )
    )
    lead = max(0, round(first))
    far = bytes(lead * BYTES_PER_SAMPLE) + far[max(0, -round(first)) * BYTES_PER_SAMPLE :]
    near = _pcm(heard.samples)
    far = far[: len(near)].ljust(len(near), b"\0")
    path = CapturePath(
        rate,
        vad,
        load_detector("webrtc", vad.aggressiveness),
        load_confirm(vad.confirm),
        canceller,
        double_talk=DoubleTalk(vad, load_detector("webrtc", vad.aggressiveness), load_confirm(vad.confirm)),
    )
    try:
        return try_echo(near, far, rate, path, since=(lead / rate) + probe.seconds)
    finally:
        path.close()


def _speech(sentence: str, rate: int) -> Samples:
    """The sentence, as loud as answers are; nothing where there is no voice."""
    try:
        pcm = asyncio.run(_spoken(plugins.load("appliance.voices", "espeak")(), sentence, rate))
    except ApplianceError:
        return np.zeros(0)
    samples = np.frombuffer(pcm, "<i2") / 32768
    loud = samples[np.abs(samples) > 1e-3]
    gain = 10 ** (SPEECH_DBFS / 20) / float(np.sqrt(np.mean(loud**2))) if len(loud) else 0.0
    return np.clip(samples * gain, -1, 1)


async def _spoken(voice: Voice, sentence: str, rate: int) -> bytes:
    pcm, resampler = b"", None
    async for piece in voice.speak(sentence):
        resampler = resampler or Resampler(piece.rate, rate)
        pcm += resampler.process(piece.pcm)
    return pcm + (resampler.flush() if resampler is not None else b"")


def _canceller() -> EchoCanceller | None:
    try:
        return cast(EchoCanceller, plugins.load("appliance.echo_cancellers", "webrtc")())
    except ApplianceError:
        return None


def _pcm(samples: Samples) -> bytes:
    pcm: bytes = (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()
    return pcm
