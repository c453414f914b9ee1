import itertools
import signal
import struct
import subprocess
import sys
import time
import wave

import numpy as np
import pytest

from appliance.errors import RequestInvalid
from drivers.audio_wav import PLAYOUT_RATE, WavCard, WavWriter, read_format, to_mono
from tests.rig.card_user import CardUser, wait_for
from tests.rig.sounds import babble, likeness, write_wav


def wav_bytes(
    coding: int, channels: int, rate: int, bits: int, data: bytes, *, extensible: bool = False
) -> bytes:
    tag = 0xFFFE if extensible else coding
    layout = struct.pack(
        "<HHIIHH", tag, channels, rate, rate * channels * bits // 8, channels * bits // 8, bits
    )
    if extensible:
        layout += struct.pack("<HHIH14s", 22, bits, 0, coding, bytes(14))
    chunks = b"fmt " + struct.pack("<I", len(layout)) + layout + b"LIST" + struct.pack("<I", 3) + b"abc\0"
    chunks += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


WAVE = np.array([0.0, 0.25, -0.5, 0.75, -1.0])
CODED = {
    (1, 8): (WAVE * 128 + 128).clip(0, 255).astype("u1").tobytes(),
    (1, 16): (WAVE * 32768).clip(-32768, 32767).astype("<i2").tobytes(),
    (1, 24): b"".join(struct.pack("<i", int(v))[:3] for v in (WAVE * 2**23)),
    (1, 32): (WAVE * 2**31).astype("<i4").tobytes(),
    (3, 32): WAVE.astype("<f4").tobytes(),
}


@pytest.mark.parametrize(("coding", "bits"), CODED)
@pytest.mark.parametrize("extensible", [False, True])
def test_every_width_is_read_as_the_same_sound(tmp_path, coding, bits, extensible):
    path = tmp_path / "a.wav"
    path.write_bytes(wav_bytes(coding, 1, 16_000, bits, CODED[coding, bits], extensible=extensible))
    with path.open("rb") as file:
        layout = read_format(file)
        file.seek(layout.offset)
        samples = np.frombuffer(to_mono(file.read(layout.size), layout), "<i2")
    assert samples == pytest.approx(WAVE * 32768, abs=1)


def test_stereo_is_mixed_to_mono(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(wav_bytes(1, 2, 16_000, 16, np.array([[100, 300], [-5, 5]], "<i2").tobytes()))
    with path.open("rb") as file:
        layout = read_format(file)
        file.seek(layout.offset)
        assert np.frombuffer(to_mono(file.read(layout.size), layout), "<i2").tolist() == [200, 0]


@pytest.mark.parametrize("claimed", [0, 0xFFFFFFFF])
def test_a_file_written_to_a_pipe_is_as_long_as_it_is(tmp_path, claimed):
    whole = wav_bytes(1, 1, 16_000, 16, bytes(640))
    path = tmp_path / "a.wav"
    path.write_bytes(whole.replace(b"data" + struct.pack("<I", 640), b"data" + struct.pack("<I", claimed)))
    with path.open("rb") as file:
        assert read_format(file).size == 640


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "No such file"),
        (b"", "no WAV file"),
        (b"ID3 this is an mp3 file, really", "no WAV file"),
        (wav_bytes(1, 1, 16_000, 16, bytes(64))[:20], "cut off"),
        (wav_bytes(1, 1, 16_000, 16, bytes(64))[:40], "no samples"),
        (wav_bytes(6, 1, 8_000, 8, bytes(64)), "format 6"),
        (wav_bytes(1, 1, 4_000, 16, bytes(64)), "4000 Hz"),
        (wav_bytes(1, 0, 16_000, 16, bytes(64)), "0 channels"),
    ],
)
def test_a_file_that_will_not_do_is_refused_with_a_remedy(tmp_path, content, says):
    path = tmp_path / "a.wav"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RequestInvalid, match=says) as refused:
        WavCard(str(path), str(tmp_path / "out.wav"))
    assert refused.value.hint
    assert not (tmp_path / "out.wav").exists()


def test_an_output_that_cannot_be_written_is_refused_and_the_input_never_overwritten(tmp_path):
    said = write_wav(tmp_path / "in.wav", babble(0.1, 16_000), 16_000)
    with pytest.raises(RequestInvalid, match="cannot be written"):
        WavCard(str(said), str(tmp_path / "no" / "out.wav"))
    before = said.read_bytes()
    with pytest.raises(RequestInvalid, match="microphone's file"):
        WavCard(str(said), str(tmp_path / "." / "in.wav"))
    assert said.read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100])
