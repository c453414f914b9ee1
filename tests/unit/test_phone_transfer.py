"""A caller who is on hold while they are handed over: both calls stand afterwards as they should."""

import asyncio
import time
from pathlib import Path

import pytest

from appliance.call.machine import HELD_HERE
from appliance.config.schema import Transfer
from tests.rig.booth import Booth
from tests.rig.office import Office, office
from tests.rig.virtual_time import virtual_time


class Switchboard(Office):
    """A call that an agent has, and whoever it is handed over to."""

    def __init__(self, booth: Booth, directory: Path) -> None:
        super().__init__(
            booth, directory, transfer=Transfer(accept="answer", join="here"), minutes_per_call=1
        )

    async def begin(self) -> str:
        """The call of whom is asked."""
        self.calls.transfer(self.caller, "sip:201@127.0.0.1", "attended")
        await asyncio.sleep(0.2)
        return next(told[1] for told in self.telephone.told if told[0] == "dial")

    async def begin_for_one_who_holds_us(self, mid_way: bool) -> str:
        """They hold us before it begins, or `mid_way`."""
        if not mid_way:
            self.holds("held by the far end")
        asked = await self.begin()
        if mid_way:
            self.holds("held by the far end")
        return asked

    def holds(self, reason: str) -> None:
        self.telephone.reports(self.caller, "held", 0, reason)

    def resumes(self) -> None:
        self.telephone.reports(self.caller, "connected")

    @property
    def state(self) -> str:
        return str(self.calls.call(self.caller).state)

    def sounds(self, call: str) -> bool:
        """Whether the person there hears something, music for example."""
        line = self.phones.line_of(call)
        line.pull(800)  # what fades out
        return any(line.pull(8000))


@virtual_time
@pytest.mark.parametrize("mid_way", [True, False])
async def test_a_caller_who_holds_us_is_on_hold_still_when_nobody_takes_the_call(tmp_path, mid_way):
    async with office(tmp_path, Switchboard) as at:
        asked = await at.begin_for_one_who_holds_us(mid_way)
        at.telephone.ends(asked, 486, "Busy Here")
        await asyncio.sleep(0.5)
        assert at.state == "held"
        assert at.phones.line_of(at.caller).loan is not None, (
            "the agent talks to somebody who does not hear it"
        )
        at.resumes()
        await asyncio.sleep(0.2)
        assert at.state == "connected"
        assert at.phones.line_of(at.caller).loan is None


@virtual_time
@pytest.mark.parametrize("mid_way", [True, False])
async def test_who_takes_the_call_of_one_who_holds_us_hears_music_till_they_are_back(tmp_path, mid_way):
    async with office(tmp_path, Switchboard) as at:
        asked = await at.begin_for_one_who_holds_us(mid_way)
        at.telephone.reports(asked, "connected", 200, "OK")
        await asyncio.sleep(1.0)
        assert at.state == "held"
        assert at.sounds(asked), "silence, and nobody there"
        at.resumes()
        await asyncio.sleep(0.2)
        assert at.state == "connected"
        assert not at.sounds(asked), "music beside the caller"
        assert ("resume", at.caller) not in at.telephone.told


@virtual_time
async def test_whom_we_held_while_somebody_was_found_is_taken_off_hold_when_they_are_joined(tmp_path):
    async with office(tmp_path, Switchboard) as at:
        at.holds(HELD_HERE)
        asked = await at.begin()
        at.telephone.reports(asked, "connected", 200, "OK")
        await asyncio.sleep(1.0)
        assert ("resume", at.caller) in at.telephone.told


@virtual_time
async def test_two_who_were_joined_are_warned_and_ended_when_the_calls_time_is_over(tmp_path):
    async with office(tmp_path, Switchboard) as at:
        asked = await at.begin()
        at.telephone.reports(asked, "connected", 200, "OK")
        await asyncio.sleep(40.0)
        assert not at.sounds(asked)
        assert ("hang_up", at.caller) not in at.telephone.told
        await asyncio.sleep(8.5)
        assert at.sounds(asked), "no warning"
        await asyncio.sleep(15.0)
        assert ("hang_up", at.caller) in at.telephone.told
        assert ("hang_up", asked) in at.telephone.told


@virtual_time
async def test_a_wall_clock_that_is_set_meanwhile_changes_nothing_of_the_calls_time(tmp_path, monkeypatch):
    async with office(tmp_path, Switchboard) as at:
        asked = await at.begin()
        before = time.time()
        monkeypatch.setattr(time, "time", lambda: before + 3600.0)
        at.telephone.reports(asked, "connected", 200, "OK")
        await asyncio.sleep(40.0)
        assert ("hang_up", at.caller) not in at.telephone.told
        await asyncio.sleep(24.0)
        assert ("hang_up", at.caller) in at.telephone.told
