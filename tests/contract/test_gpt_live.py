"""GPT-Live over a real socket, through the unmodified SDK, against a strict fake of the service."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from appliance import plugins
from appliance.errors import (
    ApplianceError,
    ConfigurationInvalid,
    CredentialsRejected,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    SetupRejected,
)
from appliance.interfaces import (
    CalledTool,
    CancelResponse,
    HistoryItem,
    Provider,
    ProviderTrouble,
    RenewalDue,
    ResponseAudio,
    ResponseFinished,
    ResponseStarted,
    ResponseText,
    SendText,
    Setup,
    ToolCall,
    ToolDeclaration,
    ToolResult,
    UserHeard,
)
from appliance.providers.realtime.gpt_live import GptLive
from tests.fakes.gpt_live import KEY, RATE, GptLiveServer, answer_sound
from tests.rig.talker import E, Talker

TOOLS = (ToolDeclaration("get_time", "the time", {"type": "object", "properties": {}}),)


class Listener(Talker):
    async def one(self, kind: type[E], **fields: Any) -> E:
        """The first event of this kind with these fields."""
        return await self.until(
            kind, lambda event: all(getattr(event, name) == value for name, value in fields.items())
        )

    async def speak(self, turn: int, seconds: float = 0.4, level: int = 4_000) -> None:
        await self.asks(turn, np.full(round(RATE * seconds), level, np.int16), pace=1.0)


@pytest.fixture
async def server() -> AsyncIterator[GptLiveServer]:
    async with GptLiveServer() as server:
        yield server


@pytest.fixture
async def provider(server: GptLiveServer) -> AsyncIterator[Provider]:
    provider = made(server)
    yield provider
    await provider.close()


def made(server: GptLiveServer, **settings: str) -> Provider:
    kind = plugins.load("appliance.providers", "gpt_live")
    provider: Provider = kind({"api_key": KEY, "base_url": server.base_url, **settings})
    return provider


@asynccontextmanager
async def talking(provider: Provider, **setup: Any) -> AsyncIterator[Listener]:
    listener = Listener(await provider.connect(Setup("s", tools=TOOLS, **setup)))
    try:
        yield listener
    finally:
        await listener.close()


async def test_what_is_said_is_understood_and_answered(server: GptLiveServer, provider: Provider):
    server.will_hear("what time is it")
    server.will_say("It is noon.", 0.8)
    async with talking(provider) as person:
        await person.speak(1)
        done = await person.one(ResponseFinished, turn=1)
        assert [e.text for e in person.events if isinstance(e, ResponseText)] == ["It ", "is ", "noon. "]
        assert np.array_equal(person.sound(done.response), answer_sound(1, 0.8))
        assert (await person.one(UserHeard, final=True)).text == "what time is it"
    assert server.violations == []


async def test_silence_goes_up_between_the_turns_at_the_pace_of_real_time(
    server: GptLiveServer, provider: Provider
):
    async with talking(provider) as person:
        await asyncio.sleep(0.5)
        await person.speak(1, seconds=0.4)
        await asyncio.sleep(0.5)
    samples = server.sessions[0].samples()
    assert 1.1 <= len(samples) / RATE <= 1.6
    assert np.count_nonzero(samples) == 0.4 * RATE


async def test_talking_over_an_answer_stops_it_and_the_rest_is_not_heard(
    server: GptLiveServer, provider: Provider
):
    server.will_say("One two three.", 5.0)
    async with talking(provider) as person:
        await person.speak(1)
        first = await person.one(ResponseAudio)
        await person.connection.send(CancelResponse(first.response, "", 40))
        heard = len(person.sound(first.response))
        assert (await person.one(ResponseFinished, response=first.response)).status == "cancelled"
        await person.speak(2)
        second = await person.one(ResponseFinished, turn=2)
        assert len(person.sound(first.response)) == heard
        assert np.array_equal(person.sound(second.response), answer_sound(2, 1.0))


async def test_typed_text_is_answered(server: GptLiveServer, provider: Provider):
    async with talking(provider) as person:
        await person.connection.send(SendText(1, "what time is it"))
        assert (await person.one(ResponseFinished, turn=1)).status == "completed"
    assert "what time is it" in server.sessions[0].notes[0]["content"]
    assert server.violations == []


async def test_a_tool_is_called_and_its_result_leads_to_the_answer(server: GptLiveServer, provider: Provider):
    server.will_call("get_time", {"zone": "UTC"})
    async with talking(provider) as person:
        await person.speak(1)
        call = await person.one(ToolCall)
        assert (call.tool, call.arguments, call.turn) == ("get_time", '{"zone": "UTC"}', 1)
        for _ in range(2):
            await person.connection.send(ToolResult(call.call_id, {"time": "noon"}))
        await person.one(ResponseFinished, turn=1)
    assert len(server.sessions[0].results) == 1
    assert server.violations == []


async def test_the_result_of_a_call_before_a_drop_is_told_to_the_new_connection(
    server: GptLiveServer, provider: Provider
):
    history = (HistoryItem("user", "what time is it"), CalledTool("old", "get_time", "{}", turn=3))
    async with talking(provider, history=history) as person:
        await person.connection.send(ToolResult("old", {"time": "noon"}))
        assert (await person.one(ResponseFinished)).turn == 3
    assert server.violations == []


async def test_a_reset_ends_the_events_and_the_next_connection_works(
    server: GptLiveServer, provider: Provider
):
    person = Listener(await provider.connect(Setup("s")))
    server.drop()
    assert isinstance(await person.ended(2), ProviderUnavailable)
    with pytest.raises(ProviderUnavailable):
        await person.connection.send(SendText(1, "hello"))
    await person.connection.close()
    async with talking(provider) as again:
        await again.connection.send(SendText(1, "hello"))
        await again.one(ResponseStarted)


async def test_a_path_that_falls_silent_is_noticed(server: GptLiveServer, provider: Provider):
    person = Listener(await provider.connect(Setup("s")))
    await asyncio.sleep(0.1)
    server.stall()
    assert isinstance(await person.ended(20), ProviderUnavailable)
    await person.connection.close()


async def test_a_set_up_that_hangs_can_be_given_up(server: GptLiveServer, provider: Provider):
    server.hang_in_setup()
    await provider.warm()
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await provider.connect(Setup("s"))
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        ("reject_credentials", CredentialsRejected),
        ("quota", QuotaExhausted),
        ("rate_limit", RateLimited),
    ],
)
async def test_refusals_are_told_apart(
    server: GptLiveServer, provider: Provider, refusal: str, kind: type[ApplianceError]
):
    getattr(server, refusal)()
    with pytest.raises(kind) as raised:
        await provider.connect(Setup("s"))
    assert KEY not in str(raised.value)
    if isinstance(raised.value, RateLimited):
        assert raised.value.retry_after == 2


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (3000, "invalid_request_error.invalid_api_key", CredentialsRejected),
        (1008, "", SetupRejected),
        (1011, "", ProviderUnavailable),
    ],
)
async def test_a_close_during_set_up_says_why(
    server: GptLiveServer, provider: Provider, code: int, reason: str, kind: type[ApplianceError]
):
    server.close_in_setup(code, reason)
    with pytest.raises(ApplianceError) as raised:
        await provider.connect(Setup("s"))
    assert type(raised.value) is kind


async def test_an_unknown_model_is_a_refused_set_up(server: GptLiveServer):
    provider = made(server, model="gpt-live-99")
    with pytest.raises(SetupRejected):
        await provider.connect(Setup("s"))
    await provider.close()


async def test_a_service_that_is_not_there_is_unreachable(server: GptLiveServer):
    provider = made(server, base_url="http://127.0.0.1:9/v1")
    with pytest.raises(ProviderUnavailable, match="nothing listens"):
        await provider.connect(Setup("s"))
    await provider.close()


async def test_without_a_key_it_says_where_one_belongs(
    monkeypatch: pytest.MonkeyPatch, server: GptLiveServer
):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(CredentialsRejected) as raised:
        await made(server, api_key="").warm()
    assert "OPENAI_API_KEY" in raised.value.hint


@pytest.mark.parametrize("key", ["sk 1", "sk-\u00e9", "sk-1\nsk-2"])
async def test_a_key_that_cannot_be_one_is_never_sent(server: GptLiveServer, key: str):
    with pytest.raises(CredentialsRejected) as raised:
        await made(server, api_key=key).connect(Setup("s"))
    assert key not in raised.value.message
    assert server.violations == []


def test_faults_of_its_settings_are_named():
    with pytest.raises(ConfigurationInvalid, match="did you mean 'tool_model'"):
        GptLive({"tool_modell": "big"})


async def test_a_close_in_the_talk_is_a_disconnect_whatever_its_code(
    server: GptLiveServer, provider: Provider
):
    person = Listener(await provider.connect(Setup("s")))
    await asyncio.sleep(0.1)
    await server.close(1008)
    fault = await person.ended(2)
    assert type(fault) is ProviderUnavailable
    assert "1008" in fault.message
    await person.connection.close()


@pytest.mark.parametrize(
    "text", ["{", "[]", "null", "[" * 100_000, "x" * 3_000_000, '{"type":"session.output_audio.delta"}']
)
async def test_garbage_is_told_and_the_talk_goes_on(server: GptLiveServer, provider: Provider, text: str):
    async with talking(provider) as person:
        for _ in range(3):
            await server.send_raw(text)
        await person.connection.send(SendText(1, "hello"))
        await person.one(ResponseFinished, turn=1)
        assert len([e for e in person.events if isinstance(e, ProviderTrouble)]) == 1


async def test_what_no_socket_takes_is_typed_all_the_same(server: GptLiveServer, provider: Provider):
    async with talking(provider) as person:
        await person.connection.send(SendText(1, "half a pair: \ud800"))
        await person.one(ResponseFinished, turn=1)
        assert server.sessions[0].notes[0]["content"].endswith("half a pair: ?")


@pytest.mark.parametrize("expires_in", [-1e9, 1e10, 1e300])
async def test_a_session_with_a_senseless_end_begins_all_the_same(server: GptLiveServer, expires_in: float):
    server.expires_in = expires_in
    provider = made(server)
    async with talking(provider) as person:
        await person.speak(1)
        await person.one(ResponseFinished, turn=1)
    await provider.close()


async def test_a_session_that_soon_expires_is_to_be_renewed(server: GptLiveServer, provider: Provider):
    server.expires_in = 2.0
    async with talking(provider) as person:
        due = await person.one(RenewalDue)
        assert 0.4 <= due.seconds <= 1.1
