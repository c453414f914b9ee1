"""The lights in a room, in virtual time."""

from appliance.events import (
    CallChanged,
)
from appliance.interfaces import Control
from tests.rig.box import Box
from tests.rig.virtual_time import virtual_time


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
async def test_in_the_end_it_is_dark():
    async with Box(led_red=16) as box:
        await box.wait(0.5)
    assert box.fake.colours[-1] == (0.0, 0.0, 0.0)
