import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.audio.ring import Block, Ring


@given(
    actions=st.lists(st.one_of(st.binary(max_size=40), st.integers(0, 40)), max_size=60),
    capacity=st.integers(1, 64),
)
def test_what_is_read_and_what_was_overrun_is_what_was_written(actions, capacity):
    ring = Ring(capacity)
    written, got = b"", b""
    for action in actions:
        if isinstance(action, bytes):
            written += action
            ring.write(action)
        else:
            got += ring.read(action)
        assert ring.available <= capacity
        assert len(got) + ring.overrun_bytes + ring.available == len(written)
    rest = ring.read(capacity)
    assert written.endswith(rest)
    if not ring.overrun_bytes:
        assert got + rest == written


def test_the_oldest_is_overwritten_and_counted():
    ring = Ring(4)
    ring.write(b"aa")
    ring.write(b"bb")
    ring.write(b"cc")
    assert (ring.overruns, ring.overrun_bytes) == (1, 2)
    assert ring.read(4) == b"bbcc"


def test_a_block_larger_than_the_ring_leaves_its_newest_bytes():
    ring = Ring(4)
    ring.write(b"abcdefg")
    assert ring.read(10) == b"defg"
    assert ring.overrun_bytes == 3


def test_reading_too_much_is_an_underrun():
    ring = Ring(8)
    ring.write(b"ab")
    assert ring.read(4) == b"ab"
    assert ring.underruns == 1


def test_blocks_keep_their_times():
    ring = Ring(8)
    ring.write(b"abcd", 1.5)
    ring.write(b"ef", 2.0)
    assert ring.read(1) == b"a"
    assert ring.next_block() == Block(b"bcd", 1.5)
    assert ring.next_block() == Block(b"ef", 2.0)
    assert ring.next_block() is None


def test_a_waiting_reader_gets_what_another_thread_writes():
    ring = Ring(64)
    writer = threading.Timer(0.02, ring.write, (b"abc",))
    writer.start()
    assert ring.wait(3, timeout=5)
    assert ring.read(3) == b"abc"
    writer.join()


def test_a_reader_that_waits_for_much_is_not_woken_for_less():
    ring = Ring(64)
    blocks = [threading.Timer(0.02 * number, ring.write, (b"abc", float(number))) for number in (1, 2, 3)]
    for writer in blocks:
        writer.start()
    assert ring.wait(9, timeout=5)
    assert ring.next_blocks(9) == Block(b"abcabcabc", 3.0)
    for writer in blocks:
        writer.join()


def test_blocks_are_joined_whole_and_no_more_than_asked_for():
    ring = Ring(64)
    for number in (1, 2, 3):
        ring.write(b"abc", float(number))
    assert ring.next_blocks(4) == Block(b"abcabc", 2.0)
    assert ring.next_blocks(1) == Block(b"abc", 3.0)
    assert ring.next_blocks(1) is None
    ring.write(b"abc", 4.0)
    assert ring.next_blocks(9) == Block(b"abc", 4.0)
    assert ring.available == 0


def test_waiting_ends_at_the_deadline():
    assert not Ring(8).wait(1, timeout=0.01)


def test_a_reader_can_be_woken_without_audio():
    ring = Ring(8)
    ring.wake()
    assert not ring.wait(1, timeout=30)


def test_nothing_is_lost_between_two_threads():
    ring = Ring(1 << 20)
    total = 20_000

    def write() -> None:
        for number in range(total):
            ring.write(number.to_bytes(4, "big"))

    writer = threading.Thread(target=write)
    writer.start()
    got = b""
    while len(got) < 4 * total and ring.wait(1, timeout=5):
        got += ring.read(ring.available)
    writer.join()
    assert got == b"".join(number.to_bytes(4, "big") for number in range(total))
    assert ring.overruns == 0


def test_a_ring_without_room_is_refused():
    with pytest.raises(ValueError, match="capacity"):
        Ring(0)
