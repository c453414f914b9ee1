"""The front panel in the room, in virtual time: contacts move at one edge, the line and the bus tell at the other."""

import pytest

from appliance.config.schema import Gpio
from appliance.errors import DeviceUnavailable, MuteSwitchOn, NotPossible
from appliance.events import (
    HookMoved,
    Interrupted,
    MuteChanged,
    VolumeChanged,
)
from appliance.interfaces import Control
from appliance.panel.front_panel import OUTSTANDING, FrontPanel
from appliance.panel.room_keys import RoomKeys
from tests.fakes.panel import FakePanel
from tests.rig.box import Box
from tests.rig.virtual_time import virtual_time

BUTTON, UP, DOWN, HOOK, MUTE = (
    *(Control.BUTTON, Control.VOLUME_UP, Control.VOLUME_DOWN),
    *(Control.HOOK, Control.MUTE),
)


# --- talk


@virtual_time
async def test_the_button_is_the_talk_key_while_it_is_held():
    async with Box() as box:
        box.fake.move(BUTTON, True)
        await box.speak(1.0)
        box.fake.move(BUTTON, False)
        await box.state("speaking")
        assert box.actions() == ["pressed", "hold", "released", "long"]
        spoken = set(box.microphone.voiced_frames)
        got = {int.from_bytes(frame[:2], "little") for frame in box.provider.turns[1].frames}
        assert len(spoken - got) <= 1, "four milliseconds to be sure, and the frame that they fall into"
        await box.idle()


@virtual_time
async def test_a_tap_silences_what_is_being_said():
    async with Box() as box:
        box.lines.open_session(box.line)
        await box.state("speaking")
        await box.fake.hold(BUTTON, 0.1)
        await box.idle()
        assert [event.reason for event in box.of(Interrupted)] == ["push-to-talk"]
        await box.wait(1.0)
        assert box.actions() == ["pressed", "released", "single"]


@virtual_time
async def test_with_toggle_a_tap_begins_a_turn_and_the_next_one_ends_it():
    async with Box(talk="toggle") as box:
        await box.fake.hold(BUTTON, 0.1)
        await box.speak(2.0)
        assert box.session.turn_state.value == "listening"
        await box.fake.hold(BUTTON, 0.1)
        await box.state("speaking")
        await box.idle()


@virtual_time
async def test_with_toggle_a_turn_that_ends_by_itself_lets_the_key_go():
    async with Box(talk="toggle") as box:
        await box.fake.hold(BUTTON, 0.1)
        await box.speak(62.0)
        await box.idle()
        await box.fake.hold(BUTTON, 0.1)
        await box.speak(1.0)
        assert box.session.turn_state.value == "listening"
        await box.fake.hold(BUTTON, 0.1)
        await box.idle()


@virtual_time
async def test_a_button_that_bounces_is_pressed_once():
    async with Box() as box:
        for _ in range(5):
            box.fake.move(BUTTON, True)
            await box.wait(0.001)
            box.fake.move(BUTTON, False)
            await box.wait(0.001)
        await box.fake.hold(BUTTON, 0.2)
        await box.wait(1.0)
        assert box.actions() == ["pressed", "released", "single"]


@virtual_time
async def test_above_max_sessions_the_press_is_answered_with_a_warning():
    async with Box(booth={"max_sessions": 1}) as box:
        box.another_session()
        await box.fake.hold(BUTTON, 0.5)
        assert box.warnings() == ["line_busy"]


# --- what hands and contacts get wrong


@virtual_time
async def test_two_buttons_at_once_are_told_and_mean_nothing():
    async with Box(volume_up=5) as box:
        box.fake.move(BUTTON, True)
        await box.wait(0.5)
        box.fake.move(UP, True)
        await box.wait(30.0)
        box.fake.move(BUTTON, False)
        await box.wait(0.1)
        box.fake.move(UP, False)
        await box.wait(1.0)
        assert box.actions() == ["pressed", "void"]
        assert box.actions(UP) == ["pressed", "void"]
        assert box.warnings() == ["buttons_together"]
        assert box.resets == 0
        await box.fake.hold(BUTTON, 0.5)
        await box.wait(1.0)
        assert box.actions()[2:] == ["pressed", "released", "single"]
        await box.idle()


