"""An appliance's tree with a passphrase and a place for its backup."""

import pytest

from provisioning import sealing
from tests.unit.provisioning.backup.box import PASSPHRASE, Box


@pytest.fixture(autouse=True)
def cheap(monkeypatch):
    """A passphrase costs as little as it may: it is not what is looked at here."""
    monkeypatch.setitem(sealing.COST, "n", 1 << 8)


@pytest.fixture
def box(tmp_path):
    return Box(tmp_path / "box")


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "passphrase"
    path.write_text(PASSPHRASE + "\n")
    return ("--passphrase-file", str(path))


@pytest.fixture
def file(tmp_path):
    return str(tmp_path / "kitchen.handset")
