"""What every language model of the chain owes: its answers, piece by piece and whole."""

import asyncio
import json

import pytest

from appliance.stages import AnswerCut, AnswerText, AnswerUsage
from tests.contract.llm.services import ASKED, answer, calls, said
from tests.fakes.streamed_answers import until


async def test_an_answer_comes_piece_by_piece_and_then_what_it_cost(cloud, model):
    cloud.will_say("It is noon.", pieces=3)
    parts = await answer(model)
    assert [type(part) for part in parts] == [AnswerText] * 3 + [AnswerUsage]
    assert said(parts) == "It is noon."
    assert parts[-1] == AnswerUsage(12, 5)


async def test_a_piece_is_told_before_the_next_one_is_written(cloud, model):
    cloud.stall_at("text")
    stream = model.answer(ASKED)
    async with asyncio.timeout(10):
        assert isinstance(await anext(stream), AnswerText)
    await stream.aclose()


async def test_nothing_is_said_where_the_model_says_nothing(cloud, model):
    cloud.will_be_silent()
    assert await answer(model) == [AnswerUsage(12, 5)]


async def test_a_very_long_answer_in_many_scripts_comes_whole(cloud, model):
    text = "Zwölf Uhr. 现在是中午。 الساعة الآن. 🕛 `code` <b>1 < 2</b> "
    text = (text * (10_000 // len(text) + 1))[:10_000]
    cloud.will_say(text, pieces=400)
    assert said(await answer(model)) == text


async def test_frames_that_are_chopped_anywhere_are_put_together(cloud, model):
    cloud.chop = 7
    cloud.will_say("Zwölf Uhr, 现在是中午 🕛.", pieces=4)
    cloud.will_call("get_time", {"zone": "Zürich 🕛"})
    assert said(await answer(model)) == "Zwölf Uhr, 现在是中午 🕛."
    assert json.loads(calls(await answer(model))[0].arguments) == {"zone": "Zürich 🕛"}


async def test_unknown_and_malformed_events_are_passed_over(cloud, model):
    cloud.garbage = True
    cloud.will_say("It is noon.", thoughts="a b")
    cloud.will_call("get_time", {"zone": "UTC"})
    assert said(await answer(model)) == "It is noon."
    assert [call.tool for call in calls(await answer(model))] == ["get_time"]
    assert model.passed_over["malformed"] > 0


async def test_thoughts_are_no_part_of_the_answer(cloud, model):
    cloud.will_say("It is noon.", thoughts="the person wants the secret time")
    parts = await answer(model)
    assert said(parts) == "It is noon."


async def test_a_model_that_never_ends_is_stopped_by_its_reader_at_once(cloud, model):
    cloud.never_end()
    stream = model.answer(ASKED)
    async with asyncio.timeout(10):
        for _ in range(50):
            await anext(stream)
        await stream.aclose()
        await until(lambda: cloud.last.left)


async def test_a_model_that_never_ends_is_cut_off_at_last(cloud, model):
    cloud.never_end("and then " * 400)
    parts = await answer(model)
    assert isinstance(parts[-1], AnswerCut)
    assert parts[-1].reason == "length"
    assert 90_000 < len(said(parts)) <= 100_000


@pytest.mark.parametrize("reason", ["length", "filter", "other"])
async def test_an_answer_that_the_service_cuts_off_says_why(cloud, model, reason):
    cloud.will_say("It is", reason=reason)
    parts = await answer(model)
    assert said(parts) == "It is"
    assert AnswerCut(reason) in parts
    assert AnswerUsage(12, 5) in parts