@pytest.mark.slow
@virtual_time
async def test_a_stuck_button_is_told_and_ignored_until_it_is_free():
    async with Box(factory_reset=False) as box:
        box.fake.move(BUTTON, True)
        await box.wait(70.0)
        await box.idle()
        assert box.warnings() == ["button_stuck"]
        box.fake.move(BUTTON, False)
        await box.wait(1.0)
        assert box.actions()[-2:] == ["stuck", "freed"]
        box.fake.move(BUTTON, True)
        await box.speak(1.0)
        box.fake.move(BUTTON, False)
        await box.state("speaking")
        await box.idle()


@virtual_time
async def test_a_button_that_is_down_from_the_start_is_nobodys_press():
    async with Box(FakePanel(active=(BUTTON,))) as box:
        await box.wait(40.0)
        assert (box.actions(), box.warnings(), box.resets) == (["stuck"], ["button_stuck"], 0)
        assert box.line.session is None
        box.fake.move(BUTTON, False)
        await box.wait(0.1)
        await box.fake.hold(BUTTON, 0.5)
        await box.wait(0.1)
        assert box.actions() == ["stuck", "freed", "pressed", "released"]


@virtual_time
async def test_beside_a_button_that_is_stuck_the_others_work():
    async with Box(FakePanel(active=(UP,)), volume_up=5, volume_down=6) as box:
        volume = box.line.volume
        await box.fake.hold(DOWN, 0.1)
        box.fake.move(BUTTON, True)
        await box.speak(1.0)
        box.fake.move(BUTTON, False)
        await box.state("speaking")
        await box.idle()
        assert box.line.volume == volume - 4
        assert (box.actions(UP), box.warnings()) == (["stuck"], ["button_stuck"])
        box.fake.move(UP, False)
        await box.wait(0.1)
        await box.fake.hold(UP, 0.1)
        assert box.line.volume == volume


@virtual_time
async def test_a_button_that_hangs_after_both_were_pressed_keeps_the_other_from_nothing():
    async with Box(volume_up=5) as box:
        box.fake.move(UP, True)
        await box.fake.hold(BUTTON, 0.2)
        await box.wait(61.0)
        assert box.warnings() == ["buttons_together", "button_stuck"]
        await box.fake.hold(BUTTON, 0.2)
        await box.wait(1.0)
        assert box.actions()[2:] == ["pressed", "released", "single"]


@virtual_time
async def test_a_contact_that_flutters_is_bounded_and_believed_as_it_ends():
    async with Box() as box:
        for _ in range(1000):
            box.fake.move(BUTTON, True)
            box.fake.move(BUTTON, False)
        box.fake.move(BUTTON, True)
        await box.wait(0.5)
        assert box.panel.counters()["reports_missed"] == 2001 - OUTSTANDING
        assert box.actions() == ["pressed"]
        box.fake.move(BUTTON, False)
        await box.wait(0.1)


# --- the microphone


@virtual_time
async def test_while_the_switch_is_off_nothing_of_the_microphone_passes_and_nobody_can_switch_it_on():
    async with Box(mode="open", mute=22) as box:
        box.microphone.voiced = True
        await box.wait(0.5)
        assert box.session.turn_state.value == "listening"
        box.fake.move(MUTE, True)
        assert box.line.capture.shut_by, "before the loop had a turn"
        await box.wait(0.1)
        with pytest.raises(MuteSwitchOn):
            box.line.set_muted(False)
        box.line.set_muted(True)
        box.microphone.voiced = False
        box.fake.move(MUTE, False)
        await box.wait(0.2)
        assert box.line.muted, "whoever muted it over the API still means it"
        box.line.set_muted(False)
        assert [(event.on, event.by) for event in box.of(MuteChanged)][-2:] == [
            (True, "switch"),
            (False, None),
        ]
        await box.idle()


@virtual_time
async def test_a_switch_that_was_closed_again_before_its_opening_was_heeded_keeps_the_microphone_off():
    async with Box(FakePanel(active=(MUTE,)), mute=22) as box:
        box.fake.move(MUTE, False)
        await box.wait(0.05)
        box.fake.close_unseen(MUTE)
        await box.wait(1.0)
        assert box.line.muted


