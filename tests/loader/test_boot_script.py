"""The boot loader's script, run by U-Boot on an emulated board (make boot-loader): counters, the way back, damage."""

import contextlib
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from image import environment, loader
from tests.loader.cards import card, device_tree, emulator, variables

UBOOT = os.environ.get("HANDSET_UBOOT", "")
pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not UBOOT, reason="U-Boot in an emulator: make boot-loader"),
]
SECONDS = float(os.environ.get("HANDSET_UBOOT_SECONDS", "900"))
_START = re.compile(r"^handset: slot (\w), tries left A (\w+) B (\w+): (.*?)\r?$", re.MULTILINE)


def starts(image: Path, count: int, **board: Path) -> list[tuple[str, ...]]:
    """The first `count` starts of a board whose systems start it anew: slot, tries left of A and B, kernel's words.

    A boot loader that stops at its prompt is an AssertionError.
    """
    log = image.with_name("serial.log")
    log.touch()
    with subprocess.Popen(emulator(image, "console=ttyAMA0 ro", log, Path(UBOOT), **board)) as machine:
        try:
            until = time.monotonic() + SECONDS
            while time.monotonic() < until and machine.poll() is None:
                said = log.read_text(errors="replace")
                found = _START.findall(said)
                if len(found) >= count:
                    return [tuple(start) for start in found[:count]]
                if "=> " in said:
                    break
                time.sleep(0.2)
        finally:
            machine.kill()
    raise AssertionError(log.read_text(errors="replace")[-3000:])


@pytest.fixture
def noise(tmp_path: Path) -> Iterator[None]:
    """The serial port of the test's board picks up what nobody typed, all the time."""
    over = threading.Event()

    def make() -> None:
        with socket.socket(socket.AF_UNIX) as port:
            while not over.wait(0.1) and port.connect_ex(str(tmp_path / "port")):
                pass
            port.settimeout(0.1)
            with contextlib.suppress(OSError):  # the board has ended
                while not over.is_set():
                    port.sendall(b"\xff\x00 \r")
                    with contextlib.suppress(TimeoutError):  # what nobody reads would stop the emulator
                        port.recv(65536)

    maker = threading.Thread(target=make)
    maker.start()
    yield
    over.set()
    maker.join(10.0)


def test_a_system_that_always_fails_gives_way_after_three_tries_and_comes_back_when_all_have_failed(tmp_path):
    first = environment.encode(variables("B A", 1, 3), 255)
    image = card(tmp_path, "AB", [first, b""])
    seen = starts(image, 5)
    assert [start[:3] for start in seen] == [
        ("B", "1", "2"), ("B", "1", "1"), ("B", "1", "0"), ("A", "0", "0"), ("A", "2", "3"),
    ]  # fmt: skip
    assert seen[0][3] == "console=ttyAMA0 ro root=PARTUUID=48414e44-03 rauc.slot=B"
    assert seen[3][3] == "console=ttyAMA0 ro root=PARTUUID=48414e44-02 rauc.slot=A"
    assert loader.read_variables(image) == variables("A B", 2, 3)


def test_a_slot_without_a_system_is_passed_over_and_a_damaged_copy_of_the_variables_too(tmp_path):
    whole = environment.encode(variables("B A", 3, 3), 9)
    damaged = environment.encode(variables("A B", 3, 3), 10)[:-1] + b"X"
    image = card(tmp_path, "A", [whole, damaged])
    assert [start[:3] for start in starts(image, 2)] == [("B", "3", "2"), ("A", "2", "0")]


def test_of_two_whole_copies_the_later_is_in_force(tmp_path):
    copies = [environment.encode(variables("A B", 3, 3), 255), environment.encode(variables("B A", 3, 2), 0)]
    assert starts(card(tmp_path, "AB", copies), 1)[0][:3] == ("B", "3", "1")


def test_a_card_without_variables_starts_the_first_system(tmp_path):
    assert starts(card(tmp_path, "A", [b"", b""]), 1)[0][:3] == ("A", "2", "3")


def test_noise_on_an_open_serial_port_does_not_keep_it_from_starting(tmp_path, noise):
    image = card(tmp_path, "A", [b"", b""])
    assert starts(image, 1, tree=device_tree(tmp_path))[0][:3] == ("A", "2", "3")


def test_such_noise_would_without_what_our_cards_tell_the_boot_loader(tmp_path, noise):
    with pytest.raises(AssertionError, match="=> "):
        starts(card(tmp_path, "A", [b"", b""]), 1)
