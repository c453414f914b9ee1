"""The room's conversation goes on after a restart, and is forgotten when it ended by itself."""

from collections.abc import Mapping
from typing import Any

import pytest

from appliance.events import SessionStateChanged
from appliance.interfaces import CalledTool, HistoryItem, LineKind
from appliance.session.checkpoint import Checkpoint, Checkpoints, decode, encode
from tests.fakes.provider import FakeProvider
from tests.rig.booth import Booth
from tests.rig.virtual_time import virtual_time

NOW = 1_790_000_000.0
SAID = HistoryItem("user", "Where do swallows go in winter?")
ANSWERED = HistoryItem("assistant", "To Africa.")


class Shelf:
    """Keeps what the store would."""

    def __init__(self) -> None:
        self.rows: dict[str, Mapping[str, Any]] = {}
        self.writes = 0

    def keep_checkpoint(self, row: Mapping[str, Any]) -> None:
        self.rows[row["line"]] = row
        self.writes += 1

    def drop_checkpoint(self, line: str) -> None:
        self.rows.pop(line, None)

    def after_a_restart(self, seconds: float = 60.0) -> Checkpoints:
        """What the next run of the appliance finds."""
        checkpoints = Checkpoints(self, clock=lambda: NOW + seconds)
        checkpoints.load(self.rows.values())
        return checkpoints


def left(**changes: Any) -> Checkpoint:
    fields: dict[str, Any] = {
        "line": "room", "session": "s-1", "agent": "assistant", "language": "en", "provider": "fake",
        "handle": "h-7", "handle_at": NOW, "history": (SAID, ANSWERED), "at": NOW,
    }  # fmt: skip
    return Checkpoint(**fields | changes)


def room(checkpoints: Checkpoints, **more: Any) -> Booth:
    return Booth(kind=LineKind.ROOM, open_session=False, checkpoints=checkpoints, **more)


def shelf_with(checkpoint: Checkpoint) -> Shelf:
    shelf = Shelf()
    shelf.keep_checkpoint(encode(checkpoint))
    return shelf


@virtual_time
async def test_after_a_crash_the_room_goes_on_where_it_was():
    shelf = Shelf()
    async with room(Checkpoints(shelf, clock=lambda: NOW)) as booth:
        booth.provider.will_say("To Africa.", 1.0)
        await booth.speak(1.0)
        await booth.idle()
        booth.provider.give_handle("h-7")
        await booth.wait(2.0)
        crashed = Shelf()
        crashed.rows = dict(shelf.rows)
        said = booth.session.history
    assert said == (HistoryItem("user", "turn 1"), HistoryItem("assistant", "To Africa."))
    async with room(crashed.after_a_restart()) as booth:
        await booth.speak(1.0)
        await booth.idle()
        setup = booth.provider.connections[0].setup
        assert setup.history == said
        assert setup.handle == "h-7"
        assert booth.of(SessionStateChanged)[0].reason == "resumed"


@virtual_time
async def test_what_was_said_before_is_kept_over_a_second_restart():
    shelf = shelf_with(left(handle=""))
    async with room(shelf.after_a_restart()) as booth:
        await booth.speak(1.0)
        await booth.idle()
        await booth.wait(1.5)
        again = shelf.after_a_restart(120).take("room", "assistant", "en")
        assert again is not None
        assert again.history[:2] == (SAID, ANSWERED)
        assert [item.text for item in again.history[2:] if isinstance(item, HistoryItem)] == [
            "turn 1",
            "Yes.",
        ]


@virtual_time
async def test_it_goes_on_only_once():
    shelf = shelf_with(left())
    async with room(shelf.after_a_restart()) as booth:
        await booth.speak(1.0)
        await booth.idle()
        await booth.session.close("close")
        await booth.wait(0.1)
        assert shelf.rows == {}
        await booth.speak(1.0)
        await booth.idle()
        assert booth.provider.connections[1].setup.history == ()


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [({"agent": "porter"}, 60.0), ({"language": "de"}, 60.0), ({}, 7300.0), ({}, -7300.0)],
)
def test_another_agents_or_an_old_conversation_is_not_gone_on_with(
    changes: Mapping[str, Any], seconds: float
):
    shelf = shelf_with(left(**changes))
    assert shelf.after_a_restart(seconds).take("room", "assistant", "en") is None
    assert shelf.rows == {}


@pytest.mark.parametrize("changes", [{"provider": "other"}, {"handle_at": NOW - 7300}])
def test_a_handle_of_another_provider_or_an_old_one_is_not_used_but_the_history_is(
    changes: Mapping[str, Any],
):
    @virtual_time
    async def resume() -> None:
        shelf = shelf_with(left(**changes))
        async with room(shelf.after_a_restart(), providers=[provider]) as booth:
            await booth.speak(1.0)
            await booth.idle()

    provider = FakeProvider()
    resume()
    setup = provider.connections[0].setup
    assert setup.handle == ""
    assert setup.history == (SAID, ANSWERED)


@pytest.mark.parametrize(("reason", "kept"), [("shutdown", True), ("close", False), ("limit", False)])
def test_only_a_shutdown_leaves_a_checkpoint(reason: str, kept: bool):
    shelf = Shelf()

    @virtual_time
    async def end() -> None:
        async with room(Checkpoints(shelf, clock=lambda: NOW)) as booth:
            await booth.speak(1.0)
            await booth.idle()
            await booth.wait(1.5)
            assert shelf.rows
            await booth.session.close(reason)

    end()
    assert bool(shelf.rows) is kept


@virtual_time
async def test_a_call_is_not_kept():
    shelf = Shelf()
    async with Booth(checkpoints=Checkpoints(shelf)) as booth:
        await booth.speak(1.0)
        await booth.idle()
        await booth.wait(1.5)
        assert shelf.writes == 0


@virtual_time
async def test_it_is_written_when_something_changed_and_not_all_the_time():
    shelf = Shelf()
    async with room(Checkpoints(shelf, clock=lambda: NOW)) as booth:
        await booth.speak(1.0)
        await booth.idle()
        await booth.wait(60)
        assert 1 <= shelf.writes <= 3


def test_a_checkpoint_is_read_as_it_was_written_without_the_calls_that_nobody_answers():
    done = CalledTool("c-1", "time_now", '{"zone": "Köln"}', '{"time": "noon"}')
    hanging = CalledTool("c-2", "time_now", "{}")
    written = left(history=(SAID, done, hanging, ANSWERED))
    assert decode(encode(written)).history == (SAID, done, ANSWERED)


@pytest.mark.parametrize("history", ["", "{", "[1]", '[{"kind": "x"}]', '[{"kind": "said", "role": "user"}]'])
def test_a_row_that_cannot_be_read_is_dropped(history: str):
    shelf = Shelf()
    shelf.rows["room"] = encode(left()) | {"history": history}
    broken = dict(shelf.rows)
    checkpoints = Checkpoints(shelf)
    checkpoints.load(broken.values())
    assert checkpoints.take("room", "assistant", "en") is None
    assert shelf.rows == {}
