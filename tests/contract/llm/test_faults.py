"""What every language model of the chain makes of the faults of its service."""

import asyncio

import pytest

from appliance.errors import (
    ApplianceError,
    CredentialsRejected,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    SetupRejected,
)
from appliance.stages import AnswerPart
from tests.contract.llm.services import ASKED, answer, said
from tests.fakes.streamed_answers import STEPS, Where


@pytest.mark.parametrize("where", STEPS)
async def test_a_socket_that_is_killed_at_any_step_is_a_fault_and_the_next_answer_comes(
    cloud, model, where: Where
):
    cloud.break_at(where)
    with pytest.raises(ProviderUnavailable) as told:
        await answer(model)
    assert not isinstance(told.value, RateLimited)
    assert said(await answer(model)) == "Yes."


async def test_an_idle_connection_that_was_reset_is_not_used_again(cloud, model):
    assert said(await answer(model)) == "Yes."
    cloud.drop()
    await asyncio.sleep(0.05)
    assert said(await answer(model)) == "Yes."


async def test_nothing_listens_for_a_while(cloud, model):
    cloud.refuse(0.3)
    with pytest.raises(ProviderUnavailable, match="nothing listens"):
        await answer(model)
    await asyncio.sleep(0.5)
    assert said(await answer(model)) == "Yes."


@pytest.mark.parametrize(
    ("befall", "meant"),
    [
        (lambda cloud: cloud.reject_credentials(), CredentialsRejected),
        (lambda cloud: cloud.fail(403), CredentialsRejected),
        (lambda cloud: cloud.quota(), QuotaExhausted),
        (lambda cloud: cloud.rate_limit(), RateLimited),
        (lambda cloud: cloud.fail(404, "model_not_found"), SetupRejected),
        (lambda cloud: cloud.fail(400, "invalid_request_error"), SetupRejected),
        (lambda cloud: cloud.fail(500, "server_error"), ProviderUnavailable),
        (lambda cloud: cloud.fail(503), ProviderUnavailable),
    ],
    ids=["key", "forbidden", "quota", "rate", "model", "request", "broken", "busy"],
)
async def test_a_refusal_is_told_for_what_it_is(cloud, model, befall, meant):
    befall(cloud)
    with pytest.raises(ApplianceError) as told:
        await answer(model)
    assert type(told.value) is meant
    assert told.value.__cause__ is not None
    assert "sentence" not in told.value.message
    assert said(await answer(model)) == "Yes."


async def test_when_to_come_again_is_told(cloud, model):
    cloud.rate_limit(7)
    with pytest.raises(RateLimited) as told:
        await answer(model)
    assert told.value.retry_after == 7


@pytest.mark.parametrize(
    ("code", "meant"),
    [
        ("server_error", ProviderUnavailable),
        ("rate_limit_exceeded", RateLimited),
        ("insufficient_quota", QuotaExhausted),
    ],
)
async def test_a_fault_in_the_middle_of_an_answer_is_told_for_what_it_is(cloud, model, code, meant):
    cloud.will_say("It is", error=code)
    heard: list[AnswerPart] = []

    async def hear() -> None:
        async for part in model.answer(ASKED):
            heard.append(part)  # noqa: PERF401 # what came before the fault is wanted

    with pytest.raises(ApplianceError) as told:
        await hear()
    assert said(heard) == "It is"
    assert type(told.value) is meant


async def test_a_wrong_key_is_refused_and_not_told(service, cloud):
    model = service.build(cloud, api_key="sk-wrong-key")
    with pytest.raises(CredentialsRejected) as told:
        await answer(model)
    assert "sk-wrong" not in f"{told.value.message} {told.value.hint}"
    await model.close()


async def test_an_unknown_model_is_refused(service, cloud):
    model = service.build(cloud, model="no-such-model")
    with pytest.raises(SetupRejected):
        await answer(model)
    assert len(cloud.violations) == 1
    cloud.violations.clear()
    await model.close()


async def test_a_web_page_is_no_answer(cloud, model):
    cloud.will_send(b"<html>log in to the hotel's network</html>", content_type="text/html")
    with pytest.raises(ProviderUnavailable):
        await answer(model)


async def test_a_body_of_noise_is_no_answer(cloud, model):
    cloud.will_send(bytes(range(256)) * 64)
    with pytest.raises(ProviderUnavailable):
        await answer(model)
    cloud.will_send(b"data: " + b"x" * 3_000_000 + b"\n\n")
    with pytest.raises(ProviderUnavailable):
        await answer(model)
    assert said(await answer(model)) == "Yes."
