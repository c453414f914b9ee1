import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.control.limits import AudioIntake, Limits, LoginLimit, TokenBucket
from appliance.control.outbox import Outbox


def test_a_bucket_gives_its_capacity_at_once_and_then_its_rate():
    bucket = TokenBucket(rate=10, capacity=3)
    assert [bucket.take(0.0) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(0.1), bucket.take(0.1)] == [True, False]
    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]


@pytest.mark.slow
@given(
    st.lists(st.integers(1, 400).map(lambda n: n * 2), max_size=20),
    st.sampled_from([8000, 16000, 24000, 48000]),
)
def test_audio_comes_out_whole_and_in_order(sizes, rate):
    intake = AudioIntake(rate, Limits())
    sent = b""
    got = b""
    for number, size in enumerate(sizes):
        piece = bytes([number]) * size
        assert intake.put(piece)
        sent += piece
        got += b"".join(intake.due(number * 0.001))
    now = 1.0
    while intake.waiting_ms > 0:
        got += b"".join(intake.due(now))
        now += 0.02
    assert got == sent


def test_audio_is_given_on_at_no_more_than_four_times_real_time():
    intake = AudioIntake(16000, Limits())
    assert intake.put(bytes(32_000 * 10))
    given_on = sum(len(piece) for tick in range(51) for piece in intake.due(tick * 0.02))
    assert 3.9 * 32_000 < given_on < 4.3 * 32_000


def test_audio_beyond_the_backlog_is_refused_whole():
    intake = AudioIntake(16000, Limits(audio_backlog_ms=1000))
    assert intake.put(bytes(32_000))
    assert not intake.put(bytes(2))
    assert intake.waiting_ms == 1000


def test_an_address_that_fails_too_often_is_barred_and_forgiven_later():
    limit = LoginLimit(Limits(failed_logins=2, failed_login_every=6))
    for _ in range(3):
        assert not limit.barred("a", 0.0)
        limit.failed("a", 0.0)
    assert limit.barred("a", 1.0)
    assert not limit.barred("b", 1.0)
    assert not limit.barred("a", 7.0)


def test_addresses_remembered_are_bounded():
    limit = LoginLimit(Limits(failed_logins=1))
    for number in range(3 * LoginLimit.ADDRESSES):
        limit.failed(str(number), 0.0)
        limit.failed(str(number), 0.0)
    assert limit.barred(str(3 * LoginLimit.ADDRESSES - 1), 0.0)
    assert not limit.barred("0", 0.0)


async def test_a_lagging_client_loses_lossy_messages_only():
    outbox = Outbox(Limits(lossy_above=2))
    for number in range(4):
        outbox.put(f"keep {number}", 0.0)
        outbox.put(f"lose {number}", 0.0, lossy=True)
    assert [await outbox.take() for _ in range(5)] == ["keep 0", "lose 0", "keep 1", "keep 2", "keep 3"]
    assert outbox.dropped == 3


async def test_an_outbox_is_overfull_by_number_bytes_or_age():
    number, size, age = (
        Outbox(Limits(outbox_messages=3, outbox_bytes=100, stalled_after=5)) for _ in range(3)
    )
    for _ in range(3):
        number.put("x", 0.0)
    size.put("x" * 100, 0.0)
    age.put("x", 0.0)
    assert number.overfull(0.0)
    assert size.overfull(0.0)
    assert not age.overfull(5.0)
    assert age.overfull(5.1)
    await age.take()
    assert age.overfull(5.1), "it is being sent, and that does not end"


async def test_audio_that_waits_is_counted():
    outbox = Outbox(Limits())
    outbox.put(bytes(640), 0.0)
    outbox.put("text", 0.0)
    assert outbox.audio_bytes == 640
    await outbox.take()
    assert outbox.audio_bytes == 0
