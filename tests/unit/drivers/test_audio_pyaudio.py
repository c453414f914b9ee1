import subprocess
import sys

import numpy as np
import pytest

from drivers.audio_pyaudio.library import stable_names
from drivers.audio_pyaudio.taps import STANDING_SECONDS, Counts, MicrophoneTap, SpeakerTap

RATE = 48_000
FRAMES = 960
BLOCK = np.full(FRAMES, 7, "<i2").tobytes()


def device(index: int, name: str, inputs: int = 1, outputs: int = 0) -> dict[str, object]:
    return {
        "index": index,
        "name": name,
        "maxInputChannels": inputs,
        "maxOutputChannels": outputs,
        "defaultSampleRate": 48_000.0,
    }


def times(behind: float) -> dict[str, float]:
    """As PortAudio tells them: the block's last sample was taken `behind` seconds ago."""
    return {
        "current_time": 1000.0,
        "input_buffer_adc_time": 1000.0 - behind - FRAMES / RATE,
        "output_buffer_dac_time": 1000.06,
    }


class Ear:
    def __init__(self) -> None:
        self.blocks: list[bytes] = []
        self.counts = Counts()
        self.tap = MicrophoneTap(self.counts, RATE, lambda pcm, at: self.blocks.append(pcm))
        self.tap.gate = True

    def take(self, behind: float) -> None:
        self.tap(BLOCK, FRAMES, times(behind), 0)


def test_a_name_does_not_depend_on_the_order_of_plugging():
    first = stable_names([device(0, "USB Audio: - (hw:1,0)"), device(1, "default")])
    second = stable_names(
        [device(0, "HDMI: (hw:1,0)"), device(1, "USB Audio: - (hw:2,0)"), device(2, "default")]
    )
    assert [d.name for d in first] == ["USB Audio: -", "default"]
    assert "USB Audio: -" in [d.name for d in second]
    assert [d.hardware for d in first] == [True, False]


def test_two_cards_of_one_make_have_two_names():
    listed = stable_names([device(0, "USB Audio: - (hw:1,0)"), device(1, "USB Audio: - (hw:2,0)")])
    assert [d.name for d in listed] == ["USB Audio: -", "USB Audio: - #2"]


def test_a_backlog_is_dropped_and_counted_until_it_is_gone():
    ear = Ear()
    for behind in (0.01, 0.5, 0.3, 0.19, 0.02):
        ear.take(behind)
    assert len(ear.blocks) == 3
    assert ear.counts.backlog_dropped == 2 * FRAMES
    assert ear.tap.backlog == pytest.approx(0.01)


def test_the_standing_delay_of_a_device_is_no_backlog():
    ear = Ear()
    for _ in range(50):
        ear.take(0.35)
    assert len(ear.blocks) == 50


def test_a_delay_that_stays_for_good_is_accepted_in_the_end(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("drivers.audio_pyaudio.taps.time.monotonic", lambda: now[0])
    ear = Ear()
    ear.take(0.01)
    for _ in range(round((STANDING_SECONDS + 0.5) / 0.02)):
        now[0] += 0.02
        ear.take(0.4)
    assert 100 <= ear.counts.backlog_dropped / FRAMES <= 104
    assert ear.blocks[-1] == BLOCK
    assert len(ear.blocks) > 10


def test_nothing_passes_a_closed_gate_or_a_closed_tap():
    ear = Ear()
    ear.tap.gate = False
    ear.take(0.01)
    ear.tap.gate, ear.tap.closed = True, True
    ear.take(0.01)
    assert ear.blocks == []
    assert ear.counts.gated == 2 * FRAMES


def test_perfect_silence_is_counted_while_it_lasts():
    ear = Ear()
    for _ in range(3):
        ear.tap(bytes(2 * FRAMES), FRAMES, times(0.0), 0)
    assert ear.counts.zero_blocks == 3
    ear.take(0.0)
    assert ear.counts.zero_blocks == 0


def test_a_sink_that_raises_is_counted_and_the_stream_goes_on():
    def broken(pcm: bytes, at: float) -> None:
        raise RuntimeError("a bug")

    counts = Counts()
    tap = MicrophoneTap(counts, RATE, broken)
    tap.gate = True
    assert tap(BLOCK, FRAMES, times(0.0), 0) == (None, 0)
    assert counts.faults == 1


def test_a_source_that_raises_or_gives_too_little_sounds_as_silence():
    counts = Counts()

    def broken(samples: int) -> bytes:
        raise RuntimeError("a bug")

    assert SpeakerTap(counts, RATE, broken, 0.04)(None, FRAMES, times(0.0), 0) == (bytes(2 * FRAMES), 0)
    assert counts.faults == 1
    short, _ = SpeakerTap(counts, RATE, lambda samples: BLOCK[:100], 0.04)(None, FRAMES, times(0.0), 0)
    assert short == BLOCK[:100] + bytes(2 * FRAMES - 100)


def test_the_speakers_delay_is_what_the_device_tells():
    tap = SpeakerTap(Counts(), RATE, bytes, 0.04)
    assert tap.delay == 0.04
    tap(None, FRAMES, times(0.0), 0)
    assert tap.delay == pytest.approx(0.06)


WITHOUT_PYAUDIO = """
import sys
sys.modules["pyaudio"] = None  # as if it were not installed
from appliance import plugins
from appliance.errors import DriverMissing
try:
    plugins.load("appliance.sound_cards", "pyaudio")
except DriverMissing as error:
    print(error.hint)
"""


@pytest.mark.slow
def test_without_pyaudio_the_driver_is_missing_and_says_what_to_install():
    done = subprocess.run([sys.executable, "-c", WITHOUT_PYAUDIO], capture_output=True, text=True, check=True)
    assert "pip install PyAudio" in done.stdout
