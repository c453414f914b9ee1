"""The front panel of a booted box: its lines are moved from outside, and read from there."""

import time
from collections.abc import Iterator

import pytest

from tests.image.caller import wait
from tests.image.conftest import BUTTON, LED, MUTE
from tests.image.control import client
from tests.image.machine import Machine
from tests.image.pins import Pins

SECONDS = 600.0
DARK_SECONDS = 20.0


@pytest.fixture
def pins(box: Machine) -> Iterator[Pins]:
    with Pins(box.sockets) as pins:
        yield pins


async def test_a_pressed_button_is_told(box: Machine, pins: Pins, secret: str):
    async with client(box, secret) as control:
        pins.drive(BUTTON, True)
        await control.event("button", SECONDS, action="pressed")
        pins.drive(BUTTON, False)
        released = await control.event("button", SECONDS, action="released")
    assert released["button"] == "button"


async def test_the_mute_switch_shuts_the_microphone_and_the_light_says_so(
    box: Machine, pins: Pins, secret: str
):
    async with client(box, secret) as control:
        pins.drive(MUTE, True)
        await control.event("mute", SECONDS, on=True, by="switch")
        wait(lambda: pins.level(LED), SECONDS, "the light is on")
        (room,) = [line for line in (await control.state())["lines"] if line["kind"] == "room"]
        assert room["shut_by"] == ["switch"]

        pins.drive(MUTE, False)
        await control.event("mute", SECONDS, on=False, by="switch")
        wait(lambda: not stirs(pins), SECONDS, "the light is out")


def stirs(pins: Pins) -> bool:
    """Whether the light is on at any moment for a while."""
    until, before = time.monotonic() + DARK_SECONDS, len(pins.edges)
    while time.monotonic() < until:
        if pins.level(LED) or len(pins.edges) > before:
            return True
    return False
