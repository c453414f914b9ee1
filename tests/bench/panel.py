"""From the contact's closing to the microphone: the driver on mock pins, the panel, and a room line in real time."""

import asyncio
import random
import time
from typing import Any

import numpy as np
from gpiozero import Device
from gpiozero.pins.mock import MockFactory

from appliance.audio.capture import Captured
from appliance.config.schema import Gpio, Room
from appliance.health import Health
from appliance.interfaces import LineKind
from appliance.panel.front_panel import FrontPanel
from appliance.panel.room_keys import RoomKeys
from drivers.gpio_gpiozero import GpioPanel
from tests.rig.booth import FRAME_SECONDS, Booth

PRESSES = 40
PIN = 17


def measure() -> list[dict[str, Any]]:
    """All figures; takes about 25 seconds."""
    Device.pin_factory = MockFactory()
    try:
        taken, lost = asyncio.run(_press())
    finally:
        Device.pin_factory.reset()
        Device.pin_factory = None
    return [
        _figure("press_to_talk_key_p50", float(np.percentile(taken, 50)), "ms", "<= 10"),
        _figure("press_to_talk_key_p95", float(np.percentile(taken, 95)), "ms", "<= 20"),
        _figure("press_sound_lost_p50", float(np.percentile(lost, 50)), "ms", "<= 10"),
        _figure("press_sound_lost_p95", float(np.percentile(lost, 95)), "ms", "<= 20"),
    ]


def _figure(name: str, value: float, unit: str, goal: str) -> dict[str, Any]:
    return {"name": name, "value": round(value, 2), "unit": unit, "goal": goal}


async def _press() -> tuple[list[float], list[float]]:
    """Milliseconds from closing to the talk key, and of sound after the closing that no turn has."""
    chance, taken, lost = random.Random(1), list[float](), list[float]()
    room = Room(mode="push-to-talk")
    async with Booth(kind=LineKind.ROOM, room=room, strict=False) as booth:
        keys = RoomKeys(booth.line, booth.bus, lambda: booth.lines.open_session(booth.line), None)
        part = Health().part("gpio")
        panel = FrontPanel(Gpio(), keys, booth.bus, part, lambda: True, GpioPanel)
        panel.start()
        async with asyncio.timeout(10):
            while panel.status()["state"] != "ready":  # noqa: ASYNC110  its thread wakes nobody
                await asyncio.sleep(0.01)
        pin, pressed, begun = Device.pin_factory.pin(PIN), list[float](), list[float]()
        press, hear = booth.line.press, booth.line.hear

        def note_press() -> None:
            press()
            pressed.append(time.monotonic())

        def note_frame(captured: Captured) -> None:
            hear(captured)
            if len(begun) < len(pressed):
                begun.append(captured.frame.at - captured.frame.duration_ms / 1000)

        # Taps on the wire, which change nothing.
        setattr(booth.line, "press", note_press)  # noqa: B010
        setattr(booth.microphone, "_sink", note_frame)  # noqa: B010
        for number in range(PRESSES):
            await asyncio.sleep(0.5 + chance.random() * FRAME_SECONDS)
            closed = time.monotonic()
            await asyncio.to_thread(pin.drive_low)
            while len(begun) == number:  # noqa: ASYNC110  what comes next is due in 20 ms
                await asyncio.sleep(0.001)
            pin.drive_high()
            taken.append((pressed[-1] - closed) * 1000)
            lost.append(max(0.0, begun[-1] - closed) * 1000)
        await panel.stop()
    return taken, lost
