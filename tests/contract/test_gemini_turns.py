"""Gemini Live over its real socket: turns, whoever ends them, and tools."""

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from appliance.frames import Frame
from appliance.interfaces import (
    CalledTool,
    CancelResponse,
    CommitTurn,
    Delivery,
    DiscardTurn,
    HistoryItem,
    ProviderTrouble,
    ProviderUsage,
    ResponseAudio,
    ResponseFinished,
    ResponseStarted,
    ResponseText,
    SendAudio,
    ToolCall,
    ToolCallWithdrawn,
    ToolResult,
    TurnEnded,
    UserHeard,
)
from appliance.providers.realtime.gemini import GeminiLive
from tests.contract.gemini_talk import SILENCE, SPEECH, GeminiStories, talking
from tests.fakes.gemini_answers import answer_sound
from tests.fakes.gemini_live import KEY, GeminiServer


class TestTurns(GeminiStories):
    async def test_the_service_hears_each_sample_of_a_turn_between_its_two_marks(
        self, server: GeminiServer, provider: GeminiLive
    ) -> None:
        spoken = np.random.default_rng(1).integers(-9_000, 9_000, 16_000 * 2, dtype=np.int16)
        async with talking(provider) as talk:
            await talk.asks(1, spoken)
            await talk.until(UserHeard, lambda one: one.final)
            await talk.connection.send(SendAudio(1, Frame(b"\1\1" * 320, 16_000, 0.0)))
            server.will_say("yes")
            await talk.asks(2, SPEECH)
            await talk.finished(2)
        assert server.violations == []
        first, second = server.session.activities
        assert np.array_equal(first.samples, spoken)
        assert np.array_equal(second.samples, SPEECH)

    async def test_what_was_understood_grows_and_is_final_once(
        self, server: GeminiServer, provider: GeminiLive
    ) -> None:
        server.will_hear("tell me a story")
        server.will_say("Once upon a time", 2.0)
        async with talking(provider) as talk:
            await talk.asks(1)
            await talk.finished(1)
            heard = [(one.text, one.final) for one in talk.of(UserHeard)]
        assert heard == [("tell me", False), ("tell me a story", False), ("tell me a story", True)]

    async def test_an_answer_arrives_whole_with_its_words_in_place(
        self, server: GeminiServer, provider: GeminiLive
    ) -> None:
        server.will_say("one two three four", 2.0)
        async with talking(provider) as talk:
            await talk.asks(1)
            done = await talk.finished(1)
            assert done.status == "completed"
            assert np.array_equal(talk.sound(done.response), answer_sound(server.answers, 2.0))
            assert talk.said(done.response) == "one two three four"
            starts = [one.audio_from_ms for one in talk.of(ResponseText)]
            assert starts == pytest.approx([0, 480, 960, 1480], abs=40)

    async def test_a_discarded_turn_is_closed_and_its_answer_kept_back(
        self, server: GeminiServer, provider: GeminiLive
    ) -> None:
        server.will_say("nobody wants this", 1.0)
        async with talking(provider) as talk:
            await talk.says(1)
            await talk.connection.send(DiscardTurn(1))
            await talk.quiet(0.5)
            assert server.session.activities[0].ended
            assert not talk.of(ResponseStarted)
            assert not talk.of(UserHeard)
            server.will_say("this they want")
            await talk.asks(2)
            done = await talk.finished(2)
            assert talk.said(done.response) == "this they want"
            assert [one.turn for one in talk.of(ResponseStarted)] == [2]

    async def test_noise_that_breaks_an_answer_off_before_it_began_does_not_lose_it(
        self, server: GeminiServer, provider: GeminiLive
    ) -> None:
        server.think = 0.3
        server.will_say("not heard")
        async with talking(provider) as talk:
            await talk.asks(1)
            await talk.quiet(0.1)
            await talk.says(2)
            await talk.connection.send(DiscardTurn(2))
            server.script.clear()
            server.will_say("the answer")
            done = await talk.finished(1)
            assert talk.said(done.response) == "the answer"

    @pytest.mark.parametrize("told", [True, False])
    async def test_who_goes_on_before_the_answer_gets_one_to_all_of_it(
        self, server: GeminiServer, provider: GeminiLive, told: bool
    ) -> None:
        server.says_interrupted_early = told
        server.think = 0.3
        async with talking(provider) as talk:
            server.will_say("too early")
            await talk.asks(1)
            await talk.quiet(0.1)
            server.will_say("the answer")
            await talk.asks(2)
            done = await talk.finished(2)
            assert done.status == "completed"
            assert talk.said(done.response) == "the answer"
            assert [one.turn for one in talk.of(ResponseStarted)] == [2]

    async def test_a_cancelled_answer_is_over_at_once_and_the_next_one_is_whole(
        self, server: GeminiServer, provider: GeminiLive
    ) -> None:
        server.will_say("a long story about a king", 4.0)
        async with talking(provider) as talk:
            await talk.asks(1)
            first = await talk.until(ResponseAudio)
            for _ in range(2):
                await talk.connection.send(CancelResponse(first.response, "a", 40))
            done = await talk.finished(1)
            assert done.status == "cancelled"
            count = len(talk.sound(first.response))
            server.will_say("as you like", 1.0)
            await talk.asks(2)
            done = await talk.finished(2)
            assert done.status == "completed"
            assert len(talk.sound(first.response)) == count
            assert np.array_equal(talk.sound(done.response), answer_sound(server.answers, 1.0))
            assert len(talk.of(ResponseFinished)) == 2

    async def test_a_cancelled_answer_that_nobody_breaks_off_stays_unheard_to_its_end(
        self, server: GeminiServer, provider: GeminiLive
    ) -> None:
        server.will_say("a long story about a king", 2.0)
        async with talking(provider) as talk:
            await talk.types(1)
            first = await talk.until(ResponseAudio)
            await talk.connection.send(CancelResponse(first.response, "", 0))
            count = len(talk.sound(first.response))
            await talk.quiet(0.6)
            assert len(talk.sound(first.response)) == count
            server.will_say("next", 0.5)
            await talk.types(2)
            assert talk.said((await talk.finished(2)).response) == "next"

    async def test_an_answer_that_the_service_breaks_off_is_cancelled(
        self, server: GeminiServer, provider: GeminiLive
    ) -> None:
        server.will_say("a long story about a king", 4.0)
        async with talking(provider) as talk:
            await talk.asks(1)
            await talk.until(ResponseAudio)
            server.will_say("yes?", 0.5)
            await talk.asks(2)
            assert (await talk.finished(1)).status == "cancelled"
            assert (await talk.finished(2)).status == "completed"

    async def test_a_turn_that_the_model_ignores_is_silent(
        self, server: GeminiServer, provider: GeminiLive
    ) -> None:
        server.will_say_nothing()
        async with talking(provider) as talk:
            await talk.asks(1)
            assert (await talk.finished(1)).status == "silent"
            assert not talk.troubles()

    async def test_a_turn_that_the_service_refuses_to_answer_has_failed(
        self, server: GeminiServer, provider: GeminiLive
    ) -> None:
        server.will_say_nothing("PROHIBITED_INPUT_CONTENT")
        async with talking(provider) as talk:
            await talk.asks(1)
            assert (await talk.finished(1)).status == "failed"
            assert talk.troubles() == {"answer_refused"}

    async def test_what_nobody_asked_for_answers_no_turn(
        self, server: GeminiServer, provider: GeminiLive
    ) -> None:
        async with talking(provider) as talk:
            await talk.is_answered(1)
            server.session.say_unasked("By the way.")
            done = await talk.finished(0)
            assert talk.said(done.response) == "By the way."

    async def test_a_model_without_client_content_is_typed_to_in_its_own_way(
        self, server: GeminiServer
    ) -> None:
        section = {"api_key": KEY, "base_url": server.base_url, "model": "gemini-3.1-flash-live-preview"}
        history = [HistoryItem("user", "hello")]
        async with talking(GeminiLive(section), history=history) as talk:
            for turn in (1, 2):
                server.will_say("yes")
                await talk.types(turn)
                assert (await talk.finished(turn)).status == "completed"
        assert server.violations == []

    async def test_use_is_told_as_what_came_in_addition(
        self, server: GeminiServer, provider: GeminiLive
    ) -> None:
        async with talking(provider) as talk:
            for turn in (1, 2):
                await talk.types(turn)
                await talk.finished(turn)
            await talk.quiet(0.1)
            assert talk.of(ProviderUsage) == [ProviderUsage(100.0, 20.0, "tokens")] * 2


