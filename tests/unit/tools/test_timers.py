"""Timers and alarms ring by themselves, in spite of clock jumps and restarts."""

import asyncio
import os
import stat
from pathlib import Path

import pytest

from appliance.agents.timers import (
    AGAIN_SECONDS,
    MOST,
    RING_EVERY_SECONDS,
    RINGS,
    Kind,
    Ring,
    TimerFile,
    Timers,
)
from appliance.errors import NotPossible, RequestInvalid
from tests.rig.virtual_time import virtual_time


class Clocks:
    """A wall clock that can jump, and a monotonic one that cannot."""

    def __init__(self) -> None:
        self.wall = 1_800_000_000.0
        self.steady = 1_000.0

    def passes(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


class Kitchen:
    def __init__(self, path: Path | None = None, clocks: Clocks | None = None) -> None:
        self.clocks = clocks or Clocks()
        self.rung: list[Ring] = []
        store = TimerFile(path) if path else None
        self.timers = Timers(
            store, self.rung.append, now=lambda: self.clocks.wall, monotonic=lambda: self.clocks.steady
        )

    def waits(self, seconds: float) -> None:
        self.clocks.passes(seconds)
        self.timers.look()


def test_a_timer_rings_when_its_time_is_over_and_not_before() -> None:
    kitchen = Kitchen()
    kitchen.timers.add(Kind.TIMER, 300, label="Tea")
    kitchen.waits(299)
    assert kitchen.rung == []
    kitchen.waits(1)
    assert [ring.text for ring in kitchen.rung] == ["Your tea timer is done."]


def test_it_rings_a_few_times_and_then_gives_up() -> None:
    kitchen = Kitchen()
    kitchen.timers.add(Kind.TIMER, 10)
    for _ in range(10):
        kitchen.waits(RING_EVERY_SECONDS)
    assert [ring.again for ring in kitchen.rung] == list(range(RINGS))


def test_hushing_stops_the_repetitions() -> None:
    kitchen = Kitchen()
    kitchen.timers.add(Kind.TIMER, 10)
    kitchen.waits(10)
    assert kitchen.timers.hush()
    kitchen.waits(100)
    assert len(kitchen.rung) == 1
    assert not kitchen.timers.hush()


def test_a_jump_of_the_wall_clock_moves_no_timer() -> None:
    kitchen = Kitchen()
    pending = kitchen.timers.add(Kind.TIMER, 60)
    kitchen.clocks.wall += 7_200
    kitchen.waits(30)
    assert kitchen.rung == []
    assert kitchen.timers.seconds_left(pending) == 30


def test_an_alarm_follows_the_wall_clock_when_it_jumps() -> None:
    kitchen = Kitchen()
    kitchen.timers.add(Kind.ALARM, 3_600)
    kitchen.clocks.wall += 3_590
    kitchen.waits(10)
    assert [ring.text for ring in kitchen.rung] == ["This is your alarm."]


def test_several_are_told_apart_by_name_and_listed_by_time_left() -> None:
    kitchen = Kitchen()
    for label, seconds in (("pasta", 600), ("tea", 180)):
        kitchen.timers.add(Kind.TIMER, seconds, label=label)
    assert [one.label for one in kitchen.timers.find()] == ["tea", "pasta"]
    kitchen.timers.cancel(kitchen.timers.find(label="TEA"))
    assert [one.label for one in kitchen.timers.find(Kind.TIMER)] == ["pasta"]


async def test_a_timer_outlives_a_restart(tmp_path: Path) -> None:
    before = Kitchen(tmp_path / "timers.json")
    before.timers.add(Kind.TIMER, 300, label="tea")
    await before.timers.save()
    before.clocks.passes(100)
    after = Kitchen(tmp_path / "timers.json", before.clocks)
    after.clocks.steady = 5.0
    await after.timers.load()
    (kept,) = after.timers.find()
    assert after.timers.seconds_left(kept) == 200
    after.waits(200)
    assert len(after.rung) == 1


async def test_what_could_not_be_kept_is_kept_as_soon_as_it_can_be(tmp_path: Path, caplog) -> None:
    in_the_way = tmp_path / "state"
    in_the_way.write_text("no directory")
    path = in_the_way / "timers.json"
    kitchen = Kitchen(path)
    kitchen.timers.add(Kind.TIMER, 3_000, label="tea")
    await kitchen.timers.save()
    await kitchen.timers.save()
    assert len(caplog.records) == 1
    running = asyncio.create_task(kitchen.timers.run())
    in_the_way.unlink()
    kitchen.clocks.passes(AGAIN_SECONDS + 1)
    async with asyncio.timeout(10):
        while not path.exists():  # noqa: ASYNC110 - a file tells nobody that it is there
            await asyncio.sleep(0.01)
    running.cancel()
    assert [one.label for one in TimerFile(path).load()] == ["tea"]


async def test_what_came_due_while_off_rings_with_an_apology(tmp_path: Path) -> None:
    before = Kitchen(tmp_path / "timers.json")
    before.timers.add(Kind.ALARM, 60)
    await before.timers.save()
    before.clocks.passes(60 + 7_200)
    after = Kitchen(tmp_path / "timers.json", before.clocks)
    await after.timers.load()
    after.timers.look()
    assert after.rung[0].text == "Sorry, I was off. Your alarm was due 2 hours ago."


@pytest.mark.parametrize(
    "text",
    [
        "",
        '[{"kind": "egg"}]',
        '{"number": 1}',
        '[{"number": 1, "kind": "timer", "label": "", "due": "soon", "seconds": 9, "session": "", "line": ""}]',
        '[{"number": 1, "kind": "timer", "label": "", "due": NaN, "seconds": 9, "session": "", "line": ""}]',
        "[" * 100_000,
    ],
)
async def test_a_damaged_file_is_moved_aside(tmp_path: Path, text: str) -> None:
    path = tmp_path / "timers.json"
    path.write_text(text)
    kitchen = Kitchen(path)
    await kitchen.timers.load()
    assert kitchen.timers.find() == ()
    assert path.with_suffix(".broken").exists()


async def test_a_disk_that_takes_nothing_stops_no_timer(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    kitchen = Kitchen(tmp_path / "file" / "timers.json")
    await kitchen.timers.load()
    kitchen.timers.add(Kind.TIMER, 1)
    await kitchen.timers.save()
    kitchen.waits(1)
    assert len(kitchen.rung) == 1


@pytest.mark.parametrize("seconds", [0, -1, 8 * 86_400])
def test_a_senseless_time_is_refused(seconds: float) -> None:
    with pytest.raises(RequestInvalid):
        Kitchen().timers.add(Kind.TIMER, seconds)


def test_there_is_a_bound() -> None:
    kitchen = Kitchen()
    for _ in range(MOST):
        kitchen.timers.add(Kind.TIMER, 10)
    with pytest.raises(NotPossible):
        kitchen.timers.add(Kind.TIMER, 10)


@virtual_time
async def test_a_timer_set_while_it_runs_is_on_the_disk_at_once(tmp_path: Path) -> None:
    timers = Timers(TimerFile(tmp_path / "timers.json"))
    running = asyncio.create_task(timers.run())
    await asyncio.sleep(0.05)
    timers.add(Kind.TIMER, 300, label="tea")
    await asyncio.sleep(1.0)
    running.cancel()
    assert [one.label for one in TimerFile(tmp_path / "timers.json").load()] == ["tea"]


async def test_without_a_store_a_timer_leaves_the_loop_free() -> None:
    kitchen = Kitchen()
    running = asyncio.create_task(kitchen.timers.run())
    kitchen.timers.add(Kind.TIMER, 300)
    looks = 0
    look = kitchen.timers.look

    def counted() -> None:
        nonlocal looks
        looks += 1
        if looks > 5:
            running.cancel()
        look()

    kitchen.timers.look = counted  # type: ignore[method-assign]
    await asyncio.sleep(0.1)
    assert looks <= 3
    running.cancel()


async def test_the_timers_file_is_the_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "state" / "timers.json"
    kitchen = Kitchen(path)
    kitchen.timers.add(Kind.TIMER, 300, label="tea")
    before = os.umask(0o022)
    try:
        await kitchen.timers.save()
    finally:
        os.umask(before)
    assert [stat.S_IMODE(at.stat().st_mode) for at in (path, path.parent)] == [0o600, 0o700]
    path.chmod(0o644)
    TimerFile(path).load()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
