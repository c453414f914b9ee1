"""A booted box takes a whole system into its other slot: it keeps one that is well, and leaves one that is not."""

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


def settled(box: Machine, version: str) -> bool:
    last = running(box)["last"]
    return bool(last) and last["version"] == version


async def test_another_system_is_written_started_and_kept(
    box: Machine, secret: str, image: Path, folder: Path, web: Web
):
    box.ready(path="/ready")
    kept = box.shell(KEPT)
    assert running(box)["slot"] == "A"
    async with client(box, secret) as control:
        session = await converse(control, "what time is it")
        told = await said(control, session)
    take(box, web, another(image, folder, GOOD))
    box.until(lambda: settled(box, GOOD), "the new system has proved itself", seconds=SECONDS)
    after = running(box)
    assert (after["slot"], after["version"], after["trial"]) == ("B", GOOD, False)
    assert after["last"]["outcome"] == "updated"
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
    box.until(lambda: settled(box, BROKEN), "it is told what became of it", seconds=SECONDS)
    after = running(box)
    assert (after["slot"], after["version"], after["last"]["outcome"]) == ("B", GOOD, "stepped_back")
    assert "taken back" in box.shell("handset doctor", check=False)
