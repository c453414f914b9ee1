"""A call that is recorded: the person is told first, and nothing that was said before is kept."""

import asyncio
from pathlib import Path

import pytest

from appliance.call.call import Call
from appliance.call.machine import CallState
from appliance.config.schema import Recording
from appliance.events import Event, RecordingChanged, Transcript
from appliance.phone import Phones
from tests.fakes.telephone import FakeTelephone
from tests.rig.booth import Booth
from tests.rig.virtual_time import virtual_time

TOLD = "This call is recorded."
GREETING = "Good morning."
FRAME = 320


class Desk:
    """A phone that is answered and recorded; `step` lets 20 ms pass on its line."""

    def __init__(self, booth: Booth, directory: Path, **recording: bool) -> None:
        self.course: list[str] = []
        booth.bus.listen(self._note)
        self._telephone = FakeTelephone()
        settings = Recording(enabled=True, directory=str(directory), **recording)
        self.phones = Phones(self._telephone, booth.lines, booth.bus, settings, directory)
        name = self._telephone.rings_in()
        self.call = Call(name, "in", "sip:ann@127.0.0.1", CallState.CONNECTED, 0.0, "")
        self.phones.connected(self.call)

    def _note(self, event: Event) -> None:
        match event:
            case RecordingChanged():
                self.course.append(event.state)
            case Transcript(role="assistant", final=True):
                self.course.append(event.heard or "")

    async def wait(self, seconds: float) -> None:
        capture, playout = self._telephone.media[self.call.id]
        for _ in range(round(seconds * 50)):
            capture(bytes(2 * FRAME), 0.0)
            playout(FRAME)
            await asyncio.sleep(0.02)

    async def hang_up(self) -> None:
        self.call.state = CallState.ENDED
        self.phones.ended(self.call)
        await self.phones.stop()


@virtual_time
async def test_the_person_is_told_then_recorded_then_greeted(tmp_path: Path):
    async with Booth(open_session=False, greeting=GREETING) as booth:
        desk = Desk(booth, tmp_path)
        await desk.wait(0.5)
        assert desk.course == []
        await desk.wait(4.5)
        assert desk.course == [TOLD, "started", GREETING]
        await desk.hang_up()
        assert desk.course[-1] == "stopped"


@virtual_time
async def test_who_hangs_up_before_that_was_said_is_not_recorded(tmp_path: Path):
    async with Booth(open_session=False) as booth:
        desk = Desk(booth, tmp_path)
        await desk.wait(0.5)
        await desk.hang_up()
        await asyncio.sleep(5.0)
        assert "started" not in desk.course


@virtual_time
async def test_without_an_announcement_it_is_recorded_at_once(tmp_path: Path):
    async with Booth(open_session=False, greeting=GREETING) as booth:
        desk = Desk(booth, tmp_path, announce=False)
        assert desk.course == ["started"]
        await desk.wait(3.0)
        assert desk.course == ["started", GREETING]
        await desk.hang_up()


@pytest.mark.parametrize("on", [True, False])
@virtual_time
async def test_what_is_said_about_recording_meanwhile_holds(tmp_path: Path, on: bool):
    async with Booth(open_session=False) as booth:
        desk = Desk(booth, tmp_path)
        await desk.wait(0.5)
        desk.phones.recorded.record(desk.call.id, on)
        assert desk.course == (["started"] if on else [])
        await desk.wait(4.0)
        assert desk.course == (["started", TOLD] if on else [TOLD])
        await desk.hang_up()
