"""What nobody expected is told in the log by its kind and place: its message may hold what somebody said."""

import asyncio
import logging

import pytest

from appliance.bus import EventBus
from appliance.errors import kind_and_place
from appliance.events import Event, VolumeChanged
from appliance.process import log_mishaps

SAID = "the dentist is called quackenbush"


def decode(words: str) -> None:
    raise ValueError(words)


def test_the_innermost_place_comes_first_and_the_message_not_at_all():
    with pytest.raises(ValueError, match=SAID) as caught:
        decode(SAID)
    told = kind_and_place(caught.value)
    assert told.startswith("ValueError at test_mishaps.py:")
    assert told.index("decode") < told.index("test_the_innermost")
    assert SAID not in told


def test_what_was_never_raised_has_a_kind_only():
    assert kind_and_place(KeyError(SAID)) == "KeyError"


async def test_a_callback_that_breaks_is_told_without_what_it_was_given(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.ERROR)
    loop = asyncio.get_running_loop()
    log_mishaps(loop)
    try:
        loop.call_soon(decode, SAID)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    finally:
        loop.set_exception_handler(None)
    assert "a callback broke: ValueError at test_mishaps.py:" in caplog.text
    assert SAID not in caplog.text


async def test_a_task_that_nobody_awaited_is_told_by_its_name(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.ERROR)
    loop = asyncio.get_running_loop()
    log_mishaps(loop)

    async def work() -> None:
        decode(SAID)

    try:
        task = loop.create_task(work(), name="close s-1")
        await asyncio.wait({task})
        del task
    finally:
        loop.set_exception_handler(None)
    assert "close s-1 broke: ValueError" in caplog.text
    assert SAID not in caplog.text


def test_a_listener_that_breaks_costs_neither_the_others_nor_who_tells_and_is_told_once(
    caplog: pytest.LogCaptureFixture,
):
    bus, heard = EventBus(), list[Event]()
    bus.listen(lambda _: decode(SAID))
    bus.listen(heard.append)
    for level in (10, 20):
        bus.publish(VolumeChanged(level=level))
    assert len(heard) == 2
    assert [record.message.partition(" at ")[0] for record in caplog.records] == [
        "a listener failed: ValueError"
    ]
    assert SAID not in caplog.text
