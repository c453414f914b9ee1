"""A voice that breaks in a way that nobody foresaw leaves no caller behind: not with the music, nor in silence."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from appliance.call.controller import Calls
from appliance.config.schema import Agent, Recording, Sip
from appliance.events import Event, Warned
from appliance.interfaces import Spoken
from appliance.phone import Phones
from appliance.store.store import CallRecord
from tests.fakes.telephone import FakeTelephone
from tests.rig.booth import Booth
from tests.rig.virtual_time import virtual_time


class BrokenVoice:
    """A plug-in with a bug."""

    async def speak(self, text: str) -> AsyncIterator[Spoken]:
        yield Spoken(text, b"", 1 // len(text.removeprefix(text)))


class NoCalls:
    def add_call(self, record: CallRecord) -> None: ...


@virtual_time
async def test_where_the_voice_breaks_that_tells_the_summary_the_caller_comes_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    async with Booth(open_session=False) as booth:
        telephone = FakeTelephone()
        phones = Phones(telephone, booth.lines, booth.bus, Recording(), tmp_path, voice=BrokenVoice())
        settings = Sip(enabled=True)
        calls = Calls(telephone, settings, booth.bus, NoCalls(), phones.connected, phones.ended)
        phones.calls = calls
        calls.on_attended = phones.attended
        await calls.start()
        caller = telephone.rings_in()
        calls.transfer(caller, "sip:201@127.0.0.1", "attended", "It is about the garden.")
        await asyncio.sleep(0.2)
        [asked] = [told[1] for told in telephone.told if told[0] == "dial"]
        telephone.reports(asked, "connected", 200, "OK")
        await asyncio.sleep(1.0)
        assert calls.call(caller).state == "connected"
        assert calls.call(caller).reason.startswith("transfer failed")
        assert ("hang_up", asked) in telephone.told
        assert booth.lines.line(f"phone-{caller}").loan is None
        assert "about the garden" not in caplog.text
        await calls.stop()
        await phones.stop()


@virtual_time
async def test_where_the_voice_breaks_that_asks_for_the_pin_the_caller_is_not_let_in_and_hung_up_on(
    tmp_path: Path,
):
    async with Booth(open_session=False) as booth:
        telephone = FakeTelephone()
        agents = {"assistant": Agent(pin=SecretStr("4711"))}
        phones = Phones(
            *(telephone, booth.lines, booth.bus, Recording(), tmp_path),
            agents=lambda: agents,
            agent="assistant",
            voice=BrokenVoice(),
        )
        settings = Sip(enabled=True)
        calls = Calls(telephone, settings, booth.bus, NoCalls(), phones.connected, phones.ended)
        phones.calls = calls
        await calls.start()
        told: list[Event] = []
        booth.bus.listen(told.append)
        caller = telephone.rings_in()
        await asyncio.sleep(1.0)
        assert ("hang_up", caller) in telephone.told
        assert booth.lines.sessions() == ()
        assert [event.code for event in told if isinstance(event, Warned)] == ["pin_not_asked"]
        await calls.stop()
        await phones.stop()
