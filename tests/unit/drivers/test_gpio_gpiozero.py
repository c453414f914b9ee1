"""The driver on gpiozero's mock pins: they are moved as wires are, the reports come out, and light goes in."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gpiozero import Device, DigitalInputDevice
from gpiozero.pins.mock import MockFactory, MockPin, MockPWMPin

from appliance import plugins
from appliance.errors import DeviceUnavailable
from appliance.interfaces import ContactMoved, Control, KnobTurned, PanelReport, Wiring
from drivers import gpio_gpiozero
from drivers.gpio_gpiozero import GpioPanel, fitted

BUTTON, HOOK, MUTE = Control.BUTTON, Control.HOOK, Control.MUTE
RGB = (16, 20, 21)


@pytest.fixture
def pins() -> Iterator[Any]:
    before, Device.pin_factory = Device.pin_factory, MockFactory(pin_class=MockPWMPin)
    yield Device.pin_factory
    Device.pin_factory.reset()
    Device.pin_factory = before


class Wired:
    """A panel on the mock's pins."""

    def __init__(self, **wiring: Any) -> None:
        self.panel = GpioPanel(Wiring(**{"contacts": {}, **wiring}))
        self.reports: list[PanelReport] = []

    def __enter__(self) -> "Wired":
        self.found = self.panel.start(self.reports.append)
        return self

    def __exit__(self, *_: object) -> None:
        self.panel.stop()

    def moves(self) -> list[tuple[str, bool]]:
        return [(one.control.value, one.active) for one in self.reports if isinstance(one, ContactMoved)]


def test_it_is_found_by_name():
    assert plugins.load("appliance.panels", "gpiozero") is GpioPanel


def test_a_contact_that_pulls_to_ground_is_active(pins: Any):
    with Wired(contacts={BUTTON: 17}) as wired:
        assert pins.pin(17).pull == "up"
        assert wired.found == {BUTTON: False}
        pins.pin(17).drive_low()
        assert wired.panel.active(BUTTON)
        pins.pin(17).drive_high()
        assert wired.moves() == [("button", True), ("button", False)]


def test_with_active_low_off_a_contact_pulls_up(pins: Any):
    with Wired(contacts={BUTTON: 17}, active_low=False) as wired:
        assert pins.pin(17).pull == "down"
        pins.pin(17).drive_high()
        assert wired.moves() == [("button", True)]


def test_an_inverted_contact_is_active_while_it_is_open(pins: Any):
    with Wired(contacts={HOOK: 23, BUTTON: 17}, inverted={HOOK}) as wired:
        assert wired.found == {HOOK: True, BUTTON: False}
        pins.pin(23).drive_low()
        pins.pin(23).drive_high()
        assert wired.moves() == [("hook", False), ("hook", True)]


