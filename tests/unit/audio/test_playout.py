"""What is said comes out, whole and in order, paused, faded and turned down."""

import asyncio
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.audio.playout import Playout
from appliance.audio.ring import Ring
from tests.unit.audio.playouts import FADE, PERIOD, RATE, counting, drained, pull, said, tone


def test_an_utterance_comes_out_sample_for_sample():
    playout = Playout(RATE)
    said(playout, "a", counting(1_000))
    assert drained(playout)[:1_000].tolist() == counting(1_000).tolist()


def test_an_idle_line_plays_silence_of_the_length_asked_for():
    playout = Playout(RATE)
    assert playout.pull(320) == bytes(640)
    assert playout.pull(0) == b""
    assert not playout.active()


@pytest.mark.slow
@given(
    pieces=st.lists(st.integers(1, 900), min_size=1, max_size=12),
    pulls=st.lists(st.integers(1, 700), min_size=1, max_size=12),
    pauses=st.sets(st.integers(0, 40)),
)
@settings(max_examples=60, deadline=None)
def test_pauses_neither_lose_nor_repeat_a_sample(pieces, pulls, pauses):
    playout = Playout(RATE)
    total = sum(pieces)
    source = np.full(total, 10_000, dtype="<i2")
    at = 0
    for size in pieces:
        playout.play("a", source[at : at + size].tobytes(), RATE)
        at += size
    playout.finish("a")
    turn, heard = 0, 0.0
    while playout.active():
        if turn in pauses:
            playout.pause()
            pull(playout, pulls[turn % len(pulls)])
            pull(playout, FADE)
            assert not pull(playout, 50).any(), "still sounding after the fade"
            playout.resume()
        pull(playout, pulls[turn % len(pulls)])
        assert playout.heard_ms("a") >= heard
        heard = playout.heard_ms("a")
        turn += 1
    assert playout.heard_ms("a") == pytest.approx(total * 1000 / RATE)


def test_a_pause_fades_out_within_five_milliseconds_and_resumes_at_the_very_next_sample():
    playout = Playout(RATE)
    said(playout, "a", counting(3_200, first=10_000))
    pull(playout)
    playout.pause()
    faded = pull(playout)
    assert faded[0] == 10_320
    assert (np.diff(faded[: FADE + 1].astype(int)) < 0).all()
    assert not faded[FADE:].any()
    assert playout.active()
    assert playout.paused()
    playout.resume()
    resumed = pull(playout)
    assert resumed[0] == 0
    assert (np.diff(resumed[: FADE + 1].astype(int)) > 0).all()
    assert resumed[FADE] == 10_000 + 320 + FADE + FADE


def test_nothing_jumps_when_playout_is_paused_flushed_or_turned_down():
    playout = Playout(RATE)
    said(playout, "a", tone(32_000))
    blocks = [pull(playout)]
    for act in (playout.pause, playout.resume, lambda: setattr(playout, "volume", 20), playout.flush):
        act()
        blocks += [pull(playout), pull(playout)]
    steps = np.abs(np.diff(np.concatenate(blocks)[1:].astype(int)))
    assert steps.max() <= 8_000 / FADE + 2


def test_beyond_the_bound_the_newest_audio_is_dropped_and_counted():
    playout = Playout(RATE, bound_ms=100)
    said(playout, "a", counting(3_200))
    assert playout.queued_ms() == 100
    assert playout.counters()["bound_dropped_ms"] == 100
    assert drained(playout)[:1_600].tolist() == counting(1_600).tolist()


def test_each_utterance_is_resampled_as_one_stream():
    playout = Playout(8_000)
    pieces = [97, 480, 3, 1_000, 820]
    for size in pieces:
        playout.play("a", tone(size).tobytes(), 24_000)
    playout.finish("a")
    assert playout.queued_ms() == 100
    played = drained(playout)[:800]
    assert np.abs(played[40:-40].astype(int) - 8_000).max() < 20


def test_half_a_sample_waits_for_its_other_half():
    playout = Playout(RATE)
    pcm = counting(400).tobytes()
    playout.play("a", pcm[:333], RATE)
    playout.play("a", pcm[333:], RATE)
    playout.finish("a")
    assert drained(playout)[:400].tolist() == counting(400).tolist()


