"""Each language model at its service, over real HTTP."""

from collections.abc import AsyncIterator

import pytest

from appliance.stages import LanguageModel
from tests.contract.llm.services import SERVICES, Service
from tests.fakes.streamed_answers import StreamedAnswers


@pytest.fixture(params=SERVICES, ids=lambda service: service.name)
def service(request: pytest.FixtureRequest) -> Service:
    assert isinstance(request.param, Service)
    return request.param


@pytest.fixture
async def cloud(service: Service) -> AsyncIterator[StreamedAnswers]:
    async with service.fake() as fake:
        yield fake
        assert fake.violations == []


@pytest.fixture
async def model(service: Service, cloud: StreamedAnswers) -> AsyncIterator[LanguageModel]:
    built = service.build(cloud)
    await built.warm()
    yield built
    await built.close()
