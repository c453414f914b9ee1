"""The lights in a room, in virtual time."""

from appliance.audio.wake import WakeGate
from appliance.config.schema import WakeWord
from appliance.events import CallChanged, DeviceChanged, PowerChanged, WakeChanged
from appliance.interfaces import Control
from tests.rig.box import Box
from tests.rig.virtual_time import virtual_time
from tests.rig.wake_word import Word


@virtual_time
async def test_the_light_follows_the_conversation():
    async with Box(led_red=16, led_green=20, led_blue=21, brightness=100) as box:
        told: list[str] = []

        def note(_: object) -> None:
            if not told or told[-1] != box.panel.lamps.told:
                told.append(box.panel.lamps.told)

        box.bus.listen(note)
        await box.wait(1.5)
        box.fake.move(Control.BUTTON, True)
        await box.speak(1.0)
        assert box.fake.colours[-1] == (0.0, 0.7, 1.0)
        box.fake.move(Control.BUTTON, False)
        await box.state("speaking")
        await box.idle()
        assert [name for name in told if name != "idle"] == ["listening", "thinking", "speaking"]
        assert box.fake.colours[-1] == (0.0, 0.0, 0.0)


@virtual_time
async def test_a_call_that_rings_blinks():
    async with Box(led_green=20) as box:
        await box.wait(1.5)
        box.bus.publish(CallChanged(call="c1", direction="in", state="ringing", peer="x"))
        before = len(box.fake.colours)
        await box.wait(3.4)
        assert [colour[1] > 0 for colour in box.fake.colours[before - 1 :]] == [True, False] * 5
        box.bus.publish(CallChanged(call="c1", direction="in", state="ended", peer="x"))
        assert box.panel.lamps.told == "idle"


@virtual_time
async def test_a_card_that_is_pulled_blinks_until_both_of_its_sides_are_back():
    async with Box(led_red=16) as box:
        await box.wait(1.5)
        for kind, state, told in (
            ("input", "lost", "device_lost"),
            ("output", "lost", "device_lost"),
            ("input", "recovered", "device_lost"),
            ("output", "recovered", "idle"),
        ):
            box.bus.publish(DeviceChanged(line=box.line.id, kind=kind, state=state, name="card"))
            assert box.panel.lamps.told == told


@virtual_time
async def test_a_power_supply_that_is_too_weak_is_shown_until_it_holds():
    async with Box(led_red=16) as box:
        await box.wait(1.5)
        box.bus.publish(PowerChanged(state="low"))
        assert box.panel.lamps.told == "power_low"
        box.bus.publish(PowerChanged(state="fine"))
        assert box.panel.lamps.told == "idle"


@virtual_time
async def test_while_the_wake_word_is_waited_for_there_is_a_flash_now_and_then():
    async with Box(led_red=16, hook=23) as box:
        box.line.wake = WakeGate(WakeWord(), Word("hello"))
        await box.wait(1.5)
        box.bus.publish(WakeChanged(line=box.line.id, state="asleep"))
        assert box.panel.lamps.told == "asleep"
        box.bus.publish(WakeChanged(line=box.line.id, state="awake", word="hello"))
        assert box.panel.lamps.told == "awake"


@virtual_time
async def test_in_the_end_it_is_dark():
    async with Box(led_red=16) as box:
        await box.wait(0.5)
    assert box.fake.colours[-1] == (0.0, 0.0, 0.0)
