"""What `handset doctor` says of GPIO."""

from typing import Any

import pytest

from appliance.config.schema import Configuration, Gpio
from appliance.doctor import CHECKS
from appliance.finding import Finding


def findings(**gpio: Any) -> list[Finding]:
    check = next(check for check in CHECKS if check.__name__ == "_gpio")
    return list(check(Configuration(gpio=Gpio(**gpio))))


def test_a_machine_without_it_is_well(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("GPIOZERO_PIN_FACTORY", raising=False)
    [finding] = findings()
    assert (finding.state, finding.message) == (
        "ok",
        "no buttons, switches and lights: this machine is no Raspberry Pi",
    )


def test_a_chip_that_was_asked_for_must_be_there(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("GPIOZERO_PIN_FACTORY", raising=False)
    [finding] = findings(driver="gpiozero", chip="gpiochip99")
    assert finding.state == "failed"
    assert "there is no /dev/gpiochip99" in finding.message
    assert "gpio.chip" in finding.remedy


def test_what_is_switched_off_is_not_looked_for():
    [finding] = findings(driver="off")
    assert (finding.state, "switched off" in finding.message) == ("ok", True)


def test_where_there_are_pins_its_libraries_are_looked_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "mock")
    [finding] = findings()
    assert (finding.state, finding.message) == ("ok", "GPIO is there")
