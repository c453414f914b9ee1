"""Whether there is a front panel, and that a machine without one pays nothing for it."""

import subprocess
import sys

import pytest

from appliance.config.schema import Gpio
from appliance.health import Health, Part
from appliance.panel.presence import find
from drivers.gpio_gpiozero import FACTORY_VARIABLE, GpioPanel


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Part:
    monkeypatch.delenv(FACTORY_VARIABLE, raising=False)
    return Health().part("gpio")


def test_a_machine_without_gpio_is_told_once_and_is_well(part: Part, caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO")
    assert find(Gpio(), part) == (None, "this machine is no Raspberry Pi")
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert (part.working, part.reason) == (True, "not there: this machine is no Raspberry Pi")


def test_what_is_switched_off_is_not_looked_for(part: Part, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(FACTORY_VARIABLE, "mock")
    assert find(Gpio(driver="off"), part) == (None, "")
    assert part.working


def test_a_driver_that_was_asked_for_is_there_whatever_is_amiss(part: Part):
    asked = Gpio(driver="gpiozero", chip="gpiochip99")
    assert find(asked, part) == (GpioPanel, "there is no /dev/gpiochip99")


def test_a_driver_that_is_not_installed_is_told(part: Part):
    assert find(Gpio(driver="relays"), part) == (None, "")
    assert not part.working


@pytest.mark.slow
def test_the_daemon_of_a_machine_without_gpio_imports_none_of_it():
    story = (
        "import sys, appliance.daemon\n"
        "from appliance.config.schema import Gpio\n"
        "from appliance.health import Health\n"
        "from appliance.panel import presence\n"
        "presence.find(Gpio(), Health().part('gpio'))\n"
        "print([name for name in sys.modules if name.startswith(('gpiozero', 'lgpio', 'appliance.panel.'))])"
    )
    environ = {"PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", story], env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "['appliance.panel.presence']"
