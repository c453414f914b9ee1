"""What the tests of settings from a server share."""

from collections.abc import Iterator

import pytest

from appliance.config.schema import Provisioning
from provisioning.effects import Effects
from tests.rig.authority import Authority
from tests.rig.settings_server import Server


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture
def server(authority) -> Iterator[Server]:
    found = Server(authority.certify("localhost"))
    yield found
    found.close()


@pytest.fixture
def plain() -> Iterator[Server]:
    found = Server(None)
    yield found
    found.close()


@pytest.fixture
def box(tmp_path):
    interface = tmp_path / "root/sys/class/net/eth0"
    interface.mkdir(parents=True)
    (interface / "address").write_text("B8:27:EB:12:3F:2A\n")
    return Effects(tmp_path / "root")


@pytest.fixture
def trusting(authority):
    return Provisioning(ca=str(authority.file))
