"""A reset by the button, in virtual time."""

from appliance.errors import ApplianceError
from appliance.interfaces import Control
from tests.rig.box import Box
from tests.rig.virtual_time import virtual_time


@virtual_time
async def test_a_very_long_press_in_silence_counts_aloud_and_resets():
    async with Box(led_red=16) as box:
        box.fake.move(Control.BUTTON, True)
        await box.wait(9.0)
        assert box.warnings() == []
        await box.wait(5.0)
        assert (box.warnings(), box.panel.lamps.told) == (["reset_countdown"], "countdown")
        assert box.speaker.silent_since() > box.loop.time() - 1.1, "a beep a second"
        await box.wait(2.0)
        assert (box.resets, box.line.loan, box.panel.lamps.told) == (0, None, "resetting")
        box.fake.move(Control.BUTTON, False)
        await box.wait(0.5)
        assert (box.resets, box.line.loan) == (1, None)


@virtual_time
async def test_a_button_that_sticks_resets_nothing_also_when_it_is_freed_at_last():
    async with Box(led_red=16) as box:
        box.fake.move(Control.BUTTON, True)
        await box.wait(90.0)
        assert box.panel.lamps.told != "resetting"
        box.fake.move(Control.BUTTON, False)
        await box.wait(1.0)
        assert box.resets == 0
        assert box.warnings() == ["reset_countdown", "reset_ready", "button_stuck"]


@virtual_time
async def test_a_word_after_the_count_keeps_everything_too():
    async with Box() as box:
        box.fake.move(Control.BUTTON, True)
        await box.wait(17.0)
        await box.speak(2.0)
        box.fake.move(Control.BUTTON, False)
        await box.wait(0.5)
        assert box.resets == 0
        await box.idle()


@virtual_time
async def test_letting_go_while_it_is_counted_keeps_everything():
    async with Box() as box:
        await box.fake.hold(Control.BUTTON, 13.0)
        await box.wait(20.0)
        assert (box.resets, box.line.loan) == (0, None)
        assert box.warnings() == ["reset_countdown"]


@virtual_time
async def test_whoever_talks_while_the_button_is_held_resets_nothing():
    async with Box() as box:
        box.fake.move(Control.BUTTON, True)
        await box.speak(2.0)
        await box.wait(18.0)
        box.fake.move(Control.BUTTON, False)
        assert (box.resets, box.warnings()) == (0, [])
        await box.idle()


@virtual_time
async def test_a_reset_that_fails_is_told():
    async with Box() as box:

        async def full() -> None:
            raise ApplianceError("the card is full", hint="make room")

        box.panel.on_reset = full
        await box.fake.hold(Control.BUTTON, 16.0)
        await box.wait(0.1)
        assert box.warnings() == ["reset_countdown", "reset_ready", "internal"]