def test_the_file_is_heard_whole_at_its_own_rate_and_then_silence(tmp_path, rate):
    said = babble(0.5, rate)
    card = WavCard(str(write_wav(tmp_path / "in.wav", said, rate)), str(tmp_path / "out.wav"))
    with CardUser(card) as user:
        assert card.capture_rate == rate
        began = time.monotonic()
        wait_for(lambda: card.finished, 2)
        assert time.monotonic() - began == pytest.approx(0.5, abs=0.1)
        blocks = len(user.blocks)
        wait_for(lambda: len(user.blocks) > blocks + 5, 1)
    heard = user.heard()
    assert heard[: len(said)].tolist() == said.tolist()
    assert not heard[len(said) :].any()
    assert user.states("input") == ["present"]


@pytest.mark.slow
def test_both_files_start_at_the_same_moment(tmp_path):
    said = write_wav(tmp_path / "in.wav", babble(0.4, 24_000), 24_000)
    card = WavCard(str(said), str(tmp_path / "out.wav"))
    with CardUser(card) as user:
        wait_for(lambda: bool(user.blocks), 1)
        user.say(babble(0.3, PLAYOUT_RATE, seed=3))
        queued = len(user.heard())
        wait_for(lambda: len(user.blocks) > 30, 2)
    with wave.open(str(tmp_path / "out.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (PLAYOUT_RATE, 1, 2)
        played = np.frombuffer(file.readframes(10**6), "<i2")
    alike, start = likeness(played, babble(0.3, PLAYOUT_RATE, seed=3))
    assert alike > 0.999
    # Said when so much had been heard: sounds in the very next period, and never before.
    assert 0 <= start - queued <= PLAYOUT_RATE * 0.04


KILLED = """
import sys, time
from drivers.audio_wav import WavCard
card = WavCard(sys.argv[1], sys.argv[2])
card.start(lambda pcm, at: None, lambda samples: b"\\1\\0" * samples, lambda report: None)
time.sleep(0.4)
print("now", flush=True)
time.sleep(60)
"""


@pytest.mark.slow
def test_the_output_can_be_read_after_the_program_was_killed(tmp_path):
    said = write_wav(tmp_path / "in.wav", babble(0.1, 16_000), 16_000)
    out = tmp_path / "out.wav"
    program = subprocess.Popen([sys.executable, "-c", KILLED, str(said), str(out)], stdout=subprocess.PIPE)
    assert program.stdout is not None
    program.stdout.readline()
    program.send_signal(signal.SIGKILL)
    program.communicate(timeout=5)
    with wave.open(str(out)) as file:
        frames = file.getnframes()
        assert frames >= PLAYOUT_RATE * 0.3
        assert file.readframes(frames) == b"\1\0" * frames


FILLED = """
import resource, sys, time
from drivers.audio_wav import WavCard
resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000))  # what a full disk is to one file
card, blocks = WavCard(sys.argv[1], sys.argv[2]), []
def note(report): print(report.kind, report.state)
card.start(lambda pcm, at: blocks.append(at), lambda samples: bytes(2 * samples), note)
time.sleep(0.6)
card.stop()
print(len(blocks) > 20, card.counters()["write_faults"] > 5)
"""


@pytest.mark.slow
def test_a_disk_that_fills_up_costs_the_recording_and_nothing_else(tmp_path):
    said = write_wav(tmp_path / "in.wav", babble(0.1, 16_000), 16_000)
    out = tmp_path / "out.wav"
    done = subprocess.run(
        [sys.executable, "-c", FILLED, str(said), str(out)],
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    )
    assert done.stdout.splitlines() == ["input present", "output present", "output lost", "True True"]
    with wave.open(str(out)) as file:
        assert file.getnframes() == (8000 - 44) // 2


def test_a_disk_that_is_full_from_the_start_is_told_at_once(tmp_path):
    said = write_wav(tmp_path / "in.wav", babble(0.1, 16_000), 16_000)
    with pytest.raises(RequestInvalid, match="No space left"):
        WavCard(str(said), "/dev/full")


@pytest.mark.slow
def test_a_pause_of_the_machine_stretches_time_and_loses_nothing(tmp_path):
    said = babble(0.6, 16_000)
    card = WavCard(str(write_wav(tmp_path / "in.wav", said, 16_000)), str(tmp_path / "out.wav"))
    slow = CardUser(card)

    def hear_slowly(pcm: bytes, at: float) -> None:
        slow.blocks.append((time.monotonic(), at, pcm))
        if len(slow.blocks) == 5:
            time.sleep(0.5)

    card.start(hear_slowly, lambda samples: bytes(2 * samples), lambda report: None)
    wait_for(lambda: card.finished, 3)
    card.stop()
    assert slow.heard()[: len(said)].tolist() == said.tolist()
    assert card.counters()["late_ms"] >= 400
    later = [at for _, at, _ in slow.blocks[6:]]
    assert max(b - a for a, b in itertools.pairwise(later)) < 0.05


def test_the_writer_refuses_nothing_after_its_end(tmp_path):
    writer = WavWriter(tmp_path / "a.wav", 8_000)
    writer.write(bytes(320))
    writer.close()
    writer.write(bytes(320))
    writer.close()
    assert (tmp_path / "a.wav").stat().st_size == 44 + 320
