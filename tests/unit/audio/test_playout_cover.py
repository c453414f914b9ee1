"""How long an utterance waits before it sounds, so that late pieces leave no gap."""

import itertools
import random

import numpy as np
import pytest

from appliance.audio.playout import Playout
from tests.unit.audio.playouts import FADE, RATE, drained, pull, said, tone


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
