"""Every figure that the documents name is in `/metrics` of an appliance that has all it can have."""

import re
from pathlib import Path

import pytest
from gpiozero import Device

from appliance import power
from appliance.config.check import read
from appliance.daemon import Appliance
from appliance.events import UsageReported
from tests.rig.appliance import toml
from tests.rig.control_client import ControlClient
from tests.rig.peer import until
from tests.rig.ports import free_port, free_range

DOCUMENTS = Path(__file__).parents[2] / "docs"
pytestmark = pytest.mark.system


def documented() -> set[str]:
    """Names of figures; of a group, `handset_line_*`, its beginning with the star."""
    pages = DOCUMENTS.rglob("*.md")
    return {name for page in pages for name in re.findall(r"handset_[a-z_]+\*?", page.read_text("utf-8"))}


async def test_what_the_documents_name_is_there(tmp_path, monkeypatch):
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "mock")
    monkeypatch.setattr(Device, "pin_factory", None)
    monkeypatch.setattr(power, "find", lambda: tmp_path / "alarm")
    config, first, port = tmp_path / "handset.toml", free_range(40), free_port()
    config.write_text(
        toml(
            {
                "control": {"port": port},
                "storage": {"directory": str(tmp_path)},
                "room": {"enabled": False},
                "sip": {"enabled": True, "bind": "127.0.0.1", "rtp_ports": f"{first}-{first + 39}"}
                | {"port": free_port()},
            }
        )
    )
    appliance = Appliance(read(str(config)).require(), str(config))
    await appliance.start()
    try:
        async with ControlClient(port) as client:
            await client.ask("session.open", line="client", sample_rate=16_000)
            appliance.bus.publish(UsageReported(provider="offline", input=1, output=1, unit="tokens"))
            await until(lambda: "handset_sip_strangers" in appliance.health.prometheus(), 20.0)
            lines = appliance.health.prometheus().splitlines()
    finally:
        await appliance.stop()
        Device.pin_factory.reset()
    there = {re.split("[{ ]", line)[0] for line in lines if not line.startswith("#")}
    named = documented()
    assert "handset_uptime_seconds" in named
    groups = {name for name in named if name.endswith("*")}
    assert named - groups <= there
    assert not [group for group in groups if not any(name.startswith(group[:-1]) for name in there)]
