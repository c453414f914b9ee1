import os
import resource
import signal
import stat
import threading
import time
import wave

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.audio.recording import Interleaver, Recorder, mend, wav_header

RATE = 16_000


def mono(value: int, samples: int = 320) -> bytes:
    return np.full(samples, value, dtype="<i2").tobytes()


def read(path) -> tuple[np.ndarray, int]:
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (2, 2)
        return np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").reshape(
            -1, 2
        ), file.getframerate()


def no_failure(code):
    raise AssertionError(code)


def until(true, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.slow
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 900)), max_size=40))
def test_both_sides_keep_their_samples_and_their_order(blocks):
    interleaver = Interleaver(1_000_000)
    sides = [b"", b""]
    stereo = b""
    for side, size in blocks:
        pcm = np.random.default_rng(size).integers(1, 1_000, size, dtype="<i2").tobytes()
        sides[side] += pcm
        stereo += interleaver.add(side, pcm)
    stereo += interleaver.rest()
    samples = np.frombuffer(stereo, dtype="<i2").reshape(-1, 2)
    for side in (0, 1):
        own = np.frombuffer(sides[side], dtype="<i2")
        assert samples[: len(own), side].tolist() == own.tolist()
        assert not samples[len(own) :, side].any()


def test_a_side_that_says_nothing_is_silence_and_does_not_hold_up_the_other():
    interleaver = Interleaver(RATE)
    stereo = b"".join(interleaver.add(0, mono(5)) for _ in range(50))
    samples = np.frombuffer(stereo, dtype="<i2").reshape(-1, 2)
    assert len(samples) == 16_000 - 8_000
    assert set(samples[:, 0]) == {5}
    assert set(samples[:, 1]) == {0}


def test_the_caller_is_left_and_the_agent_right(tmp_path):
    recorder = Recorder(tmp_path / "calls" / "a.wav", no_failure)
    for _ in range(50):
        recorder.hear(mono(100), RATE)
        recorder.say(mono(-200), RATE)
    recorder.stop()
    samples, rate = read(recorder.path)
    assert rate == RATE
    assert len(samples) == 16_000
    assert set(map(tuple, samples.tolist())) == {(100, -200)}
    assert recorder.counters() == {"dropped_blocks": 0, "written_ms": 1_000}


def test_sides_of_other_rates_are_resampled(tmp_path):
    recorder = Recorder(tmp_path / "a.wav", no_failure)
    for _ in range(50):
        recorder.hear(mono(1_000, 160), 8_000)
        recorder.say(mono(2_000, 960), 48_000)
    recorder.stop()
    samples, _ = read(recorder.path)
    assert len(samples) == pytest.approx(16_000, abs=100)
    assert np.abs(samples[2_000:-2_000] - [1_000, 2_000]).max() < 5


@pytest.mark.slow
def test_a_power_cut_leaves_a_readable_file(tmp_path):
    recorder = Recorder(tmp_path / "a.wav", no_failure)
    deadline = time.monotonic() + 5
    length = 0
    while length < 32_000 and time.monotonic() < deadline:
        recorder.hear(mono(100), RATE)
        recorder.say(mono(200), RATE)
        time.sleep(0.005)
        if recorder.path.exists() and recorder.path.stat().st_size > 44:
            cut = tmp_path / "cut.wav"
            cut.write_bytes(recorder.path.read_bytes())
            length = len(read(cut)[0])
    recorder.stop()
    assert length >= 32_000


def test_a_full_disk_stops_the_recording_and_says_so_once(tmp_path):
    codes: list[str] = []
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        recorder = Recorder(tmp_path / "a.wav", codes.append)
        for _ in range(200):
            recorder.hear(mono(100), RATE)
            recorder.say(mono(200), RATE)
        until(lambda: codes)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    recorder.hear(mono(100), RATE)
    recorder.stop()
    assert codes == ["disk_full"]


def test_a_place_that_cannot_be_written_is_a_failed_recording(tmp_path):
    codes: list[str] = []
    (tmp_path / "file").write_text("not a directory")
    recorder = Recorder(tmp_path / "file" / "a.wav", codes.append)
    until(lambda: codes)
    recorder.stop()
    assert codes == ["recording_failed"]


def test_an_existing_recording_is_never_overwritten(tmp_path):
    codes: list[str] = []
    (tmp_path / "a.wav").write_bytes(b"precious")
    recorder = Recorder(tmp_path / "a.wav", codes.append)
    until(lambda: codes)
    recorder.stop()
    assert (tmp_path / "a.wav").read_bytes() == b"precious"


def test_the_header_of_a_very_long_recording_stays_within_its_field():
    assert len(wav_header(RATE, 1 << 40)) == 44


def test_a_stopped_recorder_leaves_no_thread(tmp_path):
    recorder = Recorder(tmp_path / "a.wav", no_failure)
    recorder.stop()
    recorder.stop()
    assert "recorder" not in [thread.name for thread in threading.enumerate()]
    assert len(read(recorder.path)[0]) == 0


def test_a_recording_is_the_owners_alone(tmp_path):
    before = os.umask(0o022)
    recorder = Recorder(tmp_path / "calls" / "a.wav", no_failure)
    recorder.hear(mono(100), RATE)
    recorder.stop()
    os.umask(before)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (recorder.path, recorder.path.parent)] == [
        0o600,
        0o700,
    ]


def test_while_it_is_paused_both_sides_are_silence_and_time_goes_on(tmp_path):
    recorder = Recorder(tmp_path / "a.wav", no_failure)
    for number in range(150):
        recorder.paused = 50 <= number < 100
        recorder.hear(mono(100), RATE)
        recorder.say(mono(-200), RATE)
    recorder.stop()
    samples, _ = read(recorder.path)
    assert len(samples) == 48_000
    assert set(map(tuple, samples[:16_000].tolist())) == {(100, -200)}
    assert not samples[16_000:32_000].any()
    assert set(map(tuple, samples[32_000:].tolist())) == {(100, -200)}


@pytest.mark.parametrize("torn", [0, 1, 3])
def test_a_header_that_a_cut_left_behind_is_mended_to_all_that_was_written(tmp_path, torn):
    path = tmp_path / "a.wav"
    path.write_bytes(wav_header(RATE, 400) + bytes(4_000 + torn))
    with wave.open(str(path)) as file:
        assert file.getnframes() == 100
    assert mend(path)
    with wave.open(str(path)) as file:
        assert (file.getnframes(), file.getframerate()) == (1_000, RATE)
    assert not mend(path)


@pytest.mark.parametrize("content", [b"", b"RIFF", b"nonsense" * 100, b"RIFF" + bytes(100)])
def test_what_is_no_recording_of_ours_is_left_alone(tmp_path, content):
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    assert not mend(path)
    assert path.read_bytes() == content
