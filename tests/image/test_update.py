"""A booted box takes a release of the application, does not stay with a broken one, and goes on after it."""

import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

from provisioning.release.bundle import manifest_of, pack
from provisioning.release.signature import public_of
from tests.fakes.releases import new_key
from tests.image.machine import Machine
from tests.image.systems import Web
from tests.rig.booted_system import thin_release

SECONDS = 2400.0
HOME = "usr/lib/handset/release"
ENDS = "exit 70"
"""In place of the daemon."""


class Publisher:
    """Makes releases of that of the box, signs them, and offers them on this machine."""

    def __init__(self, box: Machine, folder: Path, web: Web) -> None:
        self._folder = folder
        self._web = web
        self._key = new_key()
        self._box = box
        box.shell("mkdir -p /etc/handset/release-keys")
        box.console.put("/etc/handset/release-keys/test.pem", public_of(self._key))
        box.shell(f"cd / && tar -cf /run/factory.tar {HOME}/bin {HOME}/site/handset-*")
        with tarfile.open(fileobj=BytesIO(box.console.get("/run/factory.tar"))) as tar:
            tar.extractall(folder / "factory", filter="data")

    def publish(self, version: str, run: str = "") -> str:
        """A signed release; its path in the box, which has fetched it."""
        tree = thin_release(self._folder / "factory", self._folder / version, version, run=run)
        name = f"handset-{version}.tar.xz"
        pack(
            *(tree, manifest_of(tree, version, "aarch64", "3.13"), self._key),
            self._folder / name,
            preset=0,
        )
        return self._web.fetched(self._box, name, "/run")


@pytest.fixture(scope="module")
def publisher(box: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Publisher]:
    folder = tmp_path_factory.mktemp("releases")
    with Web(folder) as web:
        yield Publisher(box, folder, web)


def in_force(box: Machine) -> str:
    return box.shell("readlink -f /opt/handset/current")


def test_a_good_release_is_kept(box: Machine, publisher: Publisher):
    path = publisher.publish("0.9.1")
    said = box.shell(f"handset update {path}", seconds=SECONDS)
    assert "version 0.9.1 is in force" in said
    assert in_force(box) == "/opt/handset/releases/0.9.1"
    assert "0.9.1" in box.shell("handset version")


def test_a_broken_release_is_taken_back_and_the_box_answers(box: Machine, publisher: Publisher):
    path = publisher.publish("0.9.2", ENDS)
    said = box.shell(f"handset update {path}; echo exit $?", seconds=SECONDS)
    assert said.endswith("exit 1")
    assert "it ended by itself" in said
    assert in_force(box) == "/opt/handset/releases/0.9.1"
    box.ready(path="/ready")
    assert "stepped_back" in box.shell("handset update --json") or "taken back" in box.shell("handset update")
