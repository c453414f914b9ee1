"""The PyAudio card on a real sound server: what it hears and says, and how it survives losing what it stands on."""

import ctypes
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from drivers.audio_pyaudio import PyAudioCard
from tests.rig.card_user import CardUser, wait_for
from tests.rig.sound_server import MICROPHONE, SPEAKER, SoundServer, sound_server
from tests.rig.sounds import babble, likeness, share_of, tone, write_wav

pytestmark = pytest.mark.system

__all__ = ["sound_server"]

RECOGNISED = 0.25
"""Likeness that only the very sound has, even with a few skips in it; others stay below 0.1."""
RETURN_SECONDS = 3.0
"""What the card promises, from a device's return to its audio."""


@pytest.fixture
def user(sound_server: SoundServer) -> Iterator[CardUser]:
    """A card that runs on the default microphone and speaker."""
    with CardUser(PyAudioCard()) as user:
        user.wait_until("input", "present", 5)
        user.wait_until("output", "present", 5)
        yield user


def best_of_three(attempt: Callable[[], float]) -> float:
    """Server, player and recorder run without real-time priority: on a busy machine one of them may skip once."""
    best = 0.0
    for _ in range(3):
        best = max(best, attempt())
        if best > 0.98:
            break
    return best


def say_into_microphone(
    server: SoundServer, directory: Path, seconds: float = 1.0, *, wait: bool = True
) -> Path:
    wav = write_wav(directory / "said.wav", babble(seconds, 48_000), 48_000)
    server.play(wav, wait=wait)
    return wav


def test_what_is_said_into_the_microphone_arrives_sample_for_sample(sound_server, user, tmp_path):
    def attempt() -> float:
        since = time.monotonic()
        say_into_microphone(sound_server, tmp_path)
        time.sleep(0.3)
        return likeness(user.heard(since), babble(1.0, 48_000))[0]

    assert best_of_three(attempt) > 0.98
    assert user.card.counters()["callback_faults"] == 0
    # Python makes no new state of PortAudio's thread for each block: that costs more than the block.
    assert len(user.hearing_states) == 1


def test_what_is_played_sounds_sample_for_sample(sound_server, user):
    def attempt() -> float:
        with sound_server.record(rate=48_000) as recording:
            user.say(babble(1.0, 48_000, seed=7))
            time.sleep(1.5)
        return likeness(recording.samples(), babble(1.0, 48_000, seed=7))[0]

    assert best_of_three(attempt) > 0.98


def test_devices_have_stable_names_and_no_monitor_is_a_microphone(sound_server):
    listed = {(device.kind, device.name, device.default) for device in PyAudioCard.devices()}
    assert listed == {("input", MICROPHONE, True), ("output", SPEAKER, True)}


def test_a_pulled_microphone_is_lost_at_once_and_the_agent_never_hears_itself(sound_server, user):
    user.say(tone(440, 20, 48_000))
    user.hears_within(1)
    time.sleep(0.3)
    pulled = time.monotonic()
    sound_server.unplug(MICROPHONE)
    assert user.wait_until("input", "lost", 1.0) < 1.0
    time.sleep(1.0)
    assert share_of(440, user.heard(pulled), 48_000) == 0
    assert user.states("output") == ["present"]


def test_a_microphone_that_returns_is_heard_again_within_three_seconds(sound_server, user, tmp_path):
    for _ in range(2):
        sound_server.unplug(MICROPHONE)
        user.wait_until("input", "lost", 1)
        time.sleep(0.5)
        returned = time.monotonic()
        sound_server.plug_microphone()
        user.wait_until("input", "recovered", RETURN_SECONDS)
        user.hears_within(RETURN_SECONDS)
        assert time.monotonic() - returned < RETURN_SECONDS
    back = time.monotonic()
    say_into_microphone(sound_server, tmp_path)
    time.sleep(0.3)
    assert likeness(user.heard(back), babble(1.0, 48_000))[0] > RECOGNISED


def test_a_microphone_that_is_out_for_a_moment_only_is_back_as_quickly(sound_server, user):
    for pause in (0.0, 0.01, 0.02, 0.05, 0.1):
        sound_server.unplug(MICROPHONE)
        user.wait_until("input", "lost", 1)
        time.sleep(pause)
        sound_server.plug_microphone()
        user.wait_until("input", "recovered", 1)


def test_a_speaker_comes_and_goes_without_a_gap_in_the_microphone(sound_server, user):
    user.hears_within(1)
    since = time.monotonic()
    sound_server.unplug(SPEAKER)
    user.wait_until("output", "lost", 1.5)
    time.sleep(0.5)
    returned = time.monotonic()
    sound_server.plug_speaker()
    user.wait_until("output", "recovered", RETURN_SECONDS)
    user.is_asked_within(RETURN_SECONDS)
    assert time.monotonic() - returned < RETURN_SECONDS
    with sound_server.record(rate=48_000) as recording:
        user.say(babble(0.5, 48_000))
        time.sleep(1.0)
    assert likeness(recording.samples(), babble(0.5, 48_000))[0] > RECOGNISED
    times = [came for came, _, _ in user.blocks if came > since]
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) < 0.25


