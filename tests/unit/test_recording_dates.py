"""How long recordings are kept is counted by a clock that may be wrong, and is set later."""

import asyncio
import os
import time
from pathlib import Path

from appliance.bus import EventBus
from appliance.config.schema import Recording
from appliance.events import ClockChanged
from appliance.recordings import BELIEVED, Recordings
from tests.rig.peer import until
from tests.rig.virtual_time import virtual_time

DAY = 86_400.0
OFF = 200 * DAY
"""By so much the clock was behind before it was set."""


class Shelf:
    """A directory of recordings, kept for three days; `days` are how long ago they were made by the clock of now."""

    def __init__(self, directory: Path, *, believed: bool) -> None:
        self.believed = believed
        self.directory = directory
        self.bus = EventBus()
        settings = Recording(directory=str(directory), keep_days=3)
        self.recordings = Recordings(settings, directory, self.bus, lambda: self.believed)

    def put(self, name: str, days: float) -> Path:
        path = self.directory / name
        path.write_bytes(b"RIFF")
        self.date(path, days)
        return path

    def date(self, path: Path, days: float) -> None:
        then = time.time() - days * DAY
        os.utime(path, (then, then))

    async def sweep(self) -> None:
        sweeping = asyncio.create_task(self.recordings.sweep())
        await asyncio.sleep(0.2)
        sweeping.cancel()

    async def set_clock(self, by_seconds: float) -> None:
        """The clock was set a moment ago, and is believed from now on."""
        self.believed = True
        self.bus.publish(ClockChanged(state="stepped", by_seconds=by_seconds))
        mark = self.directory / BELIEVED
        await until(
            lambda: mark.exists() and mark.stat().st_mtime > time.time() - 60, 10, "the time is noted"
        )


def age_days(path: Path) -> float:
    return (time.time() - path.stat().st_mtime) / DAY


@virtual_time
async def test_while_the_clock_is_not_believed_nothing_is_removed(tmp_path: Path):
    shelf = Shelf(tmp_path, believed=False)
    old = shelf.put("call-1.wav", 99.0)
    await shelf.sweep()
    assert old.exists()
    assert not (tmp_path / BELIEVED).exists()
    shelf.believed = True
    await shelf.sweep()
    assert not old.exists()


@virtual_time
async def test_what_was_recorded_before_the_clock_was_set_is_as_old_as_it_is(tmp_path: Path):
    shelf = Shelf(tmp_path, believed=False)
    mark = tmp_path / BELIEVED
    mark.touch()
    shelf.date(mark, OFF / DAY + 1.0)
    before = shelf.put("call-1.wav", OFF / DAY + 2.0)
    lately = shelf.put("call-2.wav", OFF / DAY + 0.5)
    now = shelf.put("call-3.wav", 0.0)
    await shelf.set_clock(OFF)
    assert abs(age_days(lately) - 0.5) < 0.01
    assert abs(age_days(now)) < 0.01, "it has the new time already"
    await shelf.sweep()
    assert (before.exists(), lately.exists(), now.exists()) == (False, True, True)


@virtual_time
async def test_a_clock_that_was_ahead_keeps_nothing_for_longer(tmp_path: Path):
    shelf = Shelf(tmp_path, believed=False)
    ahead = shelf.put("call-1.wav", -OFF / DAY + 0.5)
    await shelf.set_clock(-OFF)
    assert abs(age_days(ahead) - 0.5) < 0.01


@virtual_time
async def test_a_step_of_a_minute_changes_no_date(tmp_path: Path):
    shelf = Shelf(tmp_path, believed=True)
    path = shelf.put("call-1.wav", 1.0)
    before = path.stat().st_mtime
    shelf.bus.publish(ClockChanged(state="stepped", by_seconds=60.0))
    await asyncio.sleep(0.1)
    assert path.stat().st_mtime == before
