"""The image on the SD card of an emulated Raspberry Pi 3: its processor, its card's controller, its GPIO.

There is no network and no sound there.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.image.board import RASPI3B
from tests.image.machine import CARD_BYTES, Machine

SECONDS = 1800.0


@pytest.fixture(scope="module")
def board(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    board = Machine(image, tmp_path_factory.mktemp("board"), forwards={}, board=RASPI3B)
    board.put_boot_file("handset.toml", '[system]\nhostname = "pantry"\n')
    with board:
        yield board


def test_it_starts_from_the_card(board: Machine):
    board.until(
        lambda: board.shell("systemctl is-active handset", check=False) == "active",
        "the daemon is up",
        seconds=SECONDS,
    )
    print(f"the daemon is up {board.uptime():.0f} s after it was switched on")
    assert re.search(r"^/dev/mmcblk0p2 / ext4 ro", board.shell("cat /proc/self/mounts"), re.MULTILINE)
    assert "Raspberry Pi 3 Model B" in board.shell("tr -d '\\0' < /proc/device-tree/model")


def test_the_data_partition_has_grown_over_the_card(board: Machine):
    assert int(board.shell("df --output=size -B1 /data | tail -n 1")) > 0.4 * CARD_BYTES


def test_the_settings_on_the_card_are_in_force(board: Machine):
    assert board.shell("hostname") == "pantry"


def test_the_daemon_finds_the_header(board: Machine):
    state = board.shell("handset status --json")
    assert '"ready"' in state
