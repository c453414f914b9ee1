"""The language model `openai` against what the many servers do that speak as OpenAI does."""

import asyncio
import json
import time
from collections.abc import AsyncIterator

import pytest

from appliance.errors import CredentialsRejected, ProviderUnavailable, SetupRejected
from appliance.interfaces import ToolDeclaration
from appliance.providers.llm.openai import OpenAiLanguageModel
from appliance.stages import AnswerCut, AnswerPart, AnswerText, AnswerUsage, Prompt, Said, ToolUse
from tests.contract.llm.services import calls, said
from tests.fakes.openai_chat import FORMS, FakeOpenAiChat
from tests.fakes.streamed_answers import Plan, all_of

ASKED = [Said("user", "what time is it")]


@pytest.fixture
async def cloud() -> AsyncIterator[FakeOpenAiChat]:
    async with FakeOpenAiChat() as fake:
        yield fake
        assert fake.violations == []


async def answer(model: OpenAiLanguageModel, *items: ToolUse) -> list[AnswerPart]:
    async with asyncio.timeout(20):
        return await all_of(model.answer(Prompt([*ASKED, *items], "Be brief.", user="conversation-1")))


def _model(cloud: FakeOpenAiChat, **more: object) -> OpenAiLanguageModel:
    return OpenAiLanguageModel({"base_url": cloud.base_url, "api_key": cloud.key, **more})


