"""When the room is measured at night, and how: in virtual time, in a room of which all is known."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from appliance.audio.capture import Captured
from appliance.audio.level import level_dbfs
from appliance.audio.sweep import Acoustics
from appliance.calibration import Calibration, CalibrationFile
from appliance.config.schema import Room as RoomSettings
from appliance.events import RoomMeasured
from appliance.frames import Frame
from appliance.health import Part
from appliance.interfaces import DeviceReport, LineKind
from appliance.night import Moment, Night, due, probe_dbfs, quiet, renewed
from appliance.room import Room
from tests.rig.acoustics import Echo, Setting
from tests.rig.booth import FRAME_SECONDS, RATE, Booth
from tests.rig.virtual_time import virtual_time

NIGHT = Moment(hour=3, idle=700.0, muted=False, measured=None, tried=None, clock=1_790_000_000.0)
DEVICES = ("mic", "speaker")


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, True),
        ({"hour": 1}, False),
        ({"hour": 5}, False),
        ({"idle": 599.0}, False),
        ({"muted": True}, False),
        ({"measured": 3600.0}, False),
        ({"measured": 72_000.0}, True),
        ({"measured": -5.0}, True),
        ({"tried": 60.0}, False),
        ({"tried": 1800.0}, True),
        ({"clock": 1_000_000.0}, False),
    ],
)
def test_it_is_due_at_night_when_nobody_is_there(changed: dict[str, float], expected: bool):
    assert due(replace(NIGHT, **changed)) is expected  # type: ignore[arg-type]


def test_a_silent_room_is_quiet_and_a_voice_or_a_noise_is_not():
    silent = [-60.0] * 100
    assert quiet(silent, speech=False)
    assert not quiet(silent, speech=True)
    assert not quiet([*silent, -30.0], speech=False)
    assert not quiet([-35.0] * 100, speech=False)
    assert not quiet([], speech=False)


def test_the_probe_is_as_faint_as_the_room_allows():
    assert probe_dbfs(-70, -10) == -60
    assert probe_dbfs(-60, -15) == -45
    assert probe_dbfs(-45, -20) == -34
    assert probe_dbfs(-60, None) == probe_dbfs(-60, -15)


def test_the_trial_with_speech_holds_while_the_echo_stays_as_it_was():
    found = Acoustics(-60.0, 8, 50.0, 0.0, -12.0)
    first = renewed(None, found, DEVICES, 1.0, canceller=True)
    assert first is not None
    assert first.onsets is None
    known = replace(first, erle_db=25.0, onsets=1, coupling_db=-13.0)
    again = renewed(known, found, DEVICES, 2.0, canceller=True)
    assert again is not None
    assert (again.onsets, again.duplex, again.measured_at) == (1, "ducked", 2.0)
    moved = renewed(known, replace(found, coupling_db=-30.0), DEVICES, 3.0, canceller=True)
    assert moved is not None
    assert (moved.onsets, moved.duplex) == (None, "full")
    assert renewed(known, Acoustics(-60.0), DEVICES, 4.0, canceller=True) is None


class Card:
    """Two devices that are there from the start."""

    capture_rate = playout_rate = RATE
    output_delay_ms = silent_for = 0.0

    def start(self, capture: object, playout: object, report: Callable[[DeviceReport], None]) -> None:
        report(DeviceReport("input", "present", DEVICES[0]))
        report(DeviceReport("output", "present", DEVICES[1]))

    def stop(self) -> None:
        return

    def counters(self) -> dict[str, int]:
        return {}


class EchoingRoom(Booth):
    """The speaker is heard by the microphone, as `setting` says."""

    def __init__(self, setting: Setting, directory: Path) -> None:
        super().__init__(kind=LineKind.ROOM, open_session=False)
        self.kept = CalibrationFile(directory)
        self.talking = False
        self.loudest = 0.0
        self._echo = Echo(setting)

    async def night(self, hour: int = 3) -> Night:
        """Somebody looks once a minute, from ten minutes after the last word on."""
        room = Room(Card(), self.line, RoomSettings(), self.bus, Part("room"), self.kept)
        room.start()
        await asyncio.sleep(0.1)
        midnight = time.mktime((2026, 9, 1, 0, 0, 0, 0, 0, -1))
        clock = lambda: midnight + hour * 3600 + self.loop.time() - 1000  # noqa: E731
        night = Night(room, self.line, self.kept, self.bus, lambda: not self.lines.sessions(), clock=clock)
        await night.look()
        await asyncio.sleep(601)
        return night

    async def _tick(self) -> None:
        while True:
            now = self.loop.time()
            if self.line.loan is None and not self.line.playout.active():
                await asyncio.sleep(FRAME_SECONDS)
                continue
            block = self.line.pull(320)
            far = np.frombuffer(block, "<i2") / 32768
            self.loudest = max(self.loudest, float(np.abs(far).max()))
            self._echo.play(far)
            near = (np.clip(self._echo.take(320), -1, 1) * 32767).astype("<i2")
            if self.line.capture.tap is not None:
                self.line.capture.tap(near.tobytes(), block)
            level = -20.0 if self.talking else level_dbfs(near)
            self.line.hear(Captured(Frame(near.tobytes(), RATE, now), self.talking, None, 0.0, level))
            await asyncio.sleep(FRAME_SECONDS)

    def measured(self) -> Calibration | None:
        return self.kept.of(*DEVICES)


@pytest.mark.slow
@virtual_time
async def test_at_night_a_silent_room_is_measured_and_used_accordingly(tmp_path: Path):
    async with EchoingRoom(Setting(coupling_db=3, delay_ms=80, noise_dbfs=-66), tmp_path) as room:
        night = await room.night()
        await night.look()
        found = room.measured()
        assert found is not None
        assert found.delay_ms == pytest.approx(80, abs=2)
        assert found.coupling_db == pytest.approx(3, abs=3)
        assert room.line.duplex == found.duplex
        assert found.duplex != "full"
        assert [event.duplex for event in room.of(RoomMeasured)] == [found.duplex]
        status = room.line.status()
        assert (status["duplex"], status["acoustics"]["coupling_db"]) == (found.duplex, found.coupling_db)
        assert room.loudest < 0.02
        assert room.line.loan is None


@pytest.mark.slow
@virtual_time
async def test_by_day_and_twice_a_night_nothing_is_played(tmp_path: Path):
    async with EchoingRoom(Setting(), tmp_path) as room:
        await (await room.night(hour=12)).look()
        assert room.loudest == 0
        assert room.measured() is None


@pytest.mark.slow
@virtual_time
async def test_whoever_speaks_ends_it_and_is_heard(tmp_path: Path):
    async with EchoingRoom(Setting(), tmp_path) as room:
        night = await room.night()
        looking = room.loop.create_task(night.look())
        await asyncio.sleep(8)
        assert room.loudest > 0
        room.talking = True
        await asyncio.sleep(0.2)
        assert room.line.loan is None
        await looking
        assert room.measured() is None
        room.talking = False
        await night.look()
        assert room.measured() is None, "it is not tried again at once"


@pytest.mark.slow
@virtual_time
async def test_what_is_to_be_told_does_not_wait_for_the_measurement(tmp_path: Path):
    async with EchoingRoom(Setting(), tmp_path) as room:
        night = await room.night()
        looking = room.loop.create_task(night.look())
        await asyncio.sleep(8)
        room.lines.notify_room("The tea is ready.")
        await asyncio.sleep(0.2)
        assert room.line.loan is None
        await looking
        assert room.measured() is None


@pytest.mark.slow
@virtual_time
async def test_who_talks_on_the_telephone_in_the_room_is_not_interrupted(tmp_path: Path):
    async with EchoingRoom(Setting(), tmp_path) as room:
        night = await room.night()
        loan = room.line.lend()
        await night.look()
        assert (room.line.loan, room.loudest) == (loan, 0)
        room.line.reclaim()
        await night.look()
        assert room.measured() is None, "ten minutes of quiet come first"
