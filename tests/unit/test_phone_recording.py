"""A recording that an agent begins, and one that is paused."""

import asyncio
import os
import time
import wave
from pathlib import Path
from typing import Any

import numpy as np

from appliance.bus import EventBus
from appliance.call.controller import Calls
from appliance.config.schema import Recording, Sip
from appliance.events import Event, RecordingChanged, Transcript
from appliance.phone import Phones
from appliance.recordings import Recordings
from appliance.store.store import CallRecord
from tests.fakes.telephone import FakeTelephone
from tests.rig.booth import Booth
from tests.rig.peer import until
from tests.rig.virtual_time import virtual_time

TOLD = "This call is recorded."
FRAME = 320


class Office:
    """One call, answered by the controller, on a phone line."""

    def __init__(self, booth: Booth, directory: Path, **recording: bool) -> None:
        self.course: list[str] = []
        booth.bus.listen(self._note)
        self._telephone = FakeTelephone()
        settings = Recording(directory=str(directory), **recording)
        self.phones = Phones(self._telephone, booth.lines, booth.bus, settings, directory)
        self.phones.calls = Calls(
            self._telephone, Sip(enabled=True), booth.bus, self, self.phones.connected, self.phones.ended
        )
        self.call = ""

    async def answer(self) -> None:
        assert self.phones.calls is not None
        await self.phones.calls.start()
        self.call = self._telephone.rings_in()

    @property
    def line(self) -> str:
        return f"phone-{self.call}"

    def add_call(self, record: CallRecord) -> None:
        self.course.append("kept")

    async def wait(self, seconds: float) -> None:
        """The caller makes a noise."""
        capture, playout = self._telephone.media[self.call]
        for _ in range(round(seconds * 50)):
            capture(b"\x10\x10" * FRAME, 0.0)
            playout(FRAME)
            await asyncio.sleep(0.02)

    async def hang_up(self) -> None:
        self._telephone.ends(self.call)
        await self.phones.stop()

    def _note(self, event: Event) -> None:
        match event:
            case RecordingChanged():
                self.course.append(event.state)
            case Transcript(role="assistant", final=True):
                self.course.append(event.heard or "")


def caller_side(directory: Path) -> Any:
    (path,) = directory.glob("call-*.wav")
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")[::2]


@virtual_time
async def test_a_recording_that_the_control_api_begins_is_announced_first(tmp_path: Path) -> None:
    async with Booth(open_session=False) as booth:
        office = Office(booth, tmp_path)
        await office.answer()
        await office.wait(0.5)
        office.phones.recorded.record_on_request(office.call, True)
        assert office.course == []
        await office.wait(4.0)
        assert office.course == [TOLD, "started"]
        office.phones.recorded.record_on_request(office.call, False)
        assert office.course == [TOLD, "started", "stopped"]
        await office.hang_up()


@virtual_time
async def test_a_recording_that_an_agent_begins_is_announced_first(tmp_path: Path) -> None:
    async with Booth(open_session=False) as booth:
        office = Office(booth, tmp_path)
        await office.answer()
        await office.wait(0.5)
        office.phones.record_for_agent(office.line, True)
        office.phones.record_for_agent(office.line, True)
        assert office.course == []
        await office.wait(4.0)
        assert office.course == [TOLD, "started"]
        office.phones.record_for_agent(office.line, False)
        assert office.course == [TOLD, "started", "stopped"]
        await office.hang_up()


@virtual_time
async def test_nothing_is_kept_while_it_is_paused_also_where_it_begins_so(tmp_path: Path) -> None:
    async with Booth(open_session=False) as booth:
        office = Office(booth, tmp_path, announce=False)
        await office.answer()
        office.phones.recorded.pause(office.call, True)
        office.phones.record_for_agent(office.line, True)
        await office.wait(1.0)
        office.phones.recorded.pause(office.call, False)
        office.phones.recorded.pause(office.call, False)
        await office.wait(1.0)
        office.phones.recorded.pause(office.call, True)
        await office.wait(1.0)
        await office.hang_up()
        assert office.course == ["started", "resumed", "paused", "stopped", "kept"]
        for _ in range(100):
            await asyncio.sleep(0.05)
        heard = await asyncio.to_thread(caller_side, tmp_path)
        assert len(heard) == 3 * 16_000
        assert not heard[: 16_000 - FRAME].any()
        assert heard[16_000 + FRAME : 32_000 - FRAME].all()
        assert not heard[32_000 + FRAME :].any()


async def test_what_is_older_than_keep_days_is_removed_and_nothing_else(tmp_path: Path) -> None:
    old, young, other = (tmp_path / name for name in ("call-1.wav", "call-2.wav", "notes.wav"))
    for path, days in ((old, 3.1), (young, 2.9), (other, 99.0)):
        path.write_bytes(b"RIFF")
        then = time.time() - days * 86_400
        os.utime(path, (then, then))
    recordings = Recordings(Recording(directory=str(tmp_path), keep_days=3), tmp_path, EventBus())
    sweeping = asyncio.create_task(recordings.sweep())
    await until(lambda: not old.exists(), 10, "the old one is removed")
    await asyncio.sleep(0.05)
    sweeping.cancel()
    assert (young.exists(), other.exists()) == (True, True)
