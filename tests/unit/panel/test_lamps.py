"""The lights in a room, in virtual time."""

from appliance.audio.wake import WakeGate
from appliance.bus import EventBus
from appliance.config.schema import WakeWord
from appliance.events import CallChanged, DeviceChanged, PowerChanged, Provisioned, SetupChanged, WakeChanged
from appliance.interfaces import Colour, Control
from appliance.panel.lamps import TAKEN_SECONDS, Lamps
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


def came_of_settings(ok: bool) -> Provisioned:
    return Provisioned(ok=ok, message="so it is", faults=int(not ok))


@virtual_time
async def test_new_settings_are_shown_for_a_while_and_faults_in_them_until_they_are_mended():
    async with Box(led_red=16) as box:
        await box.wait(1.5)
        for ok, at_first, later in (
            (True, "settings_taken", "idle"),
            (False, "settings_faulty", "settings_faulty"),
            (True, "settings_taken", "idle"),
        ):
            box.bus.publish(came_of_settings(ok))
            assert box.panel.lamps.told == at_first
            await box.wait(TAKEN_SECONDS + 0.1)
            assert box.panel.lamps.told == later


@virtual_time
async def test_while_the_set_up_page_is_open_the_light_says_so_and_nothing_counts_as_set_up():
    async with Box(led_red=16) as box:
        await box.wait(1.5)
        box.bus.publish(SetupChanged(state="open"))
        box.bus.publish(came_of_settings(True))
        assert box.panel.lamps.told == "setup"
        box.bus.publish(SetupChanged(state="closed"))
        assert box.panel.lamps.told == "idle"


@virtual_time
async def test_what_was_told_while_the_pins_were_opened_is_shown_when_there_is_light():
    bus, colours = EventBus(), list[Colour]()
    lamps = Lamps(bus, "room", lambda: True)
    bus.publish(came_of_settings(False))
    lamps.start(colours.append, None)
    assert (lamps.told, len(colours)) == ("settings_faulty", 1)
    lamps.stop()


@virtual_time
async def test_a_light_that_is_there_at_the_second_attempt_only_follows_what_happens_from_then_on():
    bus, colours = EventBus(), list[Colour]()
    lamps = Lamps(bus, "room", lambda: True)
    lamps.start(None, None)
    bus.publish(came_of_settings(False))
    assert lamps.told == ""
    lamps.start(colours.append, None)
    assert lamps.told == "settings_faulty"
    bus.publish(came_of_settings(True))
    assert (lamps.told, len(colours)) == ("settings_taken", 2)
    lamps.stop()


@virtual_time
async def test_in_the_end_it_is_dark():
    async with Box(led_red=16) as box:
        await box.wait(0.5)
    assert box.fake.colours[-1] == (0.0, 0.0, 0.0)
