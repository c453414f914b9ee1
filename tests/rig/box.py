"""A room with a front panel on it, in virtual time: a booth, a panel without pins, and calls of a telephone."""

import asyncio
from typing import Any, Self

from appliance.call.controller import Calls
from appliance.call.room import NoRoom
from appliance.config.schema import Gpio, Room, Sip
from appliance.events import (
    ButtonMoved,
    Warned,
)
from appliance.health import Health
from appliance.interfaces import Control, LineKind
from appliance.panel.front_panel import FrontPanel
from appliance.panel.room_keys import RoomKeys
from appliance.store.store import CallRecord
from tests.fakes.panel import FakePanel
from tests.fakes.telephone import FakeTelephone
from tests.rig.booth import Booth


class Journal:
    """Where ended calls are written down."""

    def add_call(self, record: CallRecord) -> None:
        return


class ReadyRoom(NoRoom):
    """Where somebody can talk on a call."""

    def require_ready(self) -> None:
        return


class Box(Booth):
    """A room with a panel on it."""

    def __init__(
        self, panel: FakePanel | None = None, *, mode: Any = "push-to-talk", booth: Any = None, **gpio: Any
    ) -> None:
        super().__init__(
            kind=LineKind.ROOM, room=Room(mode=mode), open_session=False, greeting="Welcome.", **(booth or {})
        )
        self.fake = panel or FakePanel()
        self.settings = Gpio(driver="fake", **gpio)
        self.telephone = FakeTelephone()
        self.resets = 0

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self.health = Health()
        sip = Sip(enabled=True, auto_answer=False)
        self.calls = Calls(self.telephone, sip, self.bus, Journal(), lambda _: None, lambda _: None)
        self.calls.room = ReadyRoom()
        await self.calls.start()
        keys = RoomKeys(self.line, self.bus, lambda: self.lines.open_session(self.line), self.calls)
        self.panel = FrontPanel(
            self.settings, keys, self.bus, self.health.part("gpio"), lambda: True, self.fake
        )
        self.panel.on_reset = self._reset
        self.panel.start()
        self.shut_at_first = self.line.deaf
        await asyncio.sleep(0.1)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        await self.panel.stop()
        assert not self.fake.running
        await self.calls.stop()
        await super().__aexit__(kind, *rest)

    async def _reset(self) -> None:
        self.resets += 1

    def actions(self, control: Control = Control.BUTTON) -> list[str]:
        return [event.action for event in self.of(ButtonMoved) if event.button == control.value]

    def warnings(self) -> list[str]:
        return [event.code for event in self.of(Warned)]
