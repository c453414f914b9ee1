import asyncio
import itertools
import random
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.audio.playout import Heard, Playout
from appliance.audio.ring import Ring

RATE = 16_000
PERIOD = 320
FADE = 80


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def tone(samples: int, level: int = 8_000) -> np.ndarray:
    return np.full(samples, level, dtype="<i2")


def counting(samples: int, first: int = 1) -> np.ndarray:
    return np.arange(first, first + samples, dtype="<i2")


def pull(playout: Playout, samples: int = PERIOD) -> np.ndarray:
    return np.frombuffer(playout.pull(samples), dtype="<i2")


def said(playout: Playout, name: str, samples: np.ndarray) -> None:
    playout.play(name, samples.tobytes(), RATE)
    playout.finish(name)


def drained(playout: Playout, limit: int = 2_000) -> np.ndarray:
    blocks = []
    while playout.active():
        blocks.append(pull(playout))
        assert len(blocks) < limit
    return np.concatenate(blocks) if blocks else np.zeros(0, dtype="<i2")


def test_an_utterance_comes_out_sample_for_sample():
    playout = Playout(RATE)
    said(playout, "a", counting(1_000))
    assert drained(playout)[:1_000].tolist() == counting(1_000).tolist()


def test_an_idle_line_plays_silence_of_the_length_asked_for():
    playout = Playout(RATE)
    assert playout.pull(320) == bytes(640)
    assert playout.pull(0) == b""
    assert not playout.active()


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


def test_a_slow_utterance_waits_for_its_cover():
    playout = Playout(RATE, start_ms=60)
    for _ in range(2):
        playout.play("a", tone(320).tobytes(), RATE)
        assert not pull(playout).any()
    playout.play("a", tone(320).tobytes(), RATE)
    assert pull(playout).all()
    assert playout.counters()["underruns"] == 0


def test_a_finished_utterance_waits_for_nothing():
    playout = Playout(RATE, start_ms=60)
    said(playout, "a", tone(32))
    assert pull(playout)[:32].all()


def test_an_utterance_whose_next_piece_is_late_sounds_when_its_cover_has_passed():
    playout = Playout(RATE, start_ms=70)
    playout.play("a", tone(320).tobytes(), RATE)
    sound = np.concatenate([pull(playout) for _ in range(6)])
    assert int(np.flatnonzero(sound)[0]) == 50 * 16
    assert np.count_nonzero(sound) >= 320


def test_a_piece_shorter_than_a_block_waits_for_more_but_not_for_ever():
    playout = Playout(RATE, start_ms=70)
    playout.play("a", tone(80).tobytes(), RATE)
    blocks = [bool(pull(playout).any()) for _ in range(12)]
    assert blocks.index(True) == 8


def test_running_dry_is_counted_once_and_fades():
    playout = Playout(RATE, start_ms=40)
    playout.play("a", tone(640 + 160).tobytes(), RATE)
    blocks = [pull(playout) for _ in range(6)]
    assert playout.counters()["underruns"] == 1
    assert np.abs(np.diff(np.concatenate(blocks).astype(int))).max() <= 8_000 / FADE + 1
    playout.play("a", tone(3_200).tobytes(), RATE)
    again = pull(playout)
    assert again[0] == 0
    assert again[FADE] == 8_000


def dry_for(playout: Playout, name: str, blocks: int) -> None:
    """An utterance with a gap of so many blocks in it."""
    playout.play(name, tone(3_200).tobytes(), RATE)
    for _ in range(10 + blocks):
        pull(playout)
    said(playout, name, tone(3_200))
    drained(playout)


def test_the_cover_rises_by_the_gap_that_it_did_not_fill_and_falls_slowly():
    playout = Playout(RATE, start_ms=40)
    dry_for(playout, "a", blocks=3)
    assert playout.counters()["cover_ms"] == 40 + 60 + 10
    for turn in range(13):
        said(playout, f"well{turn}", tone(320))
        drained(playout)
    assert playout.counters()["cover_ms"] == 110 - 13 * 5
    for turn in range(3):
        said(playout, f"better{turn}", tone(320))
        drained(playout)
    assert playout.counters()["cover_ms"] == 40


def test_the_cover_has_a_bound_and_a_provider_that_takes_a_break_does_not_raise_it():
    playout = Playout(RATE, start_ms=40)
    dry_for(playout, "break", blocks=11)
    assert playout.counters()["cover_ms"] == 40
    for turn in range(4):
        dry_for(playout, f"late{turn}", blocks=5)
    assert playout.counters()["cover_ms"] == 200


def test_an_utterance_that_ends_late_was_not_late():
    playout = Playout(RATE, start_ms=40)
    playout.play("a", tone(3_200).tobytes(), RATE)
    for _ in range(15):
        pull(playout)
    playout.finish("a")
    pull(playout)
    assert playout.counters()["cover_ms"] == 40


def heard_late(
    playout: Playout, name: str, piece_ms: int, chance: random.Random, speed: float = 1.0
) -> float:
    """Three seconds in pieces that are up to 60 ms late but for the first: milliseconds from that one to the sound."""
    jitter = 60.0 if speed == 1.0 else 0.0
    pieces = 3_000 // piece_ms
    late = [0.0, *(chance.uniform(0.0, jitter) for _ in range(pieces))]
    due = list(itertools.accumulate((n * piece_ms / speed + late[n] for n in range(pieces + 1)), max))
    now = chance.uniform(0.0, 20.0)
    began = -1.0
    sent = 0
    while sent < pieces or playout.active():
        while sent < pieces and due[sent] <= now:
            playout.play(name, tone(piece_ms * 24).tobytes(), 24_000)
            sent += 1
        if due[pieces] <= now:
            playout.finish(name)
        sounding = np.flatnonzero(pull(playout))
        if began < 0 and len(sounding):
            began = now + float(sounding[0]) / 16
        now += 20.0
    return began


@pytest.mark.slow
@pytest.mark.parametrize("piece_ms", [20, 40, 100])
def test_pieces_that_come_up_to_60_ms_late_leave_no_gap_once_that_is_known(piece_ms):
    playout, chance = Playout(RATE), random.Random(7)
    for number in range(10):
        heard_late(playout, f"first{number}", piece_ms, chance)
    known = playout.counters()["underruns"]
    delays = [heard_late(playout, f"then{number}", piece_ms, chance) for number in range(40)]
    assert playout.counters()["underruns"] - known <= 1
    assert max(delays) <= 100


def test_a_burst_sounds_at_once_though_other_pieces_were_late():
    playout, chance = Playout(RATE), random.Random(7)
    for number in range(10):
        heard_late(playout, f"late{number}", 20, chance)
    delays = [heard_late(playout, f"burst{number}", 100, chance, speed=4.0) for number in range(10)]
    assert max(delays) <= 20


def test_the_end_of_an_utterance_is_no_underrun():
    playout = Playout(RATE)
    said(playout, "a", tone(500))
    for _ in range(5):
        pull(playout)
    assert playout.counters()["underruns"] == 0


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
