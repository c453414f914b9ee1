"""What every language model of the chain owes: its answers, its calls, its faults, over real HTTP."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from appliance.errors import (
    ApplianceError,
    ConfigurationInvalid,
    CredentialsRejected,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    SetupRejected,
)
from appliance.interfaces import ToolDeclaration
from appliance.providers.llm.gemini import GeminiLanguageModel
from appliance.providers.llm.openai import OpenAiLanguageModel
from appliance.stages import (
    AnswerCall,
    AnswerCut,
    AnswerPart,
    AnswerText,
    AnswerUsage,
    LanguageModel,
    Prompt,
    Remembered,
    Said,
    ToolUse,
)
from tests.fakes.gemini_generate import FakeGeminiGenerate
from tests.fakes.openai_chat import FakeOpenAiChat
from tests.fakes.streamed_answers import STEPS, Plan, StreamedAnswers, Where, all_of, until

TIME = ToolDeclaration(
    "get_time", "The time of day.", {"type": "object", "properties": {"zone": {"type": "string"}}}
)
ASKED = Prompt([Said("user", "what time is it")], "Be brief.", tools=[TIME], user="conversation-1")


@dataclass(frozen=True)
class Service:
    """A language model, and the service that it talks to."""

    name: str
    fake: Callable[[], StreamedAnswers]
    model: Callable[[Mapping[str, Any]], LanguageModel]
    settings: Mapping[str, Any]

    def build(self, cloud: StreamedAnswers, **more: Any) -> LanguageModel:
        given = {"base_url": cloud.base_url, "api_key": cloud.key, **self.settings, **more}
        return self.model(given)


SERVICES = (
    Service("openai-chat", FakeOpenAiChat, OpenAiLanguageModel, {"api": "chat", "model": "gpt-6-luna"}),
    Service(
        "openai-responses", FakeOpenAiChat, OpenAiLanguageModel, {"api": "responses", "model": "gpt-6-luna"}
    ),
    Service("gemini", FakeGeminiGenerate, GeminiLanguageModel, {}),
)


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


def said(parts: list[AnswerPart]) -> str:
    return "".join(part.text for part in parts if isinstance(part, AnswerText))


def calls(parts: list[AnswerPart]) -> list[AnswerCall]:
    return [part for part in parts if isinstance(part, AnswerCall)]


def used(call: AnswerCall, outcome: str = '{"time": "12:00"}') -> ToolUse:
    return ToolUse(call.call_id, call.tool, call.arguments, outcome, call.opaque)


async def answer(model: LanguageModel, *items: Remembered) -> list[AnswerPart]:
    prompt = Prompt([*ASKED.items, *items], ASKED.instructions, ASKED.tools, ASKED.user)
    async with asyncio.timeout(20):
        return await all_of(model.answer(prompt))


# --- answers ---


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


async def test_a_call_that_was_cut_off_is_no_call(cloud, model):
    cloud.will_call("get_time", '{"zone": "Eur', reason="length")
    parts = await answer(model)
    assert calls(parts) == []
    assert AnswerCut("length") in parts


# --- calls ---


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


# --- leaving ---


@pytest.mark.parametrize("where", ["accept", "request", "head", "start", "text", "end"])
async def test_who_leaves_at_any_moment_leaves_nothing_behind(cloud, model, where: Where):
    cloud.stall_at(where)
    stream = model.answer(ASKED)
    reading = asyncio.create_task(all_of(stream))
    await until(lambda: cloud.connections == 1 and (where == "accept" or bool(cloud.asked)))
    await asyncio.sleep(0.05)
    reading.cancel()
    began = time.monotonic()
    with contextlib.suppress(asyncio.CancelledError):
        await reading
    await stream.aclose()
    assert time.monotonic() - began < 1.0
    if where != "accept":
        await until(lambda: cloud.last.left)
    assert _tasks_of_the_model() == []
    assert said(await answer(model)) == "Yes."


async def test_who_closes_an_answer_between_two_pieces_ends_the_request(cloud, model):
    cloud.stall_at("text")
    stream = model.answer(ASKED)
    async with asyncio.timeout(10):
        await anext(stream)
    await stream.aclose()
    await until(lambda: cloud.last.left)
    await stream.aclose()


async def test_an_answer_that_nobody_begins_to_read_asks_nothing(cloud, model):
    await model.answer(ASKED).aclose()
    assert cloud.asked == []


async def test_many_answers_are_asked_for_and_left_at_once(cloud, model):
    async def some(number: int) -> str:
        stream = model.answer(Prompt([Said("user", str(number))]))
        if number % 3 == 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.001 * number):
                    await all_of(stream)
            await stream.aclose()
            return "Yes."
        return said(await all_of(stream))

    async with asyncio.timeout(20):
        assert set(await asyncio.gather(*(some(number) for number in range(24)))) == {"Yes."}
    assert _tasks_of_the_model() == []


async def test_the_next_turn_needs_no_new_connection(cloud, model):
    for _ in range(3):
        assert said(await answer(model)) == "Yes."
    assert cloud.connections == 1


def _tasks_of_the_model() -> list[str]:
    return [
        task.get_name()
        for task in asyncio.all_tasks()
        if task is not asyncio.current_task() and "_link" not in str(task.get_coro())
    ]


# --- time ---


@pytest.mark.parametrize("where", ["accept", "request", "head", "start"])
async def test_a_first_word_that_does_not_come_is_not_waited_for(service, cloud, where: Where):
    model = service.build(cloud, first_timeout=0.3, next_timeout=30)
    await model.warm()
    cloud.stall_at(where)
    with pytest.raises(ProviderUnavailable, match="did not answer in time"):
        await answer(model)
    assert said(await answer(model)) == "Yes."
    await model.close()


@pytest.mark.parametrize("where", ["text", "end"])
async def test_a_next_word_that_does_not_come_is_not_waited_for(service, cloud, where: Where):
    model = service.build(cloud, first_timeout=30, next_timeout=0.3)
    await model.warm()
    cloud.stall_at(where)
    with pytest.raises(ProviderUnavailable, match="did not answer in time"):
        await answer(model)
    assert said(await answer(model)) == "Yes."
    await model.close()


async def test_thinking_for_ever_is_not_waited_for(service, cloud):
    model = service.build(cloud, first_timeout=0.4, next_timeout=30)
    await model.warm()
    cloud.pace = 0.02
    cloud.will_say("Noon.", thoughts="hm " * 2_000)
    with pytest.raises(ProviderUnavailable, match="did not answer in time"):
        await answer(model)
    await model.close()


async def test_a_reader_who_takes_long_is_not_hurried(service, cloud):
    model = service.build(cloud, first_timeout=10, next_timeout=0.4)
    await model.warm()
    cloud.will_say("It is noon.", pieces=2)
    stream = model.answer(ASKED)
    first = await anext(stream)
    await asyncio.sleep(0.6)
    assert said([first, *await all_of(stream)]) == "It is noon."
    await model.close()


# --- faults ---


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


# --- settings ---


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
