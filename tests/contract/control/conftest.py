"""A control server at which somebody may call, and a client that has been greeted."""

import pytest

from tests.unit.control.parts import desk, receive


@pytest.fixture
async def here(tmp_path):
    async with desk(tmp_path) as running:
        yield running


@pytest.fixture
async def client(here):
    async with here.dial() as connection:
        hello = await receive(connection)
        assert hello["type"] == "hello"
        yield connection
