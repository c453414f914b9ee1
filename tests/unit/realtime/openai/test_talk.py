"""OpenAI Realtime over a socket: turns, answers, what was heard of them, tools, and a conversation taken up again."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest

from appliance.interfaces import (
    CalledTool,
    CancelResponse,
    CommitTurn,
    Delivery,
    DiscardTurn,
    HistoryItem,
    LineKind,
    ProviderUsage,
    ResponseAudio,
    ResponseFinished,
    ResponseStarted,
    ResponseText,
    SendText,
    ToolCall,
    ToolDeclaration,
    ToolResult,
    TurnEnded,
    UserHeard,
)
from tests.fakes.openai_realtime import FakeOpenAi
from tests.rig.spoken import silence
from tests.rig.talker import Talker
from tests.unit.realtime.openai.talker import RATE, provider_of, speech, talking

pytestmark = pytest.mark.slow

BACKGROUND = ToolDeclaration("order", "", {"type": "object"}, Delivery.WHEN_IDLE)


@pytest.fixture
async def cloud() -> AsyncIterator[FakeOpenAi]:
    async with FakeOpenAi() as cloud:
        yield cloud


# --- turns ---


async def test_every_sample_of_a_turn_arrives_and_is_answered(cloud: FakeOpenAi) -> None:
    cloud.will_hear("how are you today")
    cloud.will_say("Fine, thank you.", 2.0)
    said = speech(1.3)
    async with talking(provider_of(cloud)) as talker:
        await talker.says(3, said)
        await talker.connection.send(CommitTurn(3))
        done = await talker.finished(3)
        assert np.array_equal(cloud.session.spoken[0].samples, said)
        assert talker.said(done.response) == "Fine, thank you."
        assert talker.pcm(done.response) == cloud.answers[0].pcm
        heard = [(one.turn, one.text, one.final) for one in talker.of(UserHeard)]
        assert heard[0] == (3, "how", False)
        assert heard[-1] == (3, "how are you today", True)
        assert talker.of(ResponseText)[-1].audio_from_ms < 2_000
        assert ProviderUsage(10, 20, "tokens") in talker.of(ProviderUsage)
    assert cloud.violations == []


async def test_a_turn_of_which_nothing_was_said_asks_for_nothing(cloud: FakeOpenAi) -> None:
    async with talking(provider_of(cloud)) as talker:
        await talker.says(1, speech(0.06))
        await talker.connection.send(CommitTurn(1))
        assert (await talker.finished(1)).status == "silent"
        await talker.says(2, speech(0.5, seed=2))
        await talker.connection.send(CommitTurn(2))
        await talker.finished(2)
        assert np.array_equal(cloud.session.spoken[0].samples, speech(0.5, seed=2))
    assert cloud.violations == []


async def test_what_is_discarded_is_in_no_later_turn(cloud: FakeOpenAi) -> None:
    async with talking(provider_of(cloud)) as talker:
        await talker.says(1, speech(0.5, seed=1))
        await talker.connection.send(DiscardTurn(1))
        await talker.says(2, speech(0.5, seed=2))
        await talker.connection.send(CommitTurn(2))
        await talker.finished(2)
        assert [item.pcm for item in cloud.session.spoken] == [speech(0.5, seed=2).tobytes()]


async def test_a_second_turn_is_answered_after_the_first_answer(cloud: FakeOpenAi) -> None:
    cloud.will_say("one two three", 1.0)
    cloud.will_say("four", 0.5)
    async with talking(provider_of(cloud)) as talker:
        await talker.connection.send(SendText(1, "first"))
        await talker.until(ResponseStarted)
        await talker.connection.send(SendText(2, "second"))
        await talker.connection.send(SendText(3, "third"))
        await talker.finished(3)
        assert [one.turn for one in talker.of(ResponseStarted)] == [1, 3]
        assert [item.said for item in cloud.session.items if item.body.get("role") == "user"] == [
            "first",
            "second",
            "third",
        ]
    assert cloud.violations == []


async def test_a_server_that_repeats_no_metadata_is_understood(cloud: FakeOpenAi) -> None:
    cloud.repeats_metadata = False
    async with talking(provider_of(cloud)) as talker:
        for turn in (4, 5):
            await talker.connection.send(SendText(turn, "hello"))
            await talker.finished(turn)
        assert [one.turn for one in talker.of(ResponseStarted)] == [4, 5]


async def test_silence_from_the_model_is_told_as_such(cloud: FakeOpenAi) -> None:
    cloud.will_be_silent()
    async with talking(provider_of(cloud)) as talker:
        await talker.connection.send(SendText(1, "hello"))
        assert (await talker.finished(1)).status == "silent"


async def test_a_model_that_fails_is_asked_once_more(cloud: FakeOpenAi) -> None:
    cloud.will_fail()
    async with talking(provider_of(cloud)) as talker:
        await talker.connection.send(SendText(1, "hello"))
        done = await talker.finished(1)
        assert (done.status, talker.said(done.response)) == ("completed", "Yes.")
        assert [one.turn for one in talker.of(ResponseStarted)] == [1]
    assert cloud.violations == []


async def test_a_model_that_fails_twice_is_told_and_asked_again(cloud: FakeOpenAi) -> None:
    cloud.will_fail()
    cloud.will_fail()
    async with talking(provider_of(cloud)) as talker:
        await talker.connection.send(SendText(1, "hello"))
        assert (await talker.finished(1)).status == "failed"
        await talker.connection.send(SendText(2, "hello"))
        assert (await talker.finished(2)).status == "completed"


async def test_a_telephone_is_near(cloud: FakeOpenAi) -> None:
    async with talking(provider_of(cloud), line_kind=LineKind.PHONE):
        assert cloud.session.config["audio"]["input"]["noise_reduction"] == {"type": "near_field"}


async def test_a_server_that_speaks_at_another_rate_is_played_at_that_rate(cloud: FakeOpenAi) -> None:
    cloud.form = {"type": "audio/pcm", "rate": 16_000}
    async with talking(provider_of(cloud)) as talker:
        await talker.connection.send(SendText(1, "hello"))
        await talker.finished(1)
        assert {one.rate for one in talker.of(ResponseAudio)} == {16_000}


# --- what was heard ---


@pytest.mark.parametrize(("heard_ms", "left"), [(0, 0), (150, 150), (99_999, 1_000)])
async def test_an_answer_that_is_done_is_cut_to_what_was_heard(
    cloud: FakeOpenAi, heard_ms: int, left: int
) -> None:
    async with talking(provider_of(cloud)) as talker:
        await talker.connection.send(SendText(1, "hello"))
        done = await talker.finished(1)
        for _ in range(2):
            await talker.connection.send(CancelResponse(done.response, "", heard_ms))
        await talker.connection.send(SendText(2, "go on"))
        await talker.finished(2)
        assert cloud.answers[0].truncated_ms == left
        assert len(cloud.session.sent("conversation.item.truncate")) == 1
        assert cloud.session.sent("response.cancel") == []
    assert cloud.violations == []


async def test_an_answer_under_way_is_stopped_and_cut(cloud: FakeOpenAi) -> None:
    cloud.will_say("one two three four five", 10.0)
    async with talking(provider_of(cloud)) as talker:
        await talker.connection.send(SendText(1, "count"))
        first = await talker.until(ResponseAudio)
        cancel = CancelResponse(first.response, "one", 40)
        await talker.connection.send(cancel)
        await talker.connection.send(cancel)
        received = len(talker.pcm(first.response))
        assert (await talker.finished(1)).status == "cancelled"
        assert len(talker.pcm(first.response)) == received
        assert cloud.answers[0].truncated_ms == 40
        await talker.connection.send(cancel)
        await talker.connection.send(SendText(2, "go on"))
        assert (await talker.finished(2)).status == "completed"
    assert cloud.violations == []


async def test_sound_that_came_after_a_cancel_is_cut_as_well(cloud: FakeOpenAi) -> None:
    cloud.will_say("one two three", 10.0, think=0.2)
    async with talking(provider_of(cloud)) as talker:
        await talker.connection.send(SendText(1, "count"))
        begun = await talker.until(ResponseStarted)
        # The service has made sound by the time that it hears of the cancel, and nothing of it had come here.
        session = cloud.session
        await asyncio.sleep(0.15)
        session.hold()
        await asyncio.sleep(0.2)
        await talker.connection.send(CancelResponse(begun.response, "", 0))
        session.release()
        assert (await talker.finished(1)).status == "cancelled"
        assert talker.of(ResponseAudio) == []
        await talker.connection.send(SendText(2, "go on"))
        await talker.finished(2)
        assert cloud.answers[0].sent_ms > 0
        assert cloud.answers[0].truncated_ms == 0


async def test_written_answers_are_rewritten_to_what_was_heard(cloud: FakeOpenAi) -> None:
    cloud.will_say("One two three four.", 1.0)
    async with talking(provider_of(cloud, output="text")) as talker:
        await talker.connection.send(SendText(1, "count"))
        done = await talker.finished(1)
        assert talker.said(done.response) == "One two three four."
        assert talker.of(ResponseAudio) == []
        await talker.connection.send(CancelResponse(done.response, "One two", 500))
        await talker.connection.send(SendText(2, "go on"))
        await talker.finished(2)
        assert cloud.answers[0].deleted
        said = [item.said for item in cloud.session.items if item.body.get("role") == "assistant"]
        assert said[0] == "One two"
    assert cloud.violations == []


# --- tools ---


async def answered(talker: Talker, turn: int, calls: Sequence[str], delivery: Delivery) -> None:
    for call_id in calls:
        await talker.connection.send(ToolResult(call_id, {"answer": call_id}, delivery=delivery))


def outputs(cloud: FakeOpenAi) -> list[dict[str, str]]:
    items = [event["item"] for event in cloud.session.sent("conversation.item.create")]
    return [item for item in items if item["type"] == "function_call_output"]


async def test_a_result_is_told_once_however_often_it_comes(cloud: FakeOpenAi) -> None:
    cloud.will_call("get_time", {"zone": "UTC"})
    async with talking(provider_of(cloud)) as talker:
        await talker.connection.send(SendText(1, "what time is it"))
        call = await talker.until(ToolCall)
        assert (call.tool, json.loads(str(call.arguments)), call.turn) == ("get_time", {"zone": "UTC"}, 1)
        for _ in range(2):
            await talker.connection.send(ToolResult(call.call_id, {"time": "10:32"}))
        await talker.finished(1, times=2)
        assert [json.loads(one["output"]) for one in outputs(cloud)] == [{"time": "10:32"}]
        assert len(talker.of(ToolCall)) == 1
        assert "10:32" in talker.said(talker.of(ResponseFinished)[-1].response)
    assert cloud.violations == []


async def test_arguments_that_are_no_json_are_passed_on(cloud: FakeOpenAi) -> None:
    cloud.will_call("get_time", '{"zone": ')
    async with talking(provider_of(cloud)) as talker:
        await talker.connection.send(SendText(1, "what time is it"))
        assert (await talker.until(ToolCall)).arguments == '{"zone": '


async def test_a_failed_tool_is_told_as_an_error(cloud: FakeOpenAi) -> None:
    cloud.will_call("get_time", {})
    async with talking(provider_of(cloud)) as talker:
        await talker.connection.send(SendText(1, "what time is it"))
        call = await talker.until(ToolCall)
        await talker.connection.send(ToolResult(call.call_id, error="The clock is broken."))
        await talker.finished(1, times=2)
        assert json.loads(outputs(cloud)[0]["output"]) == {"error": "The clock is broken."}


async def test_a_batch_is_spoken_about_once_and_when_it_is_whole(cloud: FakeOpenAi) -> None:
    cloud.will_call_all(("get_time", {}), ("get_date", {}))
    async with talking(provider_of(cloud)) as talker:
        await talker.connection.send(SendText(1, "time and date"))
        await talker.finished(1)
        first, second = (one.call_id for one in talker.of(ToolCall))
        await talker.connection.send(ToolResult(first, {}))
        await asyncio.sleep(0.1)
        assert len(cloud.answers) == 1
        await talker.connection.send(ToolResult(second, {}))
        await talker.finished(1, times=2)
        assert len(cloud.answers) == 2
    assert cloud.violations == []


async def ordered(talker: Talker) -> ToolCall:
    """The call that the first turn was answered with."""
    await talker.connection.send(SendText(1, "order it"))
    call = await talker.until(ToolCall)
    await talker.finished(1)
    return call


async def test_a_silent_result_is_only_known(cloud: FakeOpenAi) -> None:
    cloud.will_call("order", {})
    async with talking(provider_of(cloud)) as talker:
        call = await ordered(talker)
        await talker.connection.send(ToolResult(call.call_id, {}, delivery=Delivery.SILENT))
        await asyncio.sleep(0.1)
        assert len(outputs(cloud)) == 1
        assert len(cloud.answers) == 1


@pytest.mark.parametrize("delivery", [Delivery.WHEN_IDLE, Delivery.IMMEDIATE])
async def test_a_result_waits_for_what_is_being_said(cloud: FakeOpenAi, delivery: Delivery) -> None:
    cloud.will_call("order", {})
    cloud.will_say("Something else, at length.", 1.0)
    async with talking(provider_of(cloud), tools=[BACKGROUND]) as talker:
        call = await ordered(talker)
        await talker.connection.send(SendText(2, "and tell me a story"))
        await talker.until(ResponseAudio)
        await talker.connection.send(ToolResult(call.call_id, {}, delivery=delivery))
        await talker.finished(1, times=2)
        ends = [(one.turn, one.status) for one in talker.of(ResponseFinished)]
        assert ends == [(1, "completed"), (2, "completed"), (1, "completed")]
    assert cloud.violations == []


async def test_a_result_does_not_talk_into_what_the_person_says(cloud: FakeOpenAi) -> None:
    cloud.will_call("order", {})
    async with talking(provider_of(cloud), tools=[BACKGROUND]) as talker:
        call = await ordered(talker)
        await talker.says(2, speech(0.4))
        await talker.connection.send(ToolResult(call.call_id, {}, delivery=Delivery.WHEN_IDLE))
        await asyncio.sleep(0.1)
        assert len(cloud.answers) == 1
        await talker.connection.send(CommitTurn(2))
        await talker.finished(2)
        assert len(cloud.answers) == 2
    assert cloud.violations == []


async def test_an_interrupting_result_breaks_off_what_is_being_said(cloud: FakeOpenAi) -> None:
    cloud.will_call("order", {})
    cloud.will_say("Something else, at great length.", 20.0)
    async with talking(provider_of(cloud), tools=[BACKGROUND]) as talker:
        call = await ordered(talker)
        await talker.connection.send(SendText(2, "and tell me a story"))
        await talker.until(ResponseAudio)
        await talker.connection.send(ToolResult(call.call_id, {}, delivery=Delivery.INTERRUPT))
        await talker.finished(1, times=2)
        assert [(one.turn, one.status) for one in talker.of(ResponseFinished)][1:] == [
            (2, "cancelled"),
            (1, "completed"),
        ]
    assert cloud.violations == []


async def test_nothing_is_said_about_calls_of_an_answer_that_was_cancelled(cloud: FakeOpenAi) -> None:
    cloud.will_call("get_time", {}, text="Let me see.")
    async with talking(provider_of(cloud)) as talker:
        await talker.connection.send(SendText(1, "what time is it"))
        call = await talker.until(ToolCall)
        done = await talker.finished(1)
        await talker.connection.send(CancelResponse(done.response, "Let me", 100))
        await talker.connection.send(ToolResult(call.call_id, error="The call was cancelled."))
        await asyncio.sleep(0.1)
        assert len(cloud.answers) == 1
        assert len(outputs(cloud)) == 1


# --- a conversation taken up again ---


async def test_the_history_is_restored_and_not_answered(cloud: FakeOpenAi) -> None:
    history = [
        HistoryItem("user", "My name is Ada."),
        HistoryItem("assistant", "Hello Ada."),
        HistoryItem("assistant", " "),
        CalledTool("c1", "get_time", "{}", '{"time": "10:32"}'),
    ]
    async with talking(provider_of(cloud), history=history) as talker:
        await talker.connection.send(SendText(1, "who am I"))
        await talker.finished(1)
        kinds = [(item.body["type"], item.said) for item in cloud.session.items][:5]
        assert kinds == [
            ("message", "My name is Ada."),
            ("message", "Hello Ada."),
            ("function_call", ""),
            ("function_call_output", ""),
            ("message", "who am I"),
        ]
        assert len(cloud.answers) == 1
    assert cloud.violations == []


async def test_a_call_of_an_earlier_connection_gets_its_one_result(cloud: FakeOpenAi) -> None:
    history = [HistoryItem("user", "what time is it"), CalledTool("c1", "get_time", "{}", turn=6)]
    async with talking(provider_of(cloud), history=history) as talker:
        for _ in range(2):
            await talker.connection.send(ToolResult("c1", {"time": "10:32"}))
        done = await talker.finished(6)
        assert "10:32" in talker.said(done.response)
        assert len(outputs(cloud)) == 1
        assert len(cloud.answers) == 1
    assert cloud.violations == []


async def test_calls_of_a_provider_that_names_them_at_length_are_restored_too(cloud: FakeOpenAi) -> None:
    done, waiting = (f"function-call-{number}" * 3 for number in (1234567890, 1234567891))
    history = [
        CalledTool(done, "get_time", "{}", '{"time": "9:00"}'),
        CalledTool(waiting, "get_time", "{}", turn=6),
    ]
    async with talking(provider_of(cloud), history=history) as talker:
        await talker.connection.send(ToolResult(waiting, {"time": "10:32"}))
        await talker.finished(6)
        bodies = [item.body for item in cloud.session.items][:4]
        kinds = ["function_call", "function_call_output", "function_call", "function_call_output"]
        assert [body["type"] for body in bodies] == kinds
        names = [body["call_id"] for body in bodies]
        assert names[0] == names[1] != names[2] == names[3]
    assert cloud.violations == []


@pytest.mark.parametrize("heard", ["Once upon", ""])
async def test_what_sounded_over_a_drop_is_cut_to_what_was_heard(cloud: FakeOpenAi, heard: str) -> None:
    history = [
        HistoryItem("user", "a story"),
        HistoryItem("assistant", "Once upon a time", response="2:r9"),
        CalledTool("c1", "get_time", "{}", "{}"),
    ]
    async with talking(provider_of(cloud), history=history) as talker:
        for _ in range(2):
            await talker.connection.send(CancelResponse("2:r9", heard, 700))
        await talker.connection.send(SendText(1, "go on"))
        await talker.finished(1)
        said = [item.said for item in cloud.session.items]
        assert said[:4] == (["a story", heard, "", ""] if heard else ["a story", "", "", "go on"])
    assert cloud.violations == []


# --- turns that the service ends ---


@pytest.mark.parametrize("turns", ["server", "semantic"])
async def test_the_service_ends_a_turn_while_silence_follows_it(cloud: FakeOpenAi, turns: str) -> None:
    provider = provider_of(cloud, turns=turns)
    assert provider.capabilities.server_turns
    async with talking(provider) as talker:
        for turn in (1, 2):
            await talker.says(turn, speech(0.6, seed=turn))
            await talker.connection.send(CommitTurn(turn))
            await talker.finished(turn)
        assert [one.turn for one in talker.of(TurnEnded)] == [1, 2]
        assert [one.turn for one in talker.of(ResponseStarted)] == [1, 2]
        assert cloud.session.sent("input_audio_buffer.commit") == []
        spoken = cloud.session.spoken
        assert np.array_equal(spoken[0].samples[: round(0.6 * RATE)], speech(0.6, seed=1))
        assert not spoken[0].samples[round(0.6 * RATE) :].any()
    assert cloud.violations == []


async def test_a_turn_that_the_service_ended_needs_no_commit(cloud: FakeOpenAi) -> None:
    async with talking(provider_of(cloud, turns="server")) as talker:
        await talker.says(1, np.concatenate((speech(0.5), silence(0.7, RATE))))
        assert (await talker.until(TurnEnded)).turn == 1
        await talker.connection.send(CommitTurn(1))
        await talker.finished(1)
        await asyncio.sleep(0.1)
        assert len(cloud.session.received) == 60
        assert len(cloud.answers) == 1
        assert len(cloud.session.spoken) == 1


async def test_a_service_that_finds_no_end_is_told_it(cloud: FakeOpenAi) -> None:
    async with talking(provider_of(cloud, turns="server")) as talker:
        await talker.says(1, speech(0.5) // 200)
        await talker.connection.send(CommitTurn(1))
        await talker.finished(1)
        assert len(cloud.session.sent("input_audio_buffer.commit")) == 1
        assert talker.of(TurnEnded) == []
    assert cloud.violations == []


async def test_silence_ends_with_the_turn(cloud: FakeOpenAi) -> None:
    async with talking(provider_of(cloud, turns="server")) as talker:
        await talker.says(1, speech(0.5))
        await talker.connection.send(CommitTurn(1))
        await talker.finished(1)
        before = len(cloud.session.received)
        await asyncio.sleep(0.3)
        assert len(cloud.session.received) == before


async def test_the_key_alone_ends_a_turn_where_there_is_one(cloud: FakeOpenAi) -> None:
    async with talking(provider_of(cloud, turns="semantic"), by_key=True) as talker:
        assert cloud.session.config["audio"]["input"]["turn_detection"] is None
        await talker.says(1, speech(0.5))
        await talker.connection.send(CommitTurn(1))
        await talker.finished(1)
        assert talker.of(TurnEnded) == []


async def test_a_turn_that_ends_while_an_answer_comes_is_answered_after_it(cloud: FakeOpenAi) -> None:
    cloud.will_say("one two three", 8.0)
    async with talking(provider_of(cloud, turns="server")) as talker:
        await talker.connection.send(SendText(1, "count"))
        await talker.until(ResponseAudio)
        await talker.says(2, speech(0.5))
        await talker.connection.send(CommitTurn(2))
        await talker.finished(2)
        assert [one.turn for one in talker.of(ResponseStarted)] == [1, 2]
    assert cloud.violations == []