class TestServerTurns(GeminiStories):
    @pytest.fixture
    async def provider(self, server: GeminiServer) -> AsyncIterator[GeminiLive]:
        section = {"api_key": KEY, "base_url": server.base_url, "turns": "server", "silence_ms": 300}
        provider = GeminiLive(section)
        assert provider.capabilities.server_turns
        yield provider
        await provider.close()

    async def test_silence_is_sent_until_the_service_finds_the_end(
        self, server: GeminiServer, provider: GeminiLive
    ) -> None:
        server.will_say("yes", 0.5)
        async with talking(provider) as talk:
            began = time.monotonic()
            await talk.asks(1)
            ended = await talk.until(TurnEnded)
            assert time.monotonic() - began < 1.0
            assert ended.turn == 1
            done = await talk.finished(1)
            assert (done.status, talk.said(done.response)) == ("completed", "yes")
            heard = server.session.activities[0].samples
            assert np.array_equal(heard[: len(SPEECH)], SPEECH)
            assert not heard[len(SPEECH) :].any()
            assert server.session.setup["realtimeInputConfig"]["activityHandling"] == "NO_INTERRUPTION"
        assert server.violations == []

    async def test_the_service_may_find_the_end_first(
        self, server: GeminiServer, provider: GeminiLive
    ) -> None:
        server.will_say("yes", 0.5)
        async with talking(provider) as talk:
            await talk.says(1, np.concatenate((SPEECH, np.zeros(6_400, np.int16))))
            await talk.until(TurnEnded)
            done = await talk.finished(1)
            await talk.connection.send(CommitTurn(1))
            await talk.quiet()
            assert done.status == "completed"
            assert len(talk.of(ResponseFinished)) == 1

    async def test_a_turn_in_which_the_service_hears_nothing_is_silent(
        self, server: GeminiServer, provider: GeminiLive
    ) -> None:
        async with talking(provider) as talk:
            await talk.asks(1, SILENCE)
            done = await talk.until(ResponseFinished)
            assert (done.turn, done.status) == (1, "silent")
            assert {"realtimeInput": {"audioStreamEnd": True}} in server.session.received
        assert server.violations == []

    async def test_by_key_only_the_device_ends_a_turn(
        self, server: GeminiServer, provider: GeminiLive
    ) -> None:
        server.will_say("yes", 0.5)
        async with talking(provider, by_key=True) as talk:
            await talk.says(1, np.concatenate((SPEECH, SILENCE, SPEECH)))
            await talk.quiet()
            assert not talk.events
            await talk.connection.send(CommitTurn(1))
            assert (await talk.finished(1)).status == "completed"
        assert server.violations == []


