"""What is told of a room without its devices: in the log, and with the part's remedy."""

import asyncio
from collections.abc import Callable

from appliance.config.schema import Room as RoomSettings
from appliance.health import Part
from appliance.interfaces import DeviceReport, LineKind
from appliance.room import Room
from tests.rig.booth import RATE, Booth
from tests.rig.virtual_time import virtual_time


class SpeakerAlone:
    """A sound card driver that finds no microphone."""

    capture_rate = playout_rate = RATE
    output_delay_ms = silent_for = 0.0

    def start(self, capture: object, playout: object, report: Callable[[DeviceReport], None]) -> None:
        report(DeviceReport("output", "present", "speaker"))

    def stop(self) -> None:
        return

    def counters(self) -> dict[str, int]:
        return {}


@virtual_time
async def test_a_device_that_is_named_and_not_there_is_told_by_that_name(caplog):
    caplog.set_level("INFO")
    part = Part("room")
    async with Booth(kind=LineKind.ROOM, open_session=False) as booth:
        room = Room(SpeakerAlone(), booth.line, RoomSettings(input="USB Speakerfone"), booth.bus, part)
        room.start()
        await asyncio.sleep(5)
        assert "room.input is 'USB Speakerfone'" in part.hint
        assert any("no microphone found; room.input is" in record.getMessage() for record in caplog.records)
        assert "room.output" not in part.hint
