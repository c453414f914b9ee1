"""A panel's driver that breaks as nobody foresaw: told, opened anew, and no microphone on without its switch."""

import asyncio

import pytest

from appliance.config.schema import Gpio
from appliance.errors import DriverMissing
from appliance.events import MuteChanged
from appliance.interfaces import Control, Wiring
from appliance.panel.front_panel import FrontPanel
from appliance.panel.pins import RETRY_MOST_SECONDS, Pins
from tests.fakes.panel import FakePanel
from tests.rig.box import Box
from tests.rig.virtual_time import virtual_time

BUTTON, HOOK, MUTE = Control.BUTTON, Control.HOOK, Control.MUTE
ODD = RuntimeError("a line of the library's own")


def broken_at_the_start() -> FakePanel:
    return FakePanel(fault=ODD)


@virtual_time
async def test_with_a_switch_the_microphone_is_off_until_it_could_be_read():
    fake = broken_at_the_start()
    async with Box(fake, mute=22) as box:
        assert box.line.deaf
        assert "its switch cannot be read" in box.panel.status()["reason"]
        assert (box.panel.status()["state"], box.warnings()) == ("failed", ["device_unavailable"])
        fake.fault = None
        await box.wait(RETRY_MOST_SECONDS)
        assert not box.line.muted
        assert box.panel.status()["state"] == "ready"
        fake.move(MUTE, True)
        await box.wait(0.5)
        assert box.line.muted


@virtual_time
async def test_a_switch_that_is_off_by_then_keeps_the_microphone_off():
    fake = FakePanel((MUTE,), ODD)
    async with Box(fake, mute=22) as box:
        fake.fault = None
        await box.wait(RETRY_MOST_SECONDS)
        assert (box.panel.status()["state"], box.line.muted) == ("ready", True)
        assert not [event for event in box.of(MuteChanged) if not event.on]


@virtual_time
async def test_without_a_switch_the_microphone_is_on():
    async with Box(broken_at_the_start(), hook=23) as box:
        assert box.panel.status()["state"] == "failed"
        assert not box.line.deaf


@pytest.mark.slow
@virtual_time
async def test_it_is_tried_ever_less_often_without_end_and_told_once():
    fake = broken_at_the_start()
    async with Box(fake) as box:
        await box.wait(10.0)
        assert fake.starts == 4
        await box.wait(290.0)
        assert fake.starts == 10
        assert box.warnings() == ["device_unavailable"]
        assert not box.health.part("gpio").working


@virtual_time
async def test_a_library_that_is_missing_is_not_looked_for_again():
    fake = FakePanel(fault=DriverMissing("GPIO needs lgpio", hint="install it"))
    async with Box(fake) as box:
        await box.wait(100.0)
        assert (fake.starts, box.warnings()) == (1, ["driver_missing"])


@virtual_time
async def test_one_that_breaks_when_the_switch_is_looked_at_is_opened_anew():
    fake = FakePanel((MUTE,))
    async with Box(fake, mute=22) as box:
        fake.broken = ODD
        fake.fault = ODD
        fake.move(MUTE, False)
        await box.wait(0.5)
        assert box.line.muted, "nobody knows how the switch stands now"
        assert (box.panel.status()["state"], fake.running) == ("failed", False)
        fake.broken = fake.fault = None
        await box.wait(2.0)
        assert (box.panel.status()["state"], box.line.muted) == ("ready", False)


@virtual_time
async def test_one_that_breaks_when_it_is_to_light_up_is_opened_anew_and_shows_what_it_should():
    fake = FakePanel()
    async with Box(fake, mute=22, led_red=5) as box:
        fake.broken = ODD
        box.panel.lamps.set(turn="listening")
        assert box.line.deaf, "its switch may have moved since"
        fake.broken = None
        fake.colours.clear()
        await box.wait(2.0)
        assert (box.panel.status()["state"], box.line.muted) == ("ready", False)
        assert any(fake.colours[-1])


@virtual_time
async def test_one_that_breaks_again_and_again_is_opened_ever_less_often():
    fake = FakePanel()
    async with Box(fake, mute=22, led_red=5) as box:
        for _ in range(20):
            fake.broken = ODD
            box.panel.lamps.set(ringing=not box.panel.lamps.facts.ringing)
            fake.broken = None
            await box.wait(5.0)
        assert 4 < fake.starts < 10


@virtual_time
async def test_a_receiver_that_was_last_seen_on_its_cradle_stays_there():
    fake = FakePanel()
    async with Box(fake, hook=23, led_red=5) as box:
        assert box.line.deaf
        fake.broken = fake.fault = ODD
        box.panel.lamps.set(ringing=True)
        await box.wait(1.5)
        assert box.line.deaf
        assert "on its cradle" in box.panel.status()["reason"]


@virtual_time
async def test_a_talk_key_that_was_held_is_let_go():
    fake = FakePanel()
    async with Box(fake, led_red=5) as box:
        fake.move(BUTTON, True)
        await box.speak(1.0)
        fake.broken = ODD
        box.panel.lamps.set(ringing=True)
        await box.state("speaking")
        await box.idle()


@virtual_time
@pytest.mark.parametrize("fault", [ODD, None])
async def test_it_ends_at_once_while_it_waits_for_its_next_attempt(fault):
    async with Box() as box:
        fake = FakePanel(fault=fault)
        panel = FrontPanel(Gpio(led_red=5), None, box.bus, box.health.part("x"), lambda: True, fake)
        panel.start()
        await box.wait(20.0)
        began = box.loop.time()
        await panel.stop()
        assert box.loop.time() - began < 0.1
        before = fake.starts
        await box.wait(100.0)
        assert (fake.starts, fake.running) == (before, False)


@virtual_time
async def test_a_fault_of_ours_once_the_pins_are_there_is_in_the_log(caplog: pytest.LogCaptureFixture):
    async def found(_: object) -> None:
        raise ODD

    fake = FakePanel()
    pins = Pins(lambda: fake(Wiring({})), found, lambda _: None)
    pins.open(lambda _: None)
    await asyncio.sleep(0.1)
    assert "not looked after any more: RuntimeError" in caplog.text
    await pins.end()
    await pins.release()
    assert not fake.running