def test_a_killed_server_that_returns_carries_audio_again_within_three_seconds(sound_server, user, tmp_path):
    sound_server.kill()
    user.wait_until("input", "lost", 1.5)
    user.wait_until("output", "lost", 1.5)
    time.sleep(1.0)
    sound_server.start()
    returned = time.monotonic()
    user.wait_until("input", "recovered", RETURN_SECONDS)
    user.wait_until("output", "recovered", RETURN_SECONDS)
    user.hears_within(RETURN_SECONDS)
    assert time.monotonic() - returned < RETURN_SECONDS
    say_into_microphone(sound_server, tmp_path)
    time.sleep(0.3)
    assert likeness(user.heard(returned), babble(1.0, 48_000))[0] > RECOGNISED


def test_a_card_started_without_any_device_takes_what_comes(tmp_path):
    with SoundServer(running=False) as server, server.in_this_process(), CardUser(PyAudioCard()) as user:
        time.sleep(1.0)
        assert user.reports == []
        assert user.blocks == []
        server.start(microphone=False)
        user.wait_until("output", "present", RETURN_SECONDS)
        time.sleep(0.5)
        assert user.states("input") == []
        server.plug_microphone()
        user.wait_until("input", "present", RETURN_SECONDS)
        user.hears_within(RETURN_SECONDS)


def test_a_named_microphone_is_waited_for_and_no_other_is_taken(sound_server):
    sound_server.plug_microphone("desk")
    sound_server.plug_microphone("door")
    with CardUser(PyAudioCard("desk")) as user:
        user.wait_until("input", "present", 5)
        assert user.last("input").name == "desk"
        sound_server.unplug("desk")
        user.wait_until("input", "lost", 1)
        gone = time.monotonic()
        time.sleep(1.0)
        assert len(user.heard(gone + 0.1)) == 0
        sound_server.plug_microphone("desk")
        user.wait_until("input", "recovered", RETURN_SECONDS)
        assert user.last("input").name == "desk"


def test_the_default_microphone_is_followed_when_the_server_makes_another_one_the_default(sound_server, user):
    sound_server.plug_microphone("headset")
    wait_for(lambda: user.last("input").name == "headset", RETURN_SECONDS)
    user.hears_within(RETURN_SECONDS)


def test_what_piled_up_behind_a_stalled_process_is_dropped_and_counted(user):
    user.hears_within(1)
    ctypes.PyDLL(None).usleep(900_000)  # PyDLL keeps the interpreter's lock: every thread of Python's waits
    time.sleep(0.8)
    dropped = user.card.counters()["input_backlog_dropped_ms"]
    assert 500 <= dropped <= 900
    assert user.states("input") == ["present"]
    assert user.card.counters()["input_backlog_ms"] < 100
    ages = [came - at for came, at, _ in user.blocks]
    assert max(ages) < 0.3


def test_a_server_that_pauses_loses_no_device_and_a_frozen_one_does_not_hold_up_the_end(sound_server):
    with CardUser(PyAudioCard()) as user:
        user.wait_until("input", "present", 5)
        user.wait_until("output", "present", 5)
        for pause in (0.3, 1.0):  # after the first, ALSA begins the speaker's stream anew
            sound_server.freeze()
            time.sleep(pause)
            sound_server.thaw()
            user.hears_within(RETURN_SECONDS)
            user.is_asked_within(RETURN_SECONDS)
        assert user.states("input") == user.states("output") == ["present"]
        sound_server.freeze()
        try:
            user.wait_until("input", "lost", 20)
            user.wait_until("output", "lost", 20)
            began = time.monotonic()
            user.card.stop()
            assert time.monotonic() - began < 2.0
            assert user.card.counters()["abandoned_threads"] == 1
        finally:
            sound_server.thaw()
    wait_for(lambda: "sound-card" not in {thread.name for thread in threading.enumerate()}, 5)


def test_nothing_is_left_after_stopping(sound_server):
    def left() -> tuple[int, int, int]:
        process = psutil.Process()
        return process.num_threads(), process.num_fds(), len(process.children())

    def once() -> None:
        with CardUser(PyAudioCard()) as user:
            user.wait_until("input", "present", 5)
            user.hears_within(3)
            user.is_asked_within(3)

    once()
    before = left()
    for _ in range(3):
        once()
    wait_for(lambda: all(now <= then for now, then in zip(left(), before, strict=True)), 2)


PROGRAM = """
import os, sys, time
from drivers.audio_pyaudio import PyAudioCard
reports = []
card = PyAudioCard()
card.start(lambda pcm, at: None, lambda samples: bytes(2 * samples), reports.append)
print("a line of our own", file=sys.stderr)
for line in sys.stdin:
    count = int(line)
    deadline = time.monotonic() + 8
    while len(reports) < count and time.monotonic() < deadline:
        time.sleep(0.01)
    print(len(reports), flush=True)
os.write(2, b"another one\\n")
"""


def test_stderr_stays_clean_through_opening_losing_and_the_end_of_a_program_that_forgot_to_stop():
    with SoundServer(running=False) as server:
        env = {**os.environ, **server.env}
        program = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert program.stdin is not None
        assert program.stdout is not None
        time.sleep(0.7)
        for count, step in ((2, server.start), (4, server.kill), (6, server.start)):
            step()
            program.stdin.write(f"{count}\n")
            program.stdin.flush()
            assert int(program.stdout.readline()) == count
        _, errors = program.communicate(timeout=10)
    lines = [line for line in errors.splitlines() if "device" not in line]  # our own log of losses
    assert lines == ["a line of our own", "another one"]
    assert program.returncode == 0
