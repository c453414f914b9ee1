"""Blocks of any size become frames that are cleaned of echo and judged; what breaks costs no audio."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.audio.capture import CapturePath
from appliance.audio.double_talk import DoubleTalk
from appliance.audio.vad import Edge
from appliance.config.schema import Vad
from tests.unit.audio.captures import (
    BLOCK,
    RATE,
    Broken,
    BrokenDetector,
    Loudness,
    Subtraction,
    path,
    pcm_out,
    talk,
)
from tests.unit.audio.sounds import at_level, pcm_of, white


@pytest.mark.slow
@given(sizes=st.lists(st.integers(1, 1_500), min_size=1, max_size=20))
@settings(max_examples=40, deadline=None)
def test_blocks_of_any_size_become_frames_of_twenty_milliseconds_with_nothing_lost(sizes):
    under_test = path()
    pcm = pcm_of(at_level(white(3)[: sum(sizes)], -20))
    out, at = [], 0
    for size in sizes:
        out += under_test.process(pcm[2 * at : 2 * (at + size)], 0.0)
        at += size
    assert all(item.frame.samples == 320 and item.frame.rate == RATE for item in out)
    assert pcm_out(out) == pcm[: len(out) * BLOCK]
    assert len(pcm) - len(out) * BLOCK < BLOCK


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("period_ms", [10, 20])
def test_each_twenty_milliseconds_bring_one_frame_at_any_rate(rate, period_ms):
    under_test = path(rate)
    counts = [len(under_test.process(bytes(rate * period_ms // 1000 * 2), 0.0)) for _ in range(20)]
    assert counts == ([0, 1] * 10 if period_ms == 10 else [1] * 20)


@pytest.mark.parametrize(("rate", "lag_ms"), [(16_000, 0), (48_000, 1.5), (8_000, 3.0)])
def test_a_frames_time_is_that_of_its_last_sample(rate, lag_ms):
    under_test = path(rate)
    frames = under_test.process(bytes(rate // 10 * 2), 50.0)
    assert [item.frame.at for item in frames] == pytest.approx(
        [50 - lag_ms / 1000 - late for late in (0.08, 0.06, 0.04, 0.02, 0)], abs=0.0001
    )


def test_what_was_played_is_taken_out_far_end_first():
    canceller = Subtraction()
    under_test = path(canceller=canceller)
    played = pcm_of(at_level(white(0.1), -20))
    assert not any(pcm_out(under_test.process(played, 0.0, played)))
    assert canceller.order == ["far", "near"] * 10


def test_a_reference_at_another_rate_reaches_the_canceller_in_step():
    canceller = Subtraction()
    under_test = path(48_000, canceller=canceller, far_rate=8_000)
    for _ in range(10):
        under_test.process(bytes(1_920), 0.0, bytes(320))
    assert canceller.order.count("far") == canceller.order.count("near") == 20


def test_a_canceller_that_breaks_leaves_the_microphone_as_it_is():
    under_test = path(canceller=Broken())
    pcm = talk(0.1)
    assert pcm_out(under_test.process(pcm, 0.0)) == pcm
    assert under_test.faults == 10
    assert under_test.last_fault == "echo canceller: RuntimeError"


def test_a_detector_that_breaks_leaves_the_audio_and_no_speech():
    under_test = path(detector=BrokenDetector())
    out = under_test.process(talk(0.2), 0.0)
    assert pcm_out(out) == talk(0.2)
    assert not any(item.speech for item in out)


def test_speech_has_a_start_and_an_end():
    under_test = path()
    out = under_test.process(bytes(BLOCK * 10) + talk(0.6) + bytes(BLOCK * 20), 0.0)
    assert [item.edge for item in out if item.edge] == [Edge.STARTED, Edge.STOPPED]


@pytest.mark.parametrize("before", [10, 11, 12])
@pytest.mark.parametrize("start_ms", [20, 60, 100])
def test_speech_is_found_no_later_where_frames_are_taken_a_few_at_a_time(before, start_ms):
    sound = bytes(BLOCK * before) + talk(0.6)
    hurried, unhurried = (CapturePath(RATE, Vad(start_ms=start_ms), Loudness()) for _ in range(2))
    waiting = bytearray()
    for at in range(0, len(sound), BLOCK):
        block = sound[at : at + BLOCK]
        waiting += block
        began = [one.edge for one in hurried.process(block, 0.0) if one.edge]
        if not unhurried.calm or len(waiting) >= unhurried.unhurried_ms // 20 * BLOCK:
            assert [one.edge for one in unhurried.process(bytes(waiting), 0.0) if one.edge] == began
            waiting.clear()
        else:
            assert not began
    assert not unhurried.calm


def test_the_level_is_that_of_the_frame():
    out = path().process(pcm_of(np.full(320, 0.5)) + bytes(BLOCK), 0.0)
    assert [round(item.level_dbfs) for item in out] == [-6, -96]


def test_reset_drops_what_is_under_way_and_ends_speech():
    under_test = path()
    under_test.process(bytes(BLOCK * 10) + talk(0.6) + bytes(100), 0.0)
    (ended,) = under_test.reset(7.0)
    assert (ended.edge, ended.speech, ended.frame.pcm, ended.frame.at) == (
        Edge.STOPPED,
        False,
        bytes(BLOCK),
        7.0,
    )
    assert under_test.reset(7.0) == []
    assert pcm_out(under_test.process(bytes(BLOCK), 8.0)) == bytes(BLOCK)


class Deaf(Subtraction):
    """A canceller that lets nothing through while something is played."""

    def near_end(self, pcm):
        return bytes(len(pcm)) if any(self.far) else pcm


def test_who_talks_over_what_is_played_is_told_though_the_canceller_hides_it():
    under_test = path(canceller=Deaf(), double_talk=DoubleTalk(Vad(), Loudness()))
    played = talk(3)
    near = bytes(2 * RATE * 2) + talk(1)
    out = under_test.process(near, 0.0, played)
    assert not any(item.speech for item in out)
    assert [item.over for item in out].index(True) == pytest.approx(2_000 / 20 + 3, abs=1)
    talked = [item for item in out if item.over]
    assert len(talked) > 20
    assert all(item.frame.pcm in near for item in talked)
    assert not any(item.over for item in under_test.process(near, 0.0, bytes(len(near)))[30:])


def test_a_broken_detector_of_double_talk_is_passed_over_and_counted():
    under_test = path(canceller=Deaf(), double_talk=DoubleTalk(Vad(), BrokenDetector()))
    assert len(under_test.process(talk(0.1), 0.0, talk(0.1))) == 5
    assert under_test.faults == 5