@pytest.mark.parametrize("api", ["auto", "chat", "responses"])
async def test_a_server_of_ones_own_needs_no_key_and_is_told_none(api, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    async with FakeOpenAiChat(keyless=True) as cloud:
        model = OpenAiLanguageModel({"base_url": cloud.base_url, "api": api})
        assert said(await answer(model)) == "Yes."
        assert cloud.last.path == ("/v1/responses" if api == "responses" else "/v1/chat/completions")
        assert "authorization" not in cloud.last.headers
        assert cloud.violations == []
        await model.close()


async def test_a_server_of_ones_own_may_want_a_key(cloud, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    model = OpenAiLanguageModel({"base_url": cloud.base_url})
    with pytest.raises(CredentialsRejected):
        await answer(model)
    await model.close()
    monkeypatch.setenv("OPENAI_API_KEY", cloud.key)
    assert said(await answer(model)) == "Yes."
    await model.close()


@pytest.mark.parametrize(
    ("offers", "asked"),
    [
        (["qwen3:8b"], "qwen3:8b"),
        (["nomic-embed-text", "llama3.2", "qwen3:8b"], "llama3.2"),
        (["qwen3:8b", "gpt-6-luna"], "gpt-6-luna"),
        (404, "gpt-6-luna"),
    ],
)
async def test_without_a_model_in_the_configuration_the_server_is_asked_what_it_has(cloud, offers, asked):
    cloud.offers = offers
    cloud.models = {asked}
    model = _model(cloud)
    for _ in range(2):
        assert said(await answer(model)) == "Yes."
        assert cloud.last.body["model"] == asked
    assert cloud.listed == 1
    await model.close()


async def test_a_model_in_the_configuration_is_asked_and_no_other(cloud):
    model = _model(cloud, model="gpt-6-sol")
    await model.warm()
    assert said(await answer(model)) == "Yes."
    assert cloud.last.body["model"] == "gpt-6-sol"
    assert cloud.listed == 0
    await model.close()


async def test_a_server_without_a_model_says_so(cloud):
    cloud.offers = []
    model = _model(cloud)
    await model.warm()
    with pytest.raises(SetupRejected, match="has no model") as told:
        await answer(model)
    assert "llm_model" in told.value.hint
    cloud.offers, cloud.models = ["qwen3:8b"], {"qwen3:8b"}
    assert said(await answer(model)) == "Yes."
    await model.close()


async def test_a_server_that_loads_its_model_still_is_only_away(cloud):
    cloud.offers = 503
    model = _model(cloud)
    with pytest.raises(ProviderUnavailable):
        await answer(model)
    await model.close()


async def test_a_server_that_has_another_model_now_is_asked_for_its_list_again(monkeypatch):
    async with FakeOpenAiChat() as cloud:
        cloud.offers, cloud.models = ["qwen3:8b"], {"qwen3:8b"}
        model = _model(cloud)
        assert said(await answer(model)) == "Yes."
        cloud.offers, cloud.models = ["llama3.2"], {"llama3.2"}
        with pytest.raises(SetupRejected):
            await answer(model)
        assert said(await answer(model)) == "Yes."
        assert cloud.last.body["model"] == "llama3.2"
        await model.close()


async def test_a_call_that_the_server_did_not_read_out_of_the_text_is_made(cloud):
    tool = ToolDeclaration("get_time", "The time.", {"type": "object", "properties": {}})
    model = _model(cloud)
    cloud.will_say('I look. <tool_call>{"name": "get_time", "arguments": {}}</tool_call>', pieces=9)
    async with asyncio.timeout(10):
        parts = await all_of(model.answer(Prompt(ASKED, tools=[tool])))
    assert said(parts).strip() == "I look."
    assert [call.tool for call in calls(parts)] == ["get_time"]
    await model.close()


@pytest.mark.parametrize("form", FORMS)
async def test_calls_are_whole_in_whatever_form_they_come(cloud, form):
    model = _model(cloud)
    wanted = [{"zone": "UTC"}, {"zone": "CET"}]
    if form in ("old", "no index in pieces"):
        wanted = wanted[:1]
    cloud.will_answer(Plan(calls=[("get_time", arguments) for arguments in wanted], form=form))
    found = calls(await answer(model))
    assert [(call.tool, json.loads(call.arguments)) for call in found] == [
        ("get_time", one) for one in wanted
    ]
    assert len({call.call_id for call in found}) == len(wanted)
    # The same ids, should it give the same, are other calls in the next answer.
    past = [ToolUse(call.call_id, call.tool, call.arguments, "{}", call.opaque) for call in found]
    cloud.will_answer(Plan(calls=[("get_time", wanted[0])], form=form))
    (again,) = calls(await answer(model, *past))
    assert again.call_id not in {call.call_id for call in found}
    await model.close()


async def test_the_same_tool_twice_without_arguments_is_two_calls(cloud):
    model = _model(cloud)
    cloud.will_answer(Plan(calls=[("get_time", {}), ("get_time", {})], form="one index, no id"))
    assert len(calls(await answer(model))) == 2
    await model.close()


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 100])
@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_thoughts_in_the_text_are_no_part_of_the_answer(cloud, api, size):
    model = _model(cloud, api=api)
    text = "<think>\nThe person wants <b>the secret</b> time.\n</think>\n\nIt is < noon."
    cloud.will_answer(Plan([text[at : at + size] for at in range(0, len(text), size)]))
    assert said(await answer(model)) == "It is < noon."
    await model.close()


async def test_a_thought_that_the_template_began_is_no_part_of_the_answer(cloud):
    model = _model(cloud, starts_thinking=True)
    cloud.will_say("the secret time </think> It is noon.", pieces=9)
    assert said(await answer(model)) == "It is noon."
    await model.close()


async def test_a_thought_that_never_ends_is_never_told(cloud):
    model = _model(cloud)
    cloud.will_say("<think>the secret time", reason="length")
    assert await answer(model) == [AnswerCut("length"), AnswerUsage(12, 5)]
    await model.close()


async def test_a_server_that_does_not_stream_is_understood(cloud):
    message = {
        "role": "assistant",
        "content": "It is noon.",
        "tool_calls": [
            {"id": "call_123456", "type": "function", "function": {"name": "look", "arguments": "{}"}}
        ],
    }
    body = {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4},
    }
    cloud.will_send(json.dumps(body).encode(), content_type="application/json")
    model = _model(cloud)
    parts = await answer(model)
    assert said(parts) == "It is noon."
    assert [call.tool for call in calls(parts)] == ["look"]
    assert parts[-1] == AnswerUsage(3, 4)
    await model.close()


