"""Whatever stands in a history, every API gets a conversation that it takes: judged by the fakes' own rules."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.interfaces import ToolDeclaration
from appliance.providers.llm import gemini_messages, openai_chat, openai_responses
from appliance.providers.llm.conversation import Calls, Text, steps, tool_name
from appliance.providers.llm.openai_settings import Settings
from appliance.stages import Prompt, Remembered, Said, ToolUse
from tests.fakes.gemini_generate import check_generate
from tests.fakes.openai_chat import check_chat, check_responses

GEMINI = gemini_messages.Settings()
SIGNATURES = [b"one", b"\xff\xfe??", b""]
KNOWN = frozenset(base64.b64encode(one).decode() for one in SIGNATURES)
SEALED = frozenset({"sealed-1", "sealed-2"})

wild = st.text(st.characters(codec=None, categories=None), max_size=40)
ids = st.one_of(wild, st.sampled_from(["call_1", "0", "", "call_0000", "call_0001", "x" * 90]))
json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | wild,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(wild, inner, max_size=3),
    max_leaves=6,
)
documents = st.one_of(
    wild,
    st.dictionaries(wild, json_values, max_size=3).map(json.dumps),
    json_values.map(json.dumps),
    st.sampled_from(["", "{", "[1]", "null", '{"a": 1e999}', "[" * 2_000, '{"a": "\\ud800"}']),
)
sealed_items = st.fixed_dictionaries({"id": st.just("rs_1"), "sealed": st.sampled_from(sorted(SEALED))})
opaques = st.fixed_dictionaries(
    {},
    optional={
        "step": st.sampled_from(["a", "b", "", 3, None]),
        "gemini": st.one_of(
            st.fixed_dictionaries(
                {"model": st.sampled_from([GEMINI.model_name, "another", 4])},
                optional={
                    "signature": st.sampled_from([base64.b64encode(one).decode() for one in SIGNATURES]),
                    "first": st.booleans(),
                },
            ),
            json_values,
        ),
        "openai": st.one_of(
            st.fixed_dictionaries(
                {"model": st.sampled_from(["gpt-6-luna", "another"])},
                optional={"reasoning": st.lists(sealed_items | json_values, max_size=2) | json_values},
            ),
            json_values,
        ),
        "unheard of": json_values,
    },
)
said = st.builds(Said, st.sampled_from(["user", "assistant"]), wild)
used = st.builds(ToolUse, ids, wild, documents, documents, opaques)
histories: st.SearchStrategy[list[Remembered]] = st.lists(said | used, max_size=10)


def _prompt(items: list[Remembered]) -> Prompt:
    return Prompt(
        items, "Be brief. \ud800", [ToolDeclaration("get_time", "The time.", {"type": "object"})], "who"
    )


@pytest.mark.slow
@given(histories)
@settings(max_examples=80, deadline=None)
def test_chat_completions_take_any_history(items):
    for base_url in ("", "http://127.0.0.1:1/v1"):
        body = openai_chat.request(Settings(base_url=base_url), _prompt(items))
        check_chat(json.loads(json.dumps(body, allow_nan=False)))
        assert _tools_in(str(body)) >= sum(isinstance(item, ToolUse) for item in items)


@pytest.mark.slow
@given(histories)
@settings(max_examples=80, deadline=None)
def test_responses_take_any_history(items):
    for reasoning in ("", "low"):
        body = openai_responses.request(Settings.model_validate({"reasoning": reasoning}), _prompt(items))
        check_responses(json.loads(json.dumps(body, allow_nan=False)), SEALED)


@pytest.mark.slow
@given(histories)
@settings(max_examples=80, deadline=None)
def test_gemini_takes_any_history(items):
    prompt = _prompt(items)
    body = {
        "contents": json.loads(json.dumps(gemini_messages.contents(GEMINI, prompt), default=_on_the_wire))
    }
    if _first_of_a_step_is_unsigned(items):
        return
    check_generate(body, GEMINI.model_name, KNOWN)


def _on_the_wire(signature: bytes) -> str:
    return base64.urlsafe_b64encode(signature).decode()


def _first_of_a_step_is_unsigned(items: list[Remembered]) -> bool:
    """A model that gave no signature with its first call wants none back; the fake's models always give one."""
    known = [item.opaque.get("gemini") for item in items if isinstance(item, ToolUse)]
    return any(isinstance(one, dict) and one.get("first") and not one.get("signature") for one in known)