def test_utterances_do_not_mix_when_their_audio_comes_interleaved():
    playout = Playout(RATE)
    playout.play("a", tone(960, 100).tobytes(), RATE)
    playout.play("b", tone(960, 200).tobytes(), RATE)
    playout.play("a", tone(960, 100).tobytes(), RATE)
    playout.finish("a")
    playout.finish("b")
    played = drained(playout)
    assert played[:1_920].tolist() == [100] * 1_920
    assert played[1_920:2_880].tolist() == [200] * 960


def test_an_utterance_that_nobody_finishes_does_not_block_the_next_for_ever():
    playout = Playout(RATE)
    playout.play("a", tone(640).tobytes(), RATE)
    said(playout, "b", tone(640, 200))
    played = np.concatenate([pull(playout) for _ in range(60)])
    assert 200 in played
    assert playout.counters()["overtaken"] == 1
    playout.play("a", tone(960, 300).tobytes(), RATE)
    playout.finish("a")
    assert 300 in drained(playout)


def test_volume_is_in_force_from_the_next_pull_and_hundred_is_unity():
    playout = Playout(RATE)
    said(playout, "a", tone(3_200))
    assert pull(playout)[-1] == 8_000
    playout.volume = 50
    assert pull(playout)[-1] == 2_000
    playout.volume = 0
    assert pull(playout)[-1] == 0
    assert playout.heard_ms("a") == 60


def test_what_is_ducked_is_quieter_whatever_the_volume():
    playout = Playout(RATE)
    said(playout, "a", tone(3_200))
    playout.ducked = 0.5
    assert pull(playout)[-1] == 4_000
    playout.volume = 50
    assert pull(playout)[-1] == 1_000
    playout.ducked = 1.0
    assert pull(playout)[-1] == 2_000


def test_the_echo_reference_gets_what_was_really_played():
    playout = Playout(RATE)
    playout.reference = Ring(64_000)
    playout.volume = 70
    said(playout, "a", tone(1_000))
    played = b"".join(playout.pull(PERIOD) for _ in range(5))
    assert playout.reference.read(len(played)) == played


async def test_room_waits_until_enough_was_taken():
    playout = Playout(RATE)
    said(playout, "a", tone(3_200))
    waiting = asyncio.ensure_future(playout.room(100))
    await asyncio.sleep(0)
    assert not waiting.done()
    for _ in range(6):
        pull(playout)
    await asyncio.wait_for(waiting, 1)


def test_the_level_is_that_of_what_sounds():
    playout = Playout(RATE)
    said(playout, "a", tone(640, 16_384))
    pull(playout)
    assert playout.level_dbfs() == pytest.approx(-6.02, abs=0.05)
    pull(playout)
    pull(playout)
    assert playout.level_dbfs() < -90


def test_a_driver_that_pulls_while_the_loop_pauses_and_flushes_gets_whole_blocks():
    playout = Playout(RATE)
    blocks: list[bytes] = []
    done = threading.Event()

    def drive() -> None:
        while not done.is_set():
            blocks.append(playout.pull(64))

    driver = threading.Thread(target=drive)
    driver.start()
    for turn in range(300):
        said(playout, f"u{turn}", tone(480))
        playout.play(f"open{turn}", tone(480).tobytes(), 24_000)
        playout.pause()
        playout.queued_ms()
        playout.resume()
        if turn % 3 == 0:
            playout.flush()
        playout.finish(f"open{turn}")
    deadline = time.monotonic() + 10
    while playout.active() and time.monotonic() < deadline:
        time.sleep(0.001)
    done.set()
    driver.join()
    assert not playout.active()
    assert {len(block) for block in blocks} == {128}
    assert playout.queued_ms() == 0


def test_what_is_remembered_of_past_utterances_is_bounded():
    playout = Playout(RATE)
    for turn in range(500):
        said(playout, f"u{turn}", tone(32))
        pull(playout)
    assert playout.heard_ms("u499") == 2
    assert playout.heard_ms("u0") == 0
