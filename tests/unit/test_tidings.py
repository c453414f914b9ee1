"""What became of the settings on the card is told once aloud, and as events at each start."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from appliance import tidings
from appliance.aloud import Aloud
from appliance.bus import EventBus
from appliance.errors import NotPossible
from appliance.events import Event, Notified, Provisioned, SetupChanged, Transcript, Warned
from tests.rig.virtual_time import virtual_time

FAULT = {"file": "handset.toml", "line": 7, "key": "sip.transport", "message": "should be udp", "hint": "udp"}


@pytest.fixture
def told(tmp_path):
    def leave(at: float = 1.0, faults: tuple[dict[str, Any], ...] = (FAULT,)) -> tidings.Tidings:
        path = tmp_path / "left.json"
        path.write_text(
            json.dumps({"at": at, "ok": not faults, "sentence": "One thing is wrong.", "faults": faults})
        )
        found = tidings.read(path)
        assert found
        return found

    return leave


class Room:
    def __init__(self) -> None:
        self.bus = EventBus()
        self.events: list[Event] = []
        self.bus.listen(self.events.append)
        self.said: list[str] = []
        self.sounds = True
        self.empty = False

    def say(self, text: str, label: str) -> None:
        if self.empty:
            raise NotPossible("There is nobody left to tell.")
        self.said.append(text)
        self.bus.publish(Notified(session="s", line="room", text=text, label=label))
        if self.sounds:
            self.bus.publish(transcript(text, text))

    def tell(self, what: tidings.Tidings, marker: Path) -> bool:
        """As a daemon that starts here."""
        return tidings.tell(what, self.bus, Aloud(self.bus, self.say), marker)


def transcript(text: str, heard: str) -> Transcript:
    return Transcript(session="s", line="room", turn=1, role="assistant", text=text, final=True, heard=heard)


def test_it_is_said_once_and_an_event_at_each_start(tmp_path, told):
    room = Room()
    assert room.tell(told(), tmp_path / "told")
    assert not room.tell(told(), tmp_path / "told")
    assert room.said == ["One thing is wrong."]
    assert [event.faults for event in room.events if isinstance(event, Provisioned)] == [1, 1]


def test_another_start_with_new_files_is_said_again(tmp_path, told):
    room = Room()
    room.tell(told(1.0), tmp_path / "told")
    assert room.tell(told(2.0, ()), tmp_path / "told")


def test_each_fault_is_a_warning_with_place_and_remedy(tmp_path, told):
    room = Room()
    room.tell(told(), tmp_path / "told")
    (warned,) = (event for event in room.events if isinstance(event, Warned))
    assert warned.message == "handset.toml, line 7: sip.transport: should be udp"
    assert (warned.code, warned.hint) == ("provisioning_fault", "udp")


def test_without_anybody_to_tell_it_waits_for_the_next_start(tmp_path, told):
    room = Room()
    room.empty = True
    assert not room.tell(told(), tmp_path / "told")
    room.empty = False
    assert room.tell(told(), tmp_path / "told")


def test_what_did_not_sound_is_said_at_the_next_start_too(tmp_path, told):
    room = Room()
    room.sounds = False
    assert room.tell(told(), tmp_path / "told")
    assert room.tell(told(), tmp_path / "told")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"at": "x", "ok": 1, "sentence": "", "faults": []}', "\x00"]
)
def test_what_cannot_be_read_is_nothing(tmp_path, text):
    (tmp_path / "left.json").write_text(text)
    assert tidings.read(tmp_path / "left.json") is None
    assert tidings.read(tmp_path / "never.json") is None


@virtual_time
async def test_what_is_left_later_is_told_too_and_what_stays_is_told_once(tmp_path):
    room, first, second = Room(), tmp_path / "first", tmp_path / "second"
    watching = asyncio.ensure_future(tidings.watch(tmp_path, room.bus, room.say, (first, second)))
    await asyncio.sleep(tidings.LOOK_SECONDS * 3)
    second.write_text(json.dumps({"at": 1, "ok": True, "sentence": "Join me.", "faults": []}))
    await asyncio.sleep(tidings.LOOK_SECONDS * 3)
    watching.cancel()
    assert room.said == ["Join me."]


@virtual_time
async def test_while_the_set_up_page_is_open_it_waits_and_then_no_more(tmp_path):
    room, left = Room(), tmp_path / "setup"
    watching = asyncio.ensure_future(tidings.watch(tmp_path, room.bus, room.say, (left,)))

    async def states(at: int, waiting: bool | None) -> list[str]:
        if waiting is None:
            left.unlink()
        else:
            body = {"at": at, "ok": True, "sentence": "Join me.", "faults": [], "waiting": waiting}
            left.write_text(json.dumps(body))
        await asyncio.sleep(tidings.LOOK_SECONDS * 3)
        return [event.state for event in room.events if isinstance(event, SetupChanged)]

    assert await states(1, True) == ["open"]
    assert await states(2, True) == ["open"]
    assert await states(3, False) == ["open", "closed"]
    assert await states(4, True) == ["open", "closed", "open"]
    assert await states(4, None) == ["open", "closed", "open", "closed"]
    watching.cancel()