def _tools_in(body: str) -> int:
    return body.count("'tool_call_id'")


@pytest.mark.slow
@given(histories)
@settings(deadline=None)
def test_every_call_keeps_its_outcome_and_every_word_its_place(items):
    found = steps(items)
    outcomes = [call for step in found if isinstance(step, Calls) for call in step.calls]
    assert len(outcomes) == sum(isinstance(item, ToolUse) for item in items)
    assert len({call.call_id for call in outcomes}) == len(outcomes)
    assert [tool_name(item.tool) for item in items if isinstance(item, ToolUse)] == [
        call.tool for call in outcomes
    ]
    assert all(step.text.strip() for step in found if isinstance(step, Text))


def test_neighbours_of_one_role_are_one_step():
    found = steps(
        [Said("user", "a"), Said("user", ""), Said("user", "b"), Said("assistant", "c"), Said("user", "d")]
    )
    assert found == [Text("user", "a\nb"), Text("assistant", "c"), Text("user", "d")]


def test_calls_of_one_answer_stand_together_and_others_apart():
    def call(name: str, step: str) -> ToolUse:
        return ToolUse(name, "look", "{}", "{}", {"step": step} if step else {})

    found = steps(
        [Said("user", "a"), call("1", "x"), call("2", "x"), call("3", "y"), call("4", ""), call("5", "")]
    )
    grouped = [[one.call_id for one in step.calls] for step in found if isinstance(step, Calls)]
    assert grouped == [["1", "2"], ["3"], ["4"], ["5"]]


def test_what_the_model_thought_goes_back_to_it_and_to_no_other():
    use = ToolUse(
        "call_123456",
        "look",
        "{}",
        "{}",
        {
            "openai": {"model": "gpt-6-luna", "reasoning": [{"id": "rs_1", "sealed": "sealed-1"}]},
            "gemini": {
                "model": GEMINI.model_name,
                "first": True,
                "signature": base64.b64encode(b"mine").decode(),
            },
        },
    )
    prompt = Prompt([Said("user", "look"), use])

    def kinds(**given: Any) -> list[str]:
        return [item["type"] for item in openai_responses.request(Settings(**given), prompt)["input"]]

    calling = ["function_call", "function_call_output"]
    assert kinds(reasoning="low") == ["message", "reasoning", *calling]
    assert kinds(reasoning="low", model="gpt-6-sol") == ["message", *calling]
    assert kinds() == ["message", *calling]

    def signature(model: str) -> bytes:
        parts = gemini_messages.contents(gemini_messages.Settings(model=model), prompt)[1]["parts"]
        return bytes(parts[0]["thought_signature"])

    assert signature("") == b"mine"
    assert base64.urlsafe_b64encode(signature("gemini-3.8-flash")) == b"skip_thought_signature_validator"


def test_the_default_model_does_not_think_and_another_is_left_to_itself():
    assert openai_chat.request(Settings(), Prompt([]))["reasoning_effort"] == "none"
    assert "reasoning_effort" not in openai_chat.request(Settings(model="gpt-4.1"), Prompt([]))
    assert "reasoning_effort" not in openai_chat.request(Settings(base_url="http://10.0.0.2/v1"), Prompt([]))


def test_limits_have_the_name_that_each_server_knows():
    own = Settings(base_url="http://10.0.0.2:8080/v1", max_output_tokens=50)
    assert openai_chat.request(own, Prompt([]))["max_tokens"] == 50
    assert openai_chat.request(Settings(max_output_tokens=50), Prompt([]))["max_completion_tokens"] == 50
    assert "prompt_cache_key" not in openai_chat.request(own, Prompt([], user="who"))
    assert openai_responses.request(Settings(), Prompt([], user="who"))["prompt_cache_key"] == "who"