@virtual_time
async def test_the_microphone_is_off_until_the_switch_was_read():
    async with Box(mute=22) as box:
        assert (box.shut_at_first, box.line.deaf) == (True, False)
    async with Box(FakePanel(active=(MUTE,)), mute=22) as box:
        assert (box.shut_at_first, box.line.muted) == (True, True)


@virtual_time
async def test_where_the_switch_cannot_be_read_the_microphone_stays_off():
    broken = FakePanel(fault=DeviceUnavailable("the pins are taken", hint="free them"))
    async with Box(broken, mute=22, hook=23) as box:
        assert box.line.capture.shut_by == {"switch"}
        assert box.warnings() == ["device_unavailable"]
        part = box.health.report()["parts"]["gpio"]
        assert not part["ok"]
        assert "stays off" in part["reason"]
        assert box.health.ready(), "the telephone works all the same"


@virtual_time
async def test_a_press_while_the_microphone_is_off_silences_and_says_why():
    async with Box(FakePanel(active=(MUTE,)), mute=22) as box:
        box.lines.open_session(box.line)
        await box.state("speaking")
        await box.fake.hold(BUTTON, 0.5)
        assert box.warnings() == [NotPossible.code]
        await box.idle()
        assert len(box.provider.turns) == 0


# --- volume


@virtual_time
async def test_the_volume_buttons_and_the_knob_turn_it_up_and_down():
    async with Box(volume_up=5, volume_down=6, knob_a=12, knob_b=13, knob_step=5) as box:
        box.line.set_volume(50)
        for control in (UP, DOWN, DOWN):
            await box.fake.hold(control, 0.1)
            await box.wait(0.1)
        box.fake.turn(-2)
        box.fake.turn(30)
        await box.wait(0.1)
        assert [event.level for event in box.of(VolumeChanged)] == [50, 55, 50, 45, 35, 100]


@virtual_time
async def test_a_volume_button_that_is_held_goes_on_until_it_is_let_go():
    async with Box(volume_up=5, knob_step=5) as box:
        box.line.set_volume(50)
        await box.fake.hold(UP, 2.1)
        await box.wait(5.0)
        assert box.line.volume == 80


# --- where there is little


@virtual_time
async def test_while_the_pins_are_opened_it_is_starting():
    async with Box() as box:
        panel = FrontPanel(Gpio(), None, box.bus, box.health.part("new"), lambda: True, FakePanel())
        panel.start()
        assert panel.status()["state"] == "starting"
        await box.wait(0.1)
        assert panel.status()["state"] == "ready"
        await panel.stop()


@virtual_time
async def test_where_no_pin_is_set_nothing_is_claimed():
    async with Box() as box:
        fake = FakePanel()
        panel = FrontPanel(Gpio(button=0), None, box.bus, box.health.part("none"), lambda: True, fake)
        panel.start()
        await box.wait(0.5)
        assert (fake.wiring, panel.status()["state"]) == (None, "off")
        await panel.stop()


@virtual_time
async def test_a_chip_that_was_asked_for_and_is_not_there_leaves_the_microphone_with_a_switch_off():
    async with Box() as box:
        keys = RoomKeys(box.line, box.bus, lambda: None, None)
        settings, part, fake = Gpio(driver="gpiozero", mute=22), box.health.part("asked"), FakePanel()
        panel = FrontPanel(settings, keys, box.bus, part, lambda: True, fake, "there is no /dev/gpiochip9")
        panel.start()
        await box.wait(0.5)
        assert (fake.wiring, box.line.muted, panel.status()["state"]) == (None, True, "failed")
        assert box.warnings() == ["device_unavailable"]
        await panel.stop()


@virtual_time
async def test_without_a_room_the_buttons_are_still_told():
    async with Box() as box:
        fake = FakePanel()
        panel = FrontPanel(
            Gpio(driver="fake", hook=23, mute=22, knob_a=1, knob_b=2),
            *(None, box.bus, box.health.part("other"), lambda: True, fake),
        )
        panel.start()
        await box.wait(0.1)
        await fake.hold(BUTTON, 0.1)
        fake.move(HOOK, True)
        fake.move(MUTE, True)
        fake.turn(3)
        await box.wait(0.5)
        assert box.actions() == ["pressed", "released", "single"]
        assert [event.state for event in box.of(HookMoved)] == ["off"]
        await panel.stop()
