"""The image that `make image` built, and a box that has booted it."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.image.machine import Machine
from tests.rig.ports import free_port

FOLDER = os.environ.get("HANDSET_IMAGE", "")
KEY = "sk-0123456789abcdefghijklmn"
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
"""
"""What a person puts on the boot partition, for a box that is spoken to over the network."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.image)
            item.add_marker(pytest.mark.timeout(7200))
            if not FOLDER:
                item.add_marker(pytest.mark.skip(reason="the image is built by make image-test"))


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image as it goes out, unpacked."""
    (packed,) = Path(FOLDER).glob("*.img.zst")
    image = tmp_path_factory.mktemp("image") / packed.stem
    subprocess.run(["zstd", "-q", "-d", "--sparse", str(packed), "-o", str(image)], check=True)
    return image


@pytest.fixture(scope="module")
def box(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A card with settings on it, in a box that starts for the first time."""
    forwards = {("tcp", 8765): free_port()}
    box = Machine(image, tmp_path_factory.mktemp("box"), forwards=forwards)
    box.put_boot_file("handset.toml", SETTINGS)
    with box:
        yield box
