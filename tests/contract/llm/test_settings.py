"""Which settings a language model takes and hands on, and when it can be closed."""

import pytest

from appliance.errors import ConfigurationInvalid, CredentialsRejected
from tests.contract.llm.services import answer, said


async def test_settings_reach_the_service(service, cloud):
    model = service.build(cloud, max_output_tokens=200, temperature=0.3)
    assert said(await answer(model)) == "Yes."
    assert "200" in str(cloud.last.body)
    assert "0.3" in str(cloud.last.body)
    await model.close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"voice": "alloy"},
        {"temperature": 3},
        {"max_output_tokens": 0},
        {"first_timeout": 0},
        {"base_url": "x"},
    ],
)
def test_keys_and_values_that_cannot_be_are_refused(service, wrong):
    with pytest.raises(ConfigurationInvalid):
        service.model(wrong)


async def test_without_a_key_the_service_is_not_asked(service, monkeypatch):
    for name in ("OPENAI_API_KEY", "GOOGLE_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    model = service.model(dict(service.settings))
    with pytest.raises(CredentialsRejected, match="no key"):
        await answer(model)
    await model.close()


async def test_closing_is_harmless_at_any_time(service, cloud):
    model = service.build(cloud)
    await model.close()
    assert said(await answer(model)) == "Yes."
    await model.close()
    await model.close()
