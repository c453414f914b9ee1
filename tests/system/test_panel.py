"""The front panel of the whole appliance: pins at one edge, the control API at the other."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from gpiozero import Device

from appliance.config.check import read
from appliance.daemon import Appliance
from appliance.interfaces import CaptureSink, DeviceReport, PlayoutSource
from tests.rig.appliance import Handset, toml
from tests.rig.control_client import ControlClient, Refused
from tests.rig.peer import until
from tests.rig.ports import free_port

pytestmark = pytest.mark.system
BUTTON, HOOK, MUTE, RED = 17, 23, 22, 16
LOUD = (0.3 * 32767 * np.sin(np.arange(320) * 0.3)).astype("<i2").tobytes()


class LoudRoom:
    """A sound card whose microphone hears a loud tone all the time."""

    capture_rate = playout_rate = 16_000
    output_delay_ms = 0.0
    silent_for = 0.0

    def __init__(self) -> None:
        self._hearing: asyncio.Task[None] | None = None

    def start(
        self, capture: CaptureSink, playout: PlayoutSource, report: Callable[[DeviceReport], None]
    ) -> None:
        for kind in ("input", "output"):
            report(DeviceReport(kind, "present", "room"))
        self._hearing = asyncio.get_running_loop().create_task(self._hear(capture, playout))

    async def _hear(self, capture: CaptureSink, playout: PlayoutSource) -> None:
        while True:
            capture(LOUD, time.monotonic())
            playout(320)
            await asyncio.sleep(0.02)

    def stop(self) -> None:
        if self._hearing is not None:
            self._hearing.get_loop().call_soon_threadsafe(self._hearing.cancel)

    def counters(self) -> Mapping[str, int]:
        return {}


class Box:
    """The appliance on mock pins, and a client at its control API."""

    def __init__(self, appliance: Appliance, client: ControlClient) -> None:
        self.appliance = appliance
        self.client = client

    def pull(self, pin: int, down: bool) -> None:
        wire = Device.pin_factory.pin(pin)
        (wire.drive_low if down else wire.drive_high)()

    def listens(self) -> list[bool]:
        """For each block of the microphone from now on, whether anything of it came through the capture sink."""
        blocks: list[bool] = []
        self.appliance.lines.line("room").capture.tap = lambda near, _: blocks.append(any(near))
        return blocks

    async def hears(self, loud: bool) -> None:
        """Ten blocks in a row, at the latest after the ten that were under way."""
        blocks = self.listens()
        await until(lambda: len(blocks) >= 20, 20.0)
        assert set(blocks[10:20]) == {loud}, blocks


@pytest.fixture
async def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Box]:
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "mock")
    monkeypatch.setattr(Device, "pin_factory", None)
    config, port = tmp_path / "handset.toml", free_port()
    sections: dict[str, dict[str, Any]] = {
        "control": {"port": port},
        "storage": {"directory": str(tmp_path)},
        "room": {"mode": "push-to-talk", "duplex": "half"},
        "gpio": {"hook": HOOK, "mute": MUTE, "led_red": RED},
    }
    config.write_text(toml(sections))
    appliance = Appliance(read(str(config)).require(), str(config), card=LoudRoom())
    await appliance.start()
    async with ControlClient(port) as client:
        await client.ask("subscribe", topics=["button", "hook", "mute", "turn", "session."])
        await until(
            lambda: appliance.panel is not None and appliance.panel.status()["state"] == "ready", 10.0
        )
        yield Box(appliance, client)
    await appliance.stop()
    Device.pin_factory.reset()


async def test_button_switch_and_receiver_do_what_they_say(box: Box):
    client = box.client
    await box.hears(False)

    box.pull(HOOK, True)
    await client.event("hook", state="off")
    await client.event("session.state", line="room", to="connecting")
    await box.hears(True)

    box.pull(BUTTON, True)
    await client.event("button", button="button", action="pressed")
    await client.event("turn", state="listening", line="room")
    box.pull(BUTTON, False)
    await client.event("button", action="released")

    box.pull(MUTE, True)
    await client.event("mute", on=True, by="switch")
    with pytest.raises(Refused) as refused:
        await client.ask("mute", on=False)
    assert refused.value.code == "mute_switch"
    await box.hears(False)
    state = await client.state()
    assert (state["mute"], state["lines"][0]["shut_by"]) == (True, ["switch"])
    assert state["panel"]["active"] == ["hook", "mute"]

    box.pull(MUTE, False)
    await client.event("mute", on=False)
    await box.hears(True)

    box.pull(HOOK, False)
    await client.event("hook", state="on")
    await client.event("session.state", to="closed", reason="on_hook")
    await box.hears(False)


async def test_the_light_is_on_while_the_microphone_is_off(box: Box):
    red = Device.pin_factory.pin(RED)
    assert not red.state
    box.pull(MUTE, True)
    await until(lambda: bool(red.state), 10.0)
    assert (await box.client.state())["panel"]["light"] == "muted"


async def test_a_machine_without_gpio_says_so_once_and_goes_on():
    async with Handset(environ={"GPIOZERO_PIN_FACTORY": ""}) as handset:
        panel = (await handset.client.state())["panel"]
        assert panel == {
            "state": "off",
            "reason": "not there: this machine is no Raspberry Pi",
            "active": [],
            "light": "",
        }
        assert handset.text().count("GPIO") == 1
        _, out, _ = await handset.run("status")
        assert "panel         off (not there: this machine is no Raspberry Pi)" in out
        libraries = [mapped.path for mapped in psutil.Process(handset.pid).memory_maps()]
        assert not [path for path in libraries if "lgpio" in path]
