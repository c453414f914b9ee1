"""A telephone with its calls and lines, and a caller whose call was answered; unit tests see what becomes of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from appliance.call.call import Call
from appliance.call.controller import Calls
from appliance.config.schema import Recording, Sip
from appliance.events import Event
from appliance.interfaces import LineKind
from appliance.phone import Phones
from appliance.room_calls import RoomCalls
from appliance.session.line import Line
from appliance.store.store import CallRecord
from tests.fakes.telephone import FakeTelephone
from tests.rig.booth import Booth

FRAME = 320
PRESENT = {"name": "desk", "state": "present"}


class Office:
    """`options` are those of Phones."""

    def __init__(self, booth: Booth, directory: Path, *, sip: Sip | None = None, **options: Any) -> None:
        self.booth = booth
        self.told: list[Event] = []
        booth.bus.listen(self.told.append)
        self.telephone = FakeTelephone()
        recording = options.pop("recording", None) or Recording(announce=False)
        self.phones = Phones(self.telephone, booth.lines, booth.bus, recording, directory, **options)
        on_call = (self.phones.connected, self.phones.ended)
        sip = sip or Sip(enabled=True)
        self.calls = Calls(
            *(self.telephone, sip, booth.bus, self, *on_call),
            on_record=self.phones.recorded.record_on_request,
        )
        self.calls.on_digit = self.phones.digits.digit
        self.calls.on_attended = self.phones.attended
        self.phones.calls = self.calls
        self.caller = ""
        self.room: Line | None = None

    def add_call(self, record: CallRecord) -> None: ...

    def furnish(self, on_call: str = "ignore") -> Line:
        """There is a room with microphone and speaker, and somebody in it."""
        room = self.room = self.booth.lines.open_line(
            LineKind.ROOM, capture_rate=16_000, playout_rate=16_000, line_id="room"
        )
        room.device = {"input": PRESENT, "output": PRESENT}
        tell = self.booth.lines.notify_room
        parts = (room, self.calls, self.phones.line_of, self.phones.serve, tell, self.booth.bus, on_call)
        self.phones.rooms = RoomCalls(*parts)
        self.phones.rooms.on_joined = self.phones.recorded.joined
        self.calls.room = self.phones
        return room

    def call(self) -> Call:
        return self.calls.call(self.caller)

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.told if isinstance(event, kind)]

    async def talk(self, seconds: float) -> None:
        """Sound is taken at both ends: the caller makes a noise, and so does the room."""
        for _ in range(round(seconds * 50)):
            if self.caller in self.telephone.media:
                capture, playout = self.telephone.media[self.caller]
                capture(b"\x10\x10" * FRAME, 0.0)
                playout(FRAME)
            if self.room is not None:
                self.room.pull(FRAME)
            await asyncio.sleep(0.02)


@asynccontextmanager
async def office(directory: Path, kind: type[Office] = Office, **options: Any) -> AsyncIterator[Any]:
    """Somebody has called."""
    async with Booth(open_session=False) as booth:
        found = kind(booth, directory, **options)
        await found.calls.start()
        found.caller = found.telephone.rings_in()
        await asyncio.sleep(0.2)
        try:
            yield found
        finally:
            await found.calls.stop()
            await found.phones.stop()
