from appliance.audio.far_end import FarEnd
from appliance.audio.ring import Ring

RATE = 16_000
BLOCK = 320


def block(number: int) -> bytes:
    return number.to_bytes(2, "little") * BLOCK


def test_as_much_is_taken_as_was_captured_in_the_order_played():
    ring = Ring(64_000)
    far_end = FarEnd(ring, RATE, RATE)
    for number in range(3):
        ring.write(block(number))
        assert far_end.take(BLOCK) == block(number)


def test_rates_may_differ_and_fractions_add_up():
    ring = Ring(1_000_000)
    ring.write(bytes(44_100 * 2))
    far_end = FarEnd(ring, 44_100, 16_000)
    assert sum(len(far_end.take(100)) for _ in range(16)) == 2 * 4_410


def test_what_was_not_played_is_silence_and_counted():
    ring = Ring(64_000)
    far_end = FarEnd(ring, RATE, RATE)
    ring.write(block(7)[:200])
    assert far_end.take(BLOCK) == block(7)[:200] + bytes(440)
    assert far_end.counters()["reference_missing_ms"] == 14


def test_a_reference_more_than_a_tenth_of_a_second_late_is_cut():
    ring = Ring(64_000)
    far_end = FarEnd(ring, RATE, RATE)
    for number in range(7):
        ring.write(block(number))
    newest_but_ten_ms = far_end.take(BLOCK)
    assert newest_but_ten_ms == block(5)[:BLOCK] + block(6)[:BLOCK]
    assert far_end.counters()["reference_dropped_ms"] == 110


def test_a_surplus_that_was_never_needed_is_cut_after_a_while():
    ring = Ring(64_000)
    far_end = FarEnd(ring, RATE, RATE)
    ring.write(bytes(2 * 50 * 16))
    for _ in range(101):
        ring.write(block(1))
        far_end.take(BLOCK)
    assert ring.available <= 2 * 10 * 16
    assert far_end.counters()["reference_dropped_ms"] == 40


def test_the_small_surplus_that_covers_jitter_stays():
    ring = Ring(64_000)
    far_end = FarEnd(ring, RATE, RATE)
    ring.write(bytes(2 * 20 * 16))
    for _ in range(500):
        ring.write(block(1))
        far_end.take(BLOCK)
    assert far_end.counters() == {"reference_dropped_ms": 0, "reference_missing_ms": 0}
