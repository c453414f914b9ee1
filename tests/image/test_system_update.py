"""A booted box takes a whole system into its other slot: keeps one that is well, leaves one that is not, or is half."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.image.control import client, converse, said
from tests.image.machine import Machine
from tests.image.systems import Web, another

SECONDS = 3600.0
GOOD, BROKEN = "9.1", "9.2"
ENDS = "exit 70"
"""In place of the daemon."""
PART = 100 << 20
"""Of the 1280 MiB of a system."""
KEPT = "cat /etc/machine-id /etc/hostname /etc/handset/conf.d/60-setup.toml"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("systems")


@pytest.fixture(scope="module")
def web(folder: Path) -> Iterator[Web]:
    with Web(folder) as web:
        yield web


def running(box: Machine) -> dict[str, Any]:
    """What the box says of its systems."""
    return dict(json.loads(box.shell("handset update --json"))["system"])


def take(box: Machine, web: Web, bundle: Path) -> None:
    """Has the box write the bundle, and waits until it switches itself off and on."""
    path = web.fetched(box, bundle.name, "/data")
    box.shell(f"handset update {path}", seconds=SECONDS)
    box.restarts(SECONDS)
    box.shell(f"rm {path}")


def settled(box: Machine, version: str, slot: str) -> bool:
    """Whether it is told what became of an update to `version`, after which `slot` runs."""
    now = running(box)
    return bool(now["last"]) and (now["last"]["version"], now["slot"]) == (version, slot)


def written(box: Machine) -> int:
    """Bytes that went to the other system's partition since the start."""
    return int(box.shell("cat /sys/class/block/vda3/stat").split()[6]) * 512


def test_a_plug_that_is_pulled_while_it_is_written_leaves_the_system_that_runs(
    box: Machine, image: Path, folder: Path, web: Web
):
    box.ready(path="/ready")
    path = web.fetched(box, another(image, folder, GOOD).name, "/data")
    box.shell(f"systemd-run --unit=writing handset update {path}")
    box.until(lambda: written(box) > PART, "a part of it is written", seconds=SECONDS)
    box.pull_the_plug()
    box.start()
    box.ready(path="/ready")
    box.until(lambda: settled(box, GOOD, "A"), "it is told what became of it", seconds=SECONDS)
    after = running(box)
    assert after["last"]["outcome"] == "stepped_back"
    assert "the power went" in after["last"]["reason"]
    assert "BOOT_B_LEFT=0" in box.shell("fw_printenv")
    box.shell(f"rm {path}")


async def test_the_same_system_is_then_written_whole_started_and_kept(
    box: Machine, secret: str, folder: Path, web: Web
):
    box.ready(path="/ready")
    kept = box.shell(KEPT)
    assert running(box)["slot"] == "A"
    async with client(box, secret) as control:
        session = await converse(control, "what time is it")
        told = await said(control, session)
    take(box, web, folder / f"{GOOD}.raucb")
    box.until(lambda: running(box)["last"]["outcome"] == "updated", "it has proved itself", seconds=SECONDS)
    after = running(box)
    assert (after["slot"], after["version"], after["trial"]) == ("B", GOOD, False)
    assert "BOOT_ORDER=B A" in box.shell("fw_printenv")
    assert box.shell(KEPT) == kept
    async with client(box, secret) as control:
        assert await said(control, session) == told


def test_one_whose_daemon_does_not_live_is_left_for_the_one_before(
    box: Machine, image: Path, folder: Path, web: Web
):
    take(box, web, another(image, folder, BROKEN, run=ENDS))
    assert running(box)["version"] == BROKEN
    box.restarts(SECONDS)
    box.ready(path="/ready")
    box.until(lambda: settled(box, BROKEN, "B"), "it is told what became of it", seconds=SECONDS)
    after = running(box)
    assert (after["slot"], after["version"], after["last"]["outcome"]) == ("B", GOOD, "stepped_back")
    assert "taken back" in box.shell("handset doctor", check=False)