class TestTools(GeminiStories):
    @pytest.mark.parametrize(
        ("delivery", "scheduled"),
        [
            (Delivery.IMMEDIATE, "INTERRUPT"),
            (Delivery.INTERRUPT, "INTERRUPT"),
            (Delivery.WHEN_IDLE, "WHEN_IDLE"),
            (Delivery.SILENT, "SILENT"),
        ],
    )
    async def test_a_result_is_delivered_as_the_tool_wishes(
        self, server: GeminiServer, provider: GeminiLive, delivery: Delivery, scheduled: str
    ) -> None:
        server.will_call("get_time", {"zone": "UTC"})
        async with talking(provider) as talk:
            await talk.types(1)
            call = await talk.until(ToolCall)
            assert (call.tool, call.arguments, call.turn) == ("get_time", {"zone": "UTC"}, 1)
            for _ in range(2):
                await talk.connection.send(ToolResult(call.call_id, {"time": "10:32"}, delivery=delivery))
            done = await talk.finished(1)
            await talk.quiet(0.1)
            known = server.session.memory.calls[call.call_id]
            assert known.scheduling == scheduled
            assert known.response == {"output": {"time": "10:32"}}
            assert done.status == ("silent" if delivery is Delivery.SILENT else "completed")
            assert server.session.setup["tools"][0]["functionDeclarations"][0]["behavior"] == "NON_BLOCKING"
        assert server.violations == []

    async def test_an_immediate_result_does_not_cut_off_what_is_being_said(
        self, server: GeminiServer, provider: GeminiLive
    ) -> None:
        server.will_call("get_time")
        async with talking(provider) as talk:
            await talk.types(1)
            call = await talk.until(ToolCall)
            await talk.quiet(0.1)
            server.session.say_unasked("Let me see, one moment please.", 2.0)
            await talk.until(ResponseAudio)
            await talk.connection.send(ToolResult(call.call_id, {"time": "10:32"}))
            await talk.until(ResponseText, lambda one: "10:32" in one.text)
            texts = [talk.said(one.response) for one in talk.of(ResponseStarted)]
            assert texts[0] == "Let me see, one moment please."
            assert {one.turn for one in talk.of(ResponseStarted)} == {1}

    async def test_an_error_is_told_as_one(self, server: GeminiServer, provider: GeminiLive) -> None:
        server.will_call("get_time")
        async with talking(provider) as talk:
            await talk.types(1)
            call = await talk.until(ToolCall)
            await talk.connection.send(ToolResult(call.call_id, error="There is no clock."))
            await talk.finished(1)
            assert server.session.memory.calls[call.call_id].response == {"error": "There is no clock."}

    async def test_a_withdrawn_call_gets_no_result(self, server: GeminiServer, provider: GeminiLive) -> None:
        server.will_call("get_time")
        async with talking(provider) as talk:
            await talk.types(1)
            call = await talk.until(ToolCall)
            await talk.quiet(0.1)
            await server.session.cancel_calls()
            assert (await talk.until(ToolCallWithdrawn)).call_ids == (call.call_id,)
            await talk.connection.send(ToolResult(call.call_id, {"time": "10:32"}))
            assert (await talk.finished(1)).status == "silent"
            await talk.is_answered(2)
        assert server.violations == []

    async def test_a_call_that_nobody_waits_for_is_answered_here(
        self, server: GeminiServer, provider: GeminiLive
    ) -> None:
        server.will_call("get_time")
        async with talking(provider) as talk:
            await talk.says(1)
            await talk.connection.send(DiscardTurn(1))
            await talk.quiet()
            assert not talk.of(ToolCall)
            assert [call.state for call in server.session.memory.calls.values()] == ["answered"]
        assert server.violations == []

    @pytest.mark.parametrize("resumed", [False, True])
    async def test_the_result_of_a_call_of_an_earlier_connection_is_told_and_answered(
        self, server: GeminiServer, provider: GeminiLive, resumed: bool
    ) -> None:
        handle = ""
        async with talking(provider) as talk:
            if resumed:
                await talk.types(1)
                handle = await talk.handle()
        history = [HistoryItem("user", "what time is it"), CalledTool("call-9", "get_time", "{}", turn=7)]
        async with talking(provider, handle=handle, history=history) as talk:
            server.will_say("It is 10:32.")
            for _ in range(2):
                await talk.connection.send(ToolResult("call-9", {"time": "10:32"}))
            done = await talk.finished(7)
            assert talk.said(done.response) == "It is 10:32."
            told = [text for role, text in server.session.memory.history if role == "user"]
            assert sum('{"time": "10:32"}' in text for text in told) == 1
        assert server.violations == []

    @pytest.mark.parametrize("arguments", ["no json", 5, None, ["a"]])
    async def test_malformed_arguments_are_passed_on_as_they_are(
        self, server: GeminiServer, provider: GeminiLive, arguments: Any
    ) -> None:
        async with talking(provider) as talk:
            call = {"id": "odd", "name": "get_time", "args": arguments}
            await server.send_raw(json.dumps({"toolCall": {"functionCalls": [call]}}))
            made = await talk.until(ToolCall)
            assert isinstance(made.arguments, dict | str)

    async def test_a_repeated_call_is_run_once(self, server: GeminiServer, provider: GeminiLive) -> None:
        async with talking(provider) as talk:
            call = json.dumps({"toolCall": {"functionCalls": [{"id": "a", "name": "get_time"}]}})
            for _ in range(2):
                await server.send_raw(call)
            await talk.until(ProviderTrouble, lambda one: one.code == "call_repeated")
            assert len(talk.of(ToolCall)) == 1
