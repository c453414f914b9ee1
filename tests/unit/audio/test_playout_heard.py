"""What was heard of an utterance: flushed, played to its end, or still in the device."""

import pytest

from appliance.audio.playout import Heard, Playout
from tests.unit.audio.playouts import FADE, RATE, Clock, counting, pull, said, tone


def test_a_flush_says_what_was_heard_and_the_line_is_silent_after_the_fade():
    playout = Playout(RATE)
    said(playout, "a", tone(16_000))
    for _ in range(5):
        pull(playout)
    assert playout.flush() == Heard("a", 100.0)
    assert not playout.active()
    assert playout.queued_ms() == 0
    assert not pull(playout)[FADE:].any()
    assert not pull(playout).any()


def test_a_flush_of_a_silent_line_reports_nothing():
    assert Playout(RATE).flush() is None


def test_a_flush_before_the_first_sample_reports_nothing_heard():
    playout = Playout(RATE)
    said(playout, "a", tone(16_000))
    assert playout.flush() == Heard("a", 0.0)


def test_what_still_comes_of_a_flushed_utterance_is_refused_and_counted():
    playout = Playout(RATE)
    playout.play("a", tone(3_200).tobytes(), RATE)
    pull(playout)
    playout.flush()
    playout.play("a", tone(3_200).tobytes(), RATE)
    assert not playout.active()
    assert playout.counters()["refused_bytes"] == 6_400


def test_a_flush_ends_a_pause_so_that_the_next_answer_sounds():
    playout = Playout(RATE)
    said(playout, "a", tone(16_000))
    pull(playout)
    playout.pause()
    pull(playout)
    playout.flush()
    said(playout, "b", counting(640))
    assert pull(playout).tolist() == counting(320).tolist()


def test_heard_leaves_out_what_the_device_still_holds():
    playout = Playout(RATE)
    playout.lag = lambda: 30.0
    said(playout, "a", tone(1_600))
    pull(playout)
    assert playout.heard_ms("a") == 0
    pull(playout)
    assert playout.heard_ms("a") == pytest.approx(10)
    for _ in range(6):
        pull(playout)
    assert playout.heard_ms("a") == pytest.approx(100)


def test_a_flush_counts_what_the_device_still_holds_since_that_sounds_yet():
    playout = Playout(RATE)
    playout.lag = lambda: 30.0
    said(playout, "a", tone(1_600))
    for _ in range(3):
        pull(playout)
    assert playout.heard_ms("a") == pytest.approx(30)
    assert playout.flush() == Heard("a", 60.0)


def test_heard_of_an_utterance_grows_on_while_the_next_one_plays():
    playout = Playout(RATE)
    playout.lag = lambda: 20.0
    said(playout, "a", tone(320))
    said(playout, "b", tone(640))
    pull(playout)
    assert (playout.heard_ms("a"), playout.heard_ms("b")) == (0, 0)
    pull(playout)
    assert (playout.heard_ms("a"), playout.heard_ms("b")) == (20, 0)
    pull(playout)
    assert playout.heard_ms("b") == 20


def test_marks_tell_when_each_utterance_started_and_finished():
    clock = Clock()
    playout = Playout(RATE, clock=clock)
    said(playout, "a", tone(320))
    said(playout, "b", tone(100))
    pull(playout)
    clock.now = 100.5
    pull(playout)
    marks = [(mark.utterance, mark.kind, mark.at) for mark in playout.take_marks()]
    assert marks == [
        ("a", "started", 100),
        ("a", "finished", 100),
        ("b", "started", 100.5),
        ("b", "finished", 100.5),
    ]
    assert playout.take_marks() == []


def test_an_utterance_without_audio_starts_and_finishes_too():
    playout = Playout(RATE)
    playout.play("a", b"", RATE)
    playout.finish("a")
    pull(playout)
    assert [mark.kind for mark in playout.take_marks()] == ["started", "finished"]
    assert not playout.active()
