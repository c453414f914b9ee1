"""Each service that speaks, and stages at it, over real sockets."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.contract.tts.services import SERVICES, Service
from tests.contract.tts.speaking import Speaker


@pytest.fixture(params=SERVICES, ids=str)
def service(request: pytest.FixtureRequest) -> Service:
    found: Service = request.param
    return found


@pytest.fixture
async def cloud(service: Service) -> AsyncIterator[Any]:
    before = asyncio.all_tasks()
    async with service.cloud() as running:
        yield running
        assert running.violations == []
    await asyncio.sleep(0)
    assert asyncio.all_tasks() - before <= {asyncio.current_task()}, "something was left behind"


@pytest.fixture
async def build(service: Service, cloud: Any) -> AsyncIterator[Speaker]:
    speaker = Speaker(service, cloud)
    yield speaker
    await speaker.close()