async def test_content_in_parts_with_thoughts_among_them_is_understood(cloud):
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": "Noon."},
    ]
    chunk = {"choices": [{"index": 0, "delta": {"content": parts}, "finish_reason": "stop"}]}
    cloud.will_send(f"data: {json.dumps(chunk)}\n\n".encode())
    model = _model(cloud)
    assert said(await answer(model)) == "Noon."
    await model.close()


@pytest.mark.parametrize(
    ("end", "whole"),
    [
        (b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\n', True),
        (b"data: [DONE]\n\n", True),
        (b"data: [DONE]", True),
        (b"", False),
        (b'data: {"choices": [{"delta": {"content": ', False),
    ],
)
async def test_an_answer_is_whole_when_the_server_says_so(cloud, end, whole):
    cloud.will_send(b'data: {"choices": [{"delta": {"content": "Noon."}}]}\n\n', end)
    model = _model(cloud)
    if whole:
        assert said(await answer(model)) == "Noon."
    else:
        with pytest.raises(ProviderUnavailable, match="broke off"):
            await answer(model)
    await model.close()


async def test_usage_that_does_not_come_is_not_waited_for_long(cloud):
    cloud.pace = 30.0
    cloud.will_send(
        b'data: {"choices": [{"delta": {"content": "Noon."}, "finish_reason": "stop"}]}\n\n', b": \n\n"
    )
    model = _model(cloud)
    began = time.monotonic()
    assert said(await answer(model)) == "Noon."
    assert time.monotonic() - began < 15
    await model.close()


async def test_what_is_filtered_before_it_is_answered_is_an_answer(cloud):
    cloud.fail(400, "content_filter")
    model = _model(cloud)
    assert await answer(model) == [AnswerCut("filter")]
    await model.close()


async def test_a_conversation_that_is_too_long_is_told_for_what_it_is(cloud):
    cloud.fail(400, "context_length_exceeded")
    model = _model(cloud)
    with pytest.raises(SetupRejected, match="too long") as told:
        await answer(model)
    assert "context" in told.value.hint
    await model.close()


async def test_absurd_values_are_passed_over(cloud):
    odd = [
        {"choices": "none"},
        {"choices": [7, None, {"index": 5, "delta": {"content": "of another choice"}}]},
        {
            "choices": [
                {"index": 0, "delta": {"content": 7, "tool_calls": [3, {"function": "x"}, {"index": "a"}]}}
            ]
        },
        {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}}]},
        {
            "choices": [{"index": 0, "delta": None}],
            "usage": {"prompt_tokens": "many", "completion_tokens": -1},
        },
        {"choices": [{"index": 0, "delta": {"content": "Noon."}, "finish_reason": "stop"}]},
        {"usage": {"prompt_tokens": True, "completion_tokens": 10**30}},
    ]
    cloud.will_send(*(f"data: {json.dumps(one)}\n\n".encode() for one in odd), b"data: [DONE]\n\n")
    model = _model(cloud)
    assert await answer(model) == [AnswerText("Noon.")]
    await model.close()


async def test_how_much_it_thinks_is_asked_for(cloud):
    for api, key, value in (
        ("chat", "reasoning_effort", "low"),
        ("responses", "reasoning", {"effort": "low"}),
    ):
        model = _model(cloud, api=api, reasoning="low")
        assert said(await answer(model)) == "Yes."
        assert cloud.last.body[key] == value
        await model.close()


async def test_a_tool_is_declared_as_it_is(cloud):
    tool = ToolDeclaration("get_time", "The time.", {"type": "object", "properties": {}})
    for api in ("chat", "responses"):
        model = _model(cloud, api=api)
        async with asyncio.timeout(10):
            await all_of(model.answer(Prompt(ASKED, tools=[tool])))
        assert json.dumps(tool.parameters) in json.dumps(cloud.last.body["tools"])
        await model.close()