def test_reports_carry_the_monotonic_second(pins: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("drivers.gpio_gpiozero.time.monotonic", lambda: 77.0)
    with Wired(contacts={MUTE: 22}) as wired:
        pins.pin(22).drive_low()
        assert wired.reports == [ContactMoved(MUTE, True, 77.0)]


def test_the_knob_turns_both_ways(pins: Any):
    with Wired(knob=(12, 13)) as wired:
        a, b = pins.pin(12), pins.pin(13)
        for first, second in ((a, b), (a, b), (b, a)):
            first.drive_low()
            second.drive_low()
            first.drive_high()
            second.drive_high()
        assert wired.reports == [KnobTurned(1), KnobTurned(1), KnobTurned(-1)]


def test_a_colour_lights_the_leds_that_are_there(pins: Any):
    with Wired(leds=RGB) as wired:
        wired.panel.show((1.0, 0.25, 0.0))
        assert [pins.pin(pin).state for pin in RGB] == [1.0, 0.25, 0.0]
    with Wired(leds=(0, 20, 0)) as wired:
        wired.panel.show((0.5, 0.0, 0.0))
        assert pins.pin(20).state == 0.5


def test_common_anode_is_on_at_zero_volts(pins: Any):
    with Wired(leds=RGB, led_active_low=True) as wired:
        wired.panel.show((1.0, 0.0, 0.0))
        assert [pins.pin(pin).state for pin in RGB] == [0.0, 1.0, 1.0]


def test_a_factory_without_pwm_switches_on_and_off():
    before, Device.pin_factory = Device.pin_factory, MockFactory(pin_class=MockPin)
    try:
        with Wired(leds=(16, 0, 0)) as wired:
            wired.panel.show((0.3, 0.0, 0.0))
            assert Device.pin_factory.pin(16).state
    finally:
        Device.pin_factory.reset()
        Device.pin_factory = before


def test_a_pin_is_released_at_the_end_and_no_report_comes_after_it(pins: Any):
    with Wired(contacts={BUTTON: 17}, leds=(16, 0, 0)) as wired:
        wired.panel.show((1.0, 0.0, 0.0))
    pins.pin(17).drive_low()
    assert wired.reports == []
    assert pins.pin(16).function == "input"
    wired.panel.stop()
    with Wired(contacts={BUTTON: 17}) as again:
        assert list(again.found) == [BUTTON]


def test_what_another_has_is_told_with_a_remedy_and_nothing_stays_claimed(pins: Any):
    with Wired(contacts={MUTE: 22}):
        taken = GpioPanel(Wiring(contacts={BUTTON: 17, MUTE: 22}))
        with pytest.raises(DeviceUnavailable, match="GPIO22") as fault:
            taken.start(lambda _: None)
        assert "gpioinfo" in fault.value.hint
        with Wired(contacts={BUTTON: 17}):
            pass


def test_a_contact_that_cannot_be_read_at_the_start_is_told_likewise(
    pins: Any, monkeypatch: pytest.MonkeyPatch
):
    def odd(_: object) -> bool:
        raise RuntimeError("of the library's own")

    with monkeypatch.context() as broken:
        broken.setattr(DigitalInputDevice, "is_active", property(odd))
        with pytest.raises(DeviceUnavailable, match="of the library's own"):
            GpioPanel(Wiring(contacts={MUTE: 22})).start(lambda _: None)
    with Wired(contacts={MUTE: 22}) as again:
        assert again.found == {MUTE: False}


def test_a_pin_that_cannot_be_released_keeps_no_other(pins: Any, monkeypatch: pytest.MonkeyPatch):
    def busy(_: object) -> None:
        raise OSError("GPIO busy")

    with Wired(contacts={BUTTON: 17, MUTE: 22}) as wired:
        monkeypatch.setattr(pins.pin(17), "close", busy.__get__(pins.pin(17)))
        wired.panel.stop()
    with Wired(contacts={MUTE: 22}) as again:
        assert list(again.found) == [MUTE]


@pytest.mark.parametrize(
    ("pins_there", "lit"),
    [
        ((1, 0, 0), (1.0, 0.0, 0.0)),
        ((0, 1, 0), (0.0, 1.0, 0.0)),
        ((1, 1, 0), (0.2, 1.0, 0.0)),
        ((1, 0, 1), (0.2, 0.0, 1.0)),
        ((1, 1, 1), (0.2, 0.5, 1.0)),
    ],
)
def test_what_has_no_led_of_its_own_lights_the_nearest(
    pins_there: tuple[int, int, int], lit: tuple[float, float, float]
):
    assert fitted((0.2, 0.5, 1.0), pins_there) == lit


# --- where there is none


def test_a_machine_that_is_no_pi_is_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.delenv(gpio_gpiozero.FACTORY_VARIABLE, raising=False)
    monkeypatch.setattr(gpio_gpiozero, "_COMPATIBLE", tmp_path / "compatible")
    assert GpioPanel.look("") == "this machine is no Raspberry Pi"
    (tmp_path / "compatible").write_bytes(b"raspberrypi,5-model-b\0brcm,bcm2712\0")
    assert GpioPanel.look("") in ("", "there is no /dev/gpiochip*")
    assert GpioPanel.look("gpiochip99") == "there is no /dev/gpiochip99"
    monkeypatch.setenv(gpio_gpiozero.FACTORY_VARIABLE, "mock")
    assert GpioPanel.look("gpiochip99") == ""


def test_a_chip_that_cannot_be_opened_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(gpio_gpiozero.FACTORY_VARIABLE, raising=False)
    monkeypatch.setattr(Device, "pin_factory", None)
    with pytest.raises(DeviceUnavailable, match="/dev/gpiochip99 may not be opened"):
        GpioPanel(Wiring(contacts={BUTTON: 17}, chip="gpiochip99")).start(lambda _: None)


IMPORTS_NOTHING = """
import sys
import drivers.gpio_gpiozero as driver
driver.GpioPanel.look("")
driver.GpioPanel(driver.Wiring(contacts={}))
assert not {"gpiozero", "lgpio", "colorzero"} & set(sys.modules)
"""

STAYS_WHERE_IT_WAS = """
import os
import drivers.gpio_gpiozero as driver
here = os.getcwd()
driver._import_lgpio()
import lgpio
assert os.getcwd() == here, os.getcwd()
assert os.listdir(here) == [], os.listdir(here)
"""


@pytest.mark.slow
@pytest.mark.parametrize("story", [IMPORTS_NOTHING, STAYS_WHERE_IT_WAS])
def test_a_process_is_left_as_it_was(story: str, tmp_path: Path):
    if story is STAYS_WHERE_IT_WAS:
        pytest.importorskip("lgpio", reason="no wheel of lgpio for this Python and machine")
    root = Path(__file__).resolve().parents[3]
    environ = {key: value for key, value in os.environ.items() if key != gpio_gpiozero.FACTORY_VARIABLE}
    subprocess.run(
        [sys.executable, "-c", story], cwd=tmp_path, env={**environ, "PYTHONPATH": str(root)}, check=True
    )
