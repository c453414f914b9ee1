"""The image that `make image` built, and a box that has booted it."""

import inspect
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.image.board import HOST
from tests.image.caller import FORWARDED, RTP_PORTS
from tests.image.control import token
from tests.image.machine import Machine
from tests.image.room import CARD
from tests.rig.ports import free_port

FOLDER = os.environ.get("HANDSET_IMAGE", "")
KEY = "sk-0123456789abcdefghijklmn"
BUTTON, MUTE, LED = 4, 5, 1
SETTINGS = f"""\
[system]
hostname = "kitchen"
[locale]
timezone = "Europe/Vienna"
[control]
bind = "0.0.0.0"
allow_plain = true
[conversation]
providers = ["offline"]
[providers.openai]
api_key = "{KEY}"
[room]
input = "{CARD}"
output = "{CARD}"
[sip]
enabled = true
allow = ["{HOST}"]
rtp_ports = "{RTP_PORTS.start}-{RTP_PORTS.stop - 1}"
[gpio]
driver = "gpiozero"
chip = "gpiochip0"
active_low = false
button = {BUTTON}
mute = {MUTE}
led_red = {LED}
"""
"""What a person puts on the boot partition, for a box that is spoken to over the network, called, and touched."""
STORY = (
    "test_boot",
    "test_panel",
    "test_room",
    "test_call",
    "test_system_update",
    "test_update",
    "test_power_cut",
)
"""One box tells it, in this order: starting takes minutes. Other files come after it, with boxes of their own."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    ours = [item for item in items if item.path.is_relative_to(here)]
    for item in ours:
        item.add_marker(pytest.mark.image)
        item.add_marker(pytest.mark.timeout(7200))
        if inspect.iscoroutinefunction(getattr(item, "function", None)):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"))
        if not FOLDER:
            item.add_marker(pytest.mark.skip(reason="the image is built by make image-test"))
    ours.sort(key=lambda item: STORY.index(item.path.stem) if item.path.stem in STORY else len(STORY))
    items[:] = [item for item in items if item not in ours] + ours


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image as it goes out, unpacked."""
    (packed,) = Path(FOLDER).glob("*.img.zst")
    image = tmp_path_factory.mktemp("image") / packed.stem
    subprocess.run(["zstd", "-q", "-d", "--sparse", str(packed), "-o", str(image)], check=True)
    return image


@pytest.fixture(scope="session")
def box(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A card with settings on it, in a box that has started for the first time; a sound card is plugged into it."""
    forwards = {port: free_port() for port in (("tcp", 8765), *FORWARDED)}
    words = "modules_load=snd-aloop"
    box = Machine(image, tmp_path_factory.mktemp("box"), forwards=forwards, words=words)
    box.put_boot_file("handset.toml", SETTINGS)
    with box:
        yield box


@pytest.fixture(scope="session")
def secret(box: Machine) -> str:
    """A token for the box's control API."""
    box.ready()
    return token(box)
