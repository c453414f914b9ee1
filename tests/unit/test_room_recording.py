"""Calls that a person takes in the room: recorded as any other, and refused where nobody could talk there."""

from pathlib import Path

import pytest

from appliance.config.schema import Recording, Sip
from appliance.errors import DeviceUnavailable, LineBusy
from appliance.events import CallMoved, RecordingChanged, Warned
from tests.fakes.voice import FakeVoice
from tests.rig.office import Office, office
from tests.rig.virtual_time import virtual_time

TOLD = "This call is recorded."
RINGS = Sip(enabled=True, auto_answer=False)


def states(at: Office) -> list[str]:
    return [event.state for event in at.of(RecordingChanged)]


def kept(directory: Path, **more: bool) -> Recording:
    return Recording(enabled=True, directory=str(directory), **more)


@virtual_time
async def test_who_talks_with_the_room_hears_that_it_is_recorded_and_then_it_is(tmp_path: Path):
    voice = FakeVoice()
    async with office(tmp_path, sip=RINGS, recording=kept(tmp_path), voice=voice) as at:
        at.furnish()
        at.calls.answer(at.caller, "room")
        await at.talk(0.5)
        assert states(at) == []
        await at.talk(2.0)
        assert voice.spoken == [TOLD]
        assert states(at) == ["started"]
        at.calls.answer(at.caller, "agent")
        await at.talk(3.0)
        assert (states(at), voice.spoken) == (["started"], [TOLD]), "told, or begun, twice"
        assert [event.place for event in at.of(CallMoved)] == ["room", "agent"]


@virtual_time
async def test_both_hear_it_and_not_each_other_meanwhile(tmp_path: Path):
    voice = FakeVoice()
    async with office(tmp_path, sip=RINGS, recording=kept(tmp_path), voice=voice) as at:
        room = at.furnish()
        at.calls.answer(at.caller, "room")
        await at.talk(0.4)
        notice = voice.level(TOLD).to_bytes(2, "little", signed=True)
        assert room.pull(320)[-2:] == notice
        assert at.phones.line_of(at.caller).pull(320)[-2:] == notice


@virtual_time
async def test_a_hold_interrupts_the_notice_and_it_is_said_anew(tmp_path: Path):
    voice = FakeVoice()
    async with office(tmp_path, sip=RINGS, recording=kept(tmp_path), voice=voice) as at:
        at.furnish()
        at.calls.answer(at.caller, "room")
        await at.talk(0.5)
        at.telephone.reports(at.caller, "held", 0, "held by the far end")
        await at.talk(30.0)
        assert states(at) == []
        at.telephone.reports(at.caller, "connected")
        await at.talk(0.9)
        assert states(at) == [], "the caller has heard half of it, and then the other half"
        await at.talk(1.0)
        assert states(at) == ["started"]


@virtual_time
async def test_what_cannot_be_said_is_told_and_nothing_is_recorded(tmp_path: Path):
    voice = FakeVoice()
    voice.broken = True
    async with office(tmp_path, sip=RINGS, recording=kept(tmp_path), voice=voice) as at:
        at.furnish()
        at.calls.answer(at.caller, "room")
        await at.talk(3.0)
        (warning,) = at.of(Warned)
        assert (warning.code, states(at)) == ("not_recorded", [])
        assert "recording.announce" in warning.hint


@virtual_time
async def test_without_an_announcement_the_rooms_call_is_recorded_at_once(tmp_path: Path):
    async with office(tmp_path, sip=RINGS, recording=kept(tmp_path, announce=False)) as at:
        at.furnish()
        at.calls.answer(at.caller, "room")
        assert states(at) == ["started"]


@virtual_time
async def test_an_agents_call_that_is_moved_before_it_was_told_is_told_there(tmp_path: Path):
    voice = FakeVoice()
    async with office(tmp_path, recording=kept(tmp_path), voice=voice) as at:
        at.furnish()
        await at.talk(0.2)
        at.calls.answer(at.caller, "room")
        await at.talk(0.3)
        at.calls.answer(at.caller, "agent")
        await at.talk(5.0)
        assert states(at) == ["started"]


@virtual_time
async def test_who_said_no_to_it_is_not_recorded_after_a_move(tmp_path: Path):
    async with office(tmp_path, recording=kept(tmp_path, announce=False)) as at:
        at.furnish()
        at.calls.record(at.caller, False)
        at.calls.answer(at.caller, "room")
        await at.talk(0.5)
        at.calls.answer(at.caller, "agent")
        await at.talk(0.5)
        assert states(at) == ["started", "stopped"]


@virtual_time
@pytest.mark.parametrize("missing", ["microphone", "speaker"])
async def test_a_room_without_a_device_takes_no_call_and_the_call_rings_on(tmp_path: Path, missing: str):
    async with office(tmp_path, sip=RINGS) as at:
        room = at.furnish()
        kind = {"microphone": "input", "speaker": "output"}[missing]
        room.device = {**room.device, kind: {"name": "desk", "state": "lost"}}
        with pytest.raises(DeviceUnavailable, match=missing) as refused:
            at.calls.answer(at.caller, "room")
        assert "audio list" in refused.value.hint
        assert at.call().state == "ringing"
        with pytest.raises(DeviceUnavailable):
            at.calls.dial("sip:201@127.0.0.1", line="room")
        assert "dial" not in {told[0] for told in at.telephone.told}
        at.calls.answer(at.caller)
        assert at.call().state == "connected", "the agent takes it"


@virtual_time
async def test_a_room_that_is_on_the_telephone_takes_no_second_call(tmp_path: Path):
    async with office(tmp_path, sip=RINGS) as at:
        at.furnish()
        at.calls.answer(at.caller, "room")
        second = at.telephone.rings_in()
        with pytest.raises(LineBusy):
            at.calls.answer(second, "room")
        assert at.calls.call(second).state == "ringing"
