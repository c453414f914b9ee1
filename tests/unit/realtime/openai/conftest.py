"""The service that the provider is tried at."""

from collections.abc import AsyncIterator

import pytest

from tests.fakes.openai_realtime import FakeOpenAi


@pytest.fixture
async def cloud() -> AsyncIterator[FakeOpenAi]:
    async with FakeOpenAi() as cloud:
        yield cloud
