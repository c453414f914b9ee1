"""A board, and the appliance on it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from image.signing import signing
from tests.loader.board import Appliance, Board


@pytest.fixture
def appliance() -> Iterator[Appliance]:
    appliance = Appliance()
    yield appliance
    appliance.close()


@pytest.fixture
def board(tmp_path: Path, appliance: Appliance) -> Board:
    (tmp_path / "run").mkdir()
    shutil.copyfile(signing({}, tmp_path / "keys").authority, tmp_path / "run/keyring.pem")
    return Board(tmp_path, appliance)
