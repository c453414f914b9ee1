"""What every language model of the chain owes: its calls of tools, and what it takes back of them."""

import asyncio

import pytest

from appliance.stages import AnswerCall, AnswerCut, AnswerText, AnswerUsage, Prompt, Remembered, Said, ToolUse
from tests.contract.llm.services import answer, calls, said, used
from tests.fakes.streamed_answers import Plan, all_of


async def test_a_call_that_was_cut_off_is_no_call(cloud, model):
    cloud.will_call("get_time", '{"zone": "Eur', reason="length")
    parts = await answer(model)
    assert calls(parts) == []
    assert AnswerCut("length") in parts


async def test_a_call_is_whole_and_its_outcome_is_taken(cloud, model):
    cloud.will_call("get_time", {"zone": "UTC"})
    (call,) = calls(await answer(model))
    assert (call.tool, call.arguments.replace(" ", "")) == ("get_time", '{"zone":"UTC"}')
    cloud.will_say("It is noon.")
    assert said(await answer(model, used(call))) == "It is noon."


async def test_text_before_a_call_is_told_before_it(cloud, model):
    cloud.will_answer(Plan(["Let me ", "see."], [("get_time", {})]))
    parts = await answer(model)
    assert [type(part) for part in parts] == [AnswerText, AnswerText, AnswerCall, AnswerUsage]
    assert said(await answer(model, Said("assistant", "Let me see."), used(calls(parts)[0]))) == "Yes."


async def test_several_calls_at_once_are_several_calls(cloud, model):
    cloud.will_answer(
        Plan(calls=[("get_time", {"zone": zone}) for zone in ("UTC", "CET", "JST")], thoughts="hm")
    )
    found = calls(await answer(model))
    assert [call.arguments.replace(" ", "") for call in found] == [
        f'{{"zone":"{z}"}}' for z in ("UTC", "CET", "JST")
    ]
    assert len({call.call_id for call in found}) == 3
    assert said(await answer(model, *map(used, found))) == "Yes."
    # ... and are taken too where one of them was forgotten, or they are told in another order.
    assert said(await answer(model, *map(used, found[1:]))) == "Yes."
    assert said(await answer(model, *map(used, reversed(found)))) == "Yes."


async def test_calls_one_after_another_are_all_taken_back(cloud, model):
    past: list[Remembered] = []
    for number in range(3):
        cloud.will_call("get_time", {"zone": str(number)}, thoughts="hm")
        (call,) = calls(await answer(model, *past))
        past.append(used(call))
    assert said(await answer(model, *past, Said("assistant", "Noon."), Said("user", "and now"))) == "Yes."


async def test_what_nobody_would_write_into_a_history_is_taken(cloud, model):
    odd: list[Remembered] = [
        Said("assistant", "Good morning."),
        Said("assistant", " "),
        ToolUse(
            "same", "get time!", "{broken", "no json \x00 \ud800", {"openai": 7, "gemini": "x", "step": 3}
        ),
        ToolUse("same", "", "[1]", "", {"step": "one"}),
        ToolUse("", "get_time" * 20, '{"a": NaN}', '{"b": 1}', {"step": "one"}),
        Said("user", ""),
        Said("user", "so\ud83d?"),
        Said("assistant", "Well"),
    ]
    assert said(await answer(model, *odd)) == "Yes."
    async with asyncio.timeout(10):
        assert said(await all_of(model.answer(Prompt([])))) == "Yes."
        assert said(await all_of(model.answer(Prompt(odd)))) == "Yes."


async def test_malformed_arguments_are_handed_on_as_they_are(cloud, model, service):
    if service.name == "gemini":
        pytest.skip("its arguments are an object by the protocol")
    cloud.will_call("get_time", '{"zone": UTC}')
    (call,) = calls(await answer(model))
    assert call.arguments == '{"zone": UTC}'
    assert said(await answer(model, used(call, '{"error": "malformed arguments"}'))) == "Yes."
