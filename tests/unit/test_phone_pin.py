"""A caller who is asked for a PIN: what ends it, and what is told of it."""

import asyncio
from pathlib import Path

import pytest
from pydantic import SecretStr

from appliance.config.schema import Agent
from appliance.errors import NotPossible
from appliance.events import DtmfReceived, Transcript
from tests.rig.booth import Booth
from tests.rig.office import Office, office
from tests.rig.virtual_time import virtual_time


class Door(Office):
    """A telephone whose agent asks for the PIN 4711, and a caller at it."""

    def __init__(self, booth: Booth, directory: Path) -> None:
        agents = {"assistant": Agent(pin=SecretStr("4711"))}
        super().__init__(booth, directory, agents=lambda: agents, agent="assistant", keypad_pause=1.0)

    def read(self) -> list[str]:
        """What the model was told in writing."""
        return [event.text for event in self.of(Transcript) if event.role == "user"]

    async def keys(self, digits: str) -> None:
        for digit in digits:
            self.telephone.presses(self.caller, digit)
            await asyncio.sleep(0.3)


@virtual_time
async def test_a_hash_after_the_right_pin_is_told_to_nobody_and_the_next_key_is(tmp_path: Path):
    async with office(tmp_path, Door) as at:
        await at.keys("4711#")
        await asyncio.sleep(2.0)
        assert at.call().session is not None, "the caller was not let in"
        assert at.read() == []
        assert not {event.digit for event in at.told if isinstance(event, DtmfReceived)} & set("4711")
        await at.keys("#")
        await asyncio.sleep(2.0)
        assert at.read() == ["pressed #"]


@pytest.mark.slow
@virtual_time
async def test_one_who_never_ends_an_entry_is_hung_up_on(tmp_path: Path):
    async with office(tmp_path, Door) as at:
        for _ in range(200):
            if ("hang_up", at.caller) in at.telephone.told:
                break
            await asyncio.sleep(2.0)
            at.telephone.presses(at.caller, "*")
        assert ("hang_up", at.caller) in at.telephone.told


@virtual_time
async def test_nothing_is_recorded_while_a_pin_is_asked_for(tmp_path: Path):
    async with office(tmp_path, Door) as at:
        with pytest.raises(NotPossible):
            at.calls.record(at.caller, True)
        await at.keys("47")
        with pytest.raises(NotPossible):
            at.calls.record(at.caller, True)
        assert not await asyncio.to_thread(lambda: list(tmp_path.rglob("*.wav")))


@virtual_time
async def test_a_caller_transfers_us_only_once_the_pin_is_given(tmp_path: Path):
    async with office(tmp_path, Door) as at:
        await at.keys("4712#")
        await asyncio.sleep(2.0)
        assert at.caller in at.telephone.locked, "a stranger has us dial"
        await at.keys("4711#")
        await asyncio.sleep(2.0)
        assert at.caller not in at.telephone.locked
