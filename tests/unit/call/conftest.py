"""What the tests of calls share."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.rig.call_desk import CallDesk


@pytest_asyncio.fixture
async def office() -> AsyncIterator[CallDesk]:
    office = CallDesk()
    await office.calls.start()
    yield office
    await office.calls.stop()
