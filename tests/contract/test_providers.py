"""What every provider owes a session. One class a provider; what is asked of all stands in ProviderContract."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from appliance import plugins
from appliance.errors import ProviderUnavailable
from appliance.frames import Frame
from appliance.interfaces import (
    CancelResponse,
    CommitTurn,
    DiscardTurn,
    HistoryItem,
    Provider,
    ProviderCommand,
    ProviderEvent,
    ResponseAudio,
    ResponseFinished,
    ResponseStarted,
    ResponseText,
    SendAudio,
    SendText,
    Setup,
    ToolCall,
    ToolDeclaration,
    ToolResult,
    UserHeard,
)
from tests.fakes import gpt_live
from tests.fakes.gemini_live import KEY, GeminiServer
from tests.fakes.openai_answers import Call, Plan, Say
from tests.fakes.openai_realtime import FakeOpenAi
from tests.fakes.streamed_answers import Asked
from tests.fakes.streamed_answers import Plan as AnswerPlan
from tests.rig.chain_service import ChainService
from tests.rig.spoken import silence, speech
from tests.rig.talker import Talker

TOOLS = tuple(
    ToolDeclaration(name, "", {"type": "object", "properties": {}})
    for name in ("get_time", "hang_up", "call")
)
NOW = {"time": "10:32", "date": "2026-11-21", "weekday": "Saturday", "zone": "UTC"}


class Person(Talker):
    """Runs the tools that are called."""

    async def take(self, event: ProviderEvent) -> None:
        if isinstance(event, ToolCall):
            await self.connection.send(ToolResult(event.call_id, NOW))

    async def utters(self, turn: int, text: str) -> None:
        """Say `text`, or nothing for a second."""
        sound = speech(text, self.rate, lead=0.3, tail=0.5) if text else silence(1.0, self.rate)
        await self.says(turn, sound[: len(sound) // (self.rate // 50) * (self.rate // 50)])

    def audio_ms(self, response: str) -> float:
        pieces = [one for one in self.of(ResponseAudio) if one.response == response]
        return sum(len(one.pcm) / 2 * 1000 / one.rate for one in pieces)

    async def close(self) -> None:
        await super().close()
        assert self.fault is None


class ProviderContract:
    """Inherit, and give the `provider`; `question` is answered at length, `tool_question` needs get_time."""

    question = "help"
    tool_question = "what time is it"
    written = tool_question
    """How the tool question is written down where it was spoken."""

    @pytest.fixture
    def provider(self) -> Provider:
        raise NotImplementedError

    @asynccontextmanager
    async def talking(self, provider: Provider, session: str = "s1", **more: Any) -> AsyncIterator[Person]:
        connection = await provider.connect(Setup(session, tools=TOOLS, **more))
        person = Person(connection, provider.capabilities.input_rate)
        try:
            yield person
        finally:
            await person.close()

    async def test_a_typed_question_is_answered_in_order(self, provider: Provider) -> None:
        async with self.talking(provider) as person:
            await person.connection.send(SendText(1, self.question))
            done = await person.finished(1)
            assert done.status == "completed"
            mine = [one for one in person.events if getattr(one, "response", None) == done.response]
            assert isinstance(mine[0], ResponseStarted)
            assert mine[0].turn == 1
            assert mine[-1] is done
            assert person.said(done.response).strip()
            assert person.audio_ms(done.response) > 300

    async def test_text_says_where_in_the_sound_it_starts(self, provider: Provider) -> None:
        async with self.talking(provider) as person:
            await person.connection.send(SendText(1, self.question))
            done = await person.finished(1)
            starts = [one.audio_from_ms for one in person.events if isinstance(one, ResponseText)]
            assert starts == sorted(starts)
            assert starts[-1] < person.audio_ms(done.response)

    async def test_a_tool_is_called_once_and_its_result_is_told(self, provider: Provider) -> None:
        async with self.talking(provider) as person:
            await person.connection.send(SendText(1, self.tool_question))
            done = await person.until(ResponseFinished, lambda one: bool(person.said(one.response)))
            calls = [one for one in person.events if isinstance(one, ToolCall)]
            assert [(one.tool, one.turn) for one in calls] == [("get_time", 1)]
            assert "10" in person.said(done.response)

    async def test_a_spoken_question_is_heard_and_answered(self, provider: Provider) -> None:
        async with self.talking(provider) as person:
            await person.utters(1, self.tool_question)
            await person.connection.send(CommitTurn(1))
            heard = await person.until(UserHeard, lambda one: one.final)
            assert (heard.turn, heard.text) == (1, self.written)
            await person.until(ResponseAudio)

    async def test_silence_is_heard_as_nothing_and_answered_with_nothing(self, provider: Provider) -> None:
        async with self.talking(provider) as person:
            await person.utters(1, "")
            await person.connection.send(CommitTurn(1))
            assert (await person.finished(1)).status == "silent"
            assert [one.text for one in person.events if isinstance(one, UserHeard)] == [""]

    async def test_a_turn_without_sound_is_settled(self, provider: Provider) -> None:
        async with self.talking(provider) as person:
            await person.connection.send(CommitTurn(1))
            assert (await person.finished(1)).status == "silent"

    async def test_what_is_discarded_is_not_answered(self, provider: Provider) -> None:
        async with self.talking(provider) as person:
            await person.utters(1, self.tool_question)
            await person.connection.send(DiscardTurn(1))
            await person.connection.send(SendText(2, self.question))
            await person.finished(2)
            assert not [one for one in person.events if isinstance(one, UserHeard) and one.turn == 1]

    async def test_cancelling_stops_the_sound_and_may_be_repeated(self, provider: Provider) -> None:
        async with self.talking(provider) as person:
            await person.connection.send(SendText(1, self.question))
            first = await person.until(ResponseAudio)
            cancel = CancelResponse(first.response, "", 0)
            for _ in range(2):
                await person.connection.send(cancel)
            before = len(person.events)
            await person.finished(1)
            late = [one for one in person.events[before:] if isinstance(one, ResponseAudio)]
            assert sum(len(one.pcm) / 2 / one.rate for one in late) <= 0.1
            await person.connection.send(cancel)
            await person.connection.send(SendText(2, self.question))
            assert (await person.finished(2)).status == "completed"

    async def test_senseless_commands_end_nothing(self, provider: Provider) -> None:
        senseless: tuple[ProviderCommand, ...] = (
            CancelResponse("unknown", "", 0),
            ToolResult("unknown", {}),
            DiscardTurn(99),
            SendText(1, ""),
            SendText(2, "\x00\ud7ff" + "x" * 20_000),
            SendAudio(3, Frame(b"", 16_000, 0.0)),
        )
        async with self.talking(provider) as person:
            for command in senseless:
                await person.connection.send(command)
            await person.connection.send(SendText(4, self.question))
            assert (await person.finished(4)).status == "completed"

    async def test_conversations_side_by_side_share_nothing(self, provider: Provider) -> None:
        async with self.talking(provider, "s1") as one, self.talking(provider, "s2") as other:
            await asyncio.gather(
                one.connection.send(SendText(1, self.question)),
                other.connection.send(SendText(7, self.tool_question)),
            )
            await asyncio.gather(one.finished(1), other.finished(7))
            assert {event.turn for event in one.events if isinstance(event, UserHeard)} == {1}
            assert {event.turn for event in other.events if isinstance(event, UserHeard)} == {7}

    async def test_a_closed_connection_ends_its_events_and_takes_nothing(self, provider: Provider) -> None:
        connection = await provider.connect(Setup("s1"))
        await connection.send(SendText(1, self.question))
        for _ in range(2):
            await connection.close()
        async with asyncio.timeout(2):
            async for _ in connection:
                pass
        with pytest.raises(ProviderUnavailable):
            await connection.send(SendText(2, self.question))


class TestOffline(ProviderContract):
    @pytest.fixture
    async def provider(self) -> AsyncIterator[Provider]:
        provider: Provider = plugins.load("appliance.providers", "offline")({})
        yield provider
        await provider.close()

    async def test_the_voice_waits_for_a_session_that_does_not_read(self, provider: Provider) -> None:
        connection = await provider.connect(Setup("s1", history=[HistoryItem("assistant", "word " * 1_000)]))
        await connection.send(SendText(1, "repeat that"))
        await asyncio.sleep(0.5)
        events = aiter(connection)
        first = [await anext(events) for _ in range(10)]
        assert any(isinstance(one, ResponseAudio) for one in first)
        await connection.close()

    async def test_a_call_is_asked_for_before_it_is_made(self, provider: Provider) -> None:
        async with self.talking(provider) as person:
            await person.connection.send(SendText(1, "call 201"))
            asked = await person.finished(1)
            assert person.said(asked.response).strip() == "Shall I call 201?"
            assert not [one for one in person.events if isinstance(one, ToolCall)]
            await person.connection.send(SendText(2, "yes"))
            made = await person.until(ToolCall)
            assert (made.tool, dict(made.arguments)) == ("call", {"to": "201"})  # type: ignore[arg-type]


class TestOpenAi(ProviderContract):
    @pytest.fixture
    async def provider(self) -> AsyncIterator[Provider]:
        async with FakeOpenAi() as cloud:
            cloud.hears = self.tool_question
            cloud.answering = self.answer
            section = {"base_url": cloud.base_url, "api_key": cloud.key}
            provider: Provider = plugins.load("appliance.providers", "openai")(section)
            yield provider
            await provider.close()
            assert set(cloud.violations) <= {"response_cancel_not_active"}

    def answer(self, said: str) -> Plan:
        if said == self.tool_question:
            return Call([("get_time", {})])
        return Say("You can ask me for the time, for a timer, or for a call.", 4.0)


class TestGptLive(ProviderContract):
    @pytest.fixture
    async def provider(self) -> AsyncIterator[Provider]:
        async with gpt_live.GptLiveServer() as cloud:
            cloud.hears = self.tool_question
            cloud.answering = self.answer
            section = {"base_url": cloud.base_url, "api_key": cloud.key}
            provider: Provider = plugins.load("appliance.providers", "gpt_live")(section)
            yield provider
            await provider.close()
            assert cloud.violations == []

    def answer(self, said: str) -> gpt_live.Say:
        if said.endswith(self.tool_question):
            return gpt_live.Say("It is 10:30.", 1.0, ("get_time", "{}"))
        return gpt_live.Say("You can ask me for the time, or for a call.", 1.5)


class TestGemini(ProviderContract):
    @pytest.fixture
    async def provider(self, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Provider]:
        async with GeminiServer() as server:
            monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
            section = {"api_key": KEY, "base_url": server.base_url}
            provider: Provider = plugins.load("appliance.providers", "gemini")(section)
            yield provider
            await provider.close()
            assert server.violations == []


class TestChain(ProviderContract):
    written = "What time is it."

    @pytest.fixture
    async def provider(self) -> AsyncIterator[Provider]:
        async with ChainService() as service:
            service.ear.hears = self.tool_question
            service.mind.answering = self.answer
            service.mouth.speed = 8.0
            yield service.provider
            assert service.violations == []

    def answer(self, asked: Asked) -> AnswerPlan:
        last = asked.body["messages"][-1]
        if last["role"] == "tool":
            return AnswerPlan([f"It is {json.loads(last['content'])['time']}."])
        if last["content"] in (self.tool_question, self.written) and asked.body.get("tools"):
            return AnswerPlan(calls=[("get_time", {})])
        return AnswerPlan(
            ["You can ask me for the time, for a timer, ", "or for a call to somebody you know."]
        )
