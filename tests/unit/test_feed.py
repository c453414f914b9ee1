"""What a connection's listener is given, and how it ends."""

import asyncio

import pytest

from appliance.errors import ApplianceError, CredentialsRejected, ProviderUnavailable
from appliance.feed import Feed


async def _all_of(feed: Feed[int]) -> tuple[list[int], ApplianceError | None]:
    given = []
    try:
        async for event in feed:
            given.append(event)  # noqa: PERF401 # what came before a fault counts
    except ApplianceError as fault:
        return given, fault
    return given, None


async def test_what_was_said_before_the_end_is_given_out_then_the_fault_is_raised() -> None:
    feed: Feed[int] = Feed("there")
    listening = asyncio.create_task(_all_of(feed))
    feed.add(1)
    await asyncio.sleep(0)
    feed.add(2)
    gone = ProviderUnavailable("gone")
    assert feed.end(gone)
    assert not feed.end(CredentialsRejected("later"))
    assert await listening == ([1, 2], gone)
    with pytest.raises(ProviderUnavailable, match="there: the connection is gone"):
        feed.check()


async def test_once_it_is_closed_nothing_more_is_given_out_not_even_the_fault() -> None:
    feed: Feed[int] = Feed("there")
    listening = asyncio.create_task(_all_of(feed))
    await asyncio.sleep(0)
    feed.add(1)
    feed.end(ProviderUnavailable("gone"))
    assert feed.close()
    assert not feed.close()
    assert await listening == ([], None)


async def test_what_is_taken_back_is_not_given_out() -> None:
    feed: Feed[int] = Feed("there")
    for number in range(4):
        feed.add(number)
    feed.keep(lambda event: event % 2 == 0)
    feed.end(None)
    assert await _all_of(feed) == ([0, 2], None)


async def _breaks(fault: Exception | None) -> None:
    if fault is not None:
        raise fault


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (None, "None"),
        (CredentialsRejected("wrong key"), "wrong key"),
        (KeyError("secret"), "there: KeyError"),
    ],
)
async def test_a_task_that_died_is_told_without_what_it_knew(fault: Exception | None, told: str) -> None:
    task = asyncio.create_task(_breaks(fault))
    await asyncio.wait({task})
    assert str(Feed[int]("there").fault_of(task)) == told


async def test_a_task_that_was_cancelled_is_no_fault() -> None:
    task = asyncio.create_task(asyncio.sleep(10.0))
    task.cancel()
    await asyncio.wait({task})
    assert Feed[int]("there").fault_of(task) is None


async def test_a_bug_is_a_lost_connection_to_the_listener_and_has_its_place_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def read() -> None:
        raise KeyError("what somebody said")

    feed: Feed[int] = Feed("there")
    reader = asyncio.create_task(read(), name="there reader")
    await asyncio.wait({reader})
    fault = feed.fault_of(reader)
    assert isinstance(fault, ProviderUnavailable)
    assert "there reader failed: KeyError at test_feed.py" in caplog.text
    assert "what somebody said" not in caplog.text + fault.message
