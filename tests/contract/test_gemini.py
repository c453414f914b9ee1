"""Gemini Live over its real socket, against a strict service: what ProviderContract does not ask of everybody."""

import asyncio
import base64
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
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
    RenewalDue,
    ResponseAudio,
    ResponseFinished,
    ResponseStarted,
    ResponseText,
    ResumptionHandle,
    SendAudio,
    SendText,
    Setup,
    ToolCall,
    ToolCallWithdrawn,
    ToolDeclaration,
    ToolResult,
    TurnEnded,
    UserHeard,
)
from appliance.providers.realtime.gemini import GeminiLive
from tests.fakes.gemini_live import KEY, GeminiServer, Samples, answer_sound
from tests.rig.sounds import tone
from tests.rig.talker import Talker
from tests.rig.wire import Wire

TOOLS = (ToolDeclaration("get_time", "Says what time it is.", {"type": "object", "properties": {}}),)
SPEECH = tone(440, 0.6, 16_000)
SILENCE = np.zeros(16_000, np.int16)


class Talk(Talker):
    """Who says mostly the same."""

    async def says(self, turn: int, samples: Samples = SPEECH, *, pace: float = 0.0) -> None:
        await super().says(turn, samples, pace=pace)

    async def asks(self, turn: int, samples: Samples = SPEECH, *, pace: float = 0.0) -> None:
        await super().asks(turn, samples, pace=pace)

    async def handle(self) -> str:
        """The first that is good for anything."""
        return (await self.until(ResumptionHandle, lambda one: bool(one.handle))).handle


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[GeminiServer]:
    async with GeminiServer() as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
        yield server


@pytest.fixture
async def provider(server: GeminiServer) -> AsyncIterator[GeminiLive]:
    provider = GeminiLive({"api_key": KEY, "base_url": server.url})
    yield provider
    await provider.close()


@asynccontextmanager
async def talking(provider: GeminiLive, **setup: Any) -> AsyncIterator[Talk]:
    talk = Talk(await provider.connect(Setup("s1", **{"tools": TOOLS, **setup})))
    try:
        yield talk
    finally:
        await talk.close()


class TestSetUp:
    async def test_every_session_can_be_resumed_is_compressed_and_transcribed(
        self, server: GeminiServer, provider: GeminiLive
    ) -> None:
        async with talking(provider, instructions="Be brief.", voice="Kore"):
            setup = server.session.setup
            assert setup["model"] == "models/gemini-3.8-live"
            assert setup["sessionResumption"] == {}
            assert setup["contextWindowCompression"] == {"slidingWindow": {}}
            assert setup["outputAudioTranscription"] == {}
            assert setup["inputAudioTranscription"] == {"languageCodes": ["en"]}
            assert setup["systemInstruction"]["parts"] == [{"text": "Be brief."}]
            assert setup["generationConfig"]["speechConfig"] == {
                "voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}
            }
            assert "historyConfig" not in setup
        assert server.violations == []

    async def test_one_client_serves_all_connections(
        self, server: GeminiServer, provider: GeminiLive
    ) -> None:
        async with talking(provider) as one, talking(provider) as other:
            server.will_say("first")
            await one.is_answered(1)
            server.will_say("second")
            await other.is_answered(1)
            assert not [event for event in one.of(ResponseText) if "second" in event.text]

    async def test_a_dial_that_gave_up_while_the_sdk_was_loading_leaves_it_to_the_next(
        self, server: GeminiServer, provider: GeminiLive
    ) -> None:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await provider.connect(Setup("s1"))
        async with talking(provider) as talk:
            assert (await talk.is_answered(1)).status == "completed"

    async def test_stray_variables_of_another_service_turn_nothing_over(
        self, server: GeminiServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("GOOGLE_GENAI_USE_VERTEXAI", "GOOGLE_GENAI_USE_ENTERPRISE"):
            monkeypatch.setenv(name, "true")
        monkeypatch.setenv("GEMINI_API_KEY", KEY)
        provider = GeminiLive({"base_url": server.url})
        async with talking(provider) as talk:
            assert (await talk.is_answered(1)).status == "completed"

    async def test_a_server_without_tls_is_spoken_to_in_plain(self) -> None:
        async with (
            GeminiServer(tls=False) as server,
            talking(GeminiLive({"api_key": KEY, "base_url": server.url})) as talk,
        ):
            assert (await talk.is_answered(1)).status == "completed"

    def test_unknown_and_wrong_keys_are_refused_by_name(self) -> None:
        with pytest.raises(ConfigurationInvalid) as fault:
            GeminiLive({"voise": "Kore", "turns": "never", "api_key": "s3cret", "base_url": "ftp://x"})
        for key in ("voise", "turns", "base_url"):
            assert f"providers.gemini.{key}" in fault.value.message
        assert "s3cret" not in fault.value.message

    async def test_the_history_is_told_silently_and_without_a_handle(
        self, server: GeminiServer, provider: GeminiLive
    ) -> None:
        history = [
            HistoryItem("user", "what time is it"),
            CalledTool("c1", "get_time", "{}", '{"time": "10:32"}'),
            HistoryItem("assistant", "It is 10:32."),
            HistoryItem("assistant", "Anything else?"),
            HistoryItem("user", " "),
        ]
        async with talking(provider, history=history) as talk:
            await talk.quiet()
            assert talk.events == []
            assert server.session.setup["historyConfig"] == {"initialHistoryInClientContent": True}
            told = server.session.memory.history
            assert [role for role, _ in told] == ["user", "model"]
            assert "10:32" in told[0][1]
            assert told[1][1] == "It is 10:32. Anything else?"
            server.will_say("gladly")
            await talk.asks(4)
            assert (await talk.finished(4)).status == "completed"
        assert server.violations == []


class TestRefusals:
    @pytest.mark.parametrize(
        ("refuse", "kind"),
        [
            (lambda server: server.reject_credentials(), CredentialsRejected),
            (lambda server: server.reject_credentials(how="close"), CredentialsRejected),
            (
                lambda server: server.answer_http(403, '{"error":{"status":"PERMISSION_DENIED"}}'),
                CredentialsRejected,
            ),
            (lambda server: server.answer_http(401), CredentialsRejected),
            (lambda server: server.exhaust_quota(), QuotaExhausted),
            (lambda server: server.exhaust_quota(how="close"), QuotaExhausted),
            (lambda server: server.limit(), RateLimited),
            (lambda server: server.answer_http(429, headers={"Retry-After": "3"}), RateLimited),
            (lambda server: server.close_in_setup(1008, "no such model"), SetupRejected),
            (
                lambda server: server.close_in_setup(1007, "Request contains an invalid argument."),
                SetupRejected,
            ),
            (lambda server: server.close_in_setup(1011, "Internal error occurred."), ProviderUnavailable),
            (lambda server: server.close_in_setup(1000, ""), ProviderUnavailable),
            (lambda server: server.answer_http(503), ProviderUnavailable),
            (lambda server: server.answer_http(404), SetupRejected),
        ],
    )
    async def test_each_refusal_is_told_for_what_it_is(
        self,
        server: GeminiServer,
        provider: GeminiLive,
        refuse: Callable[[GeminiServer], None],
        kind: type[ApplianceError],
    ) -> None:
        refuse(server)
        with pytest.raises(kind) as fault:
            await provider.connect(Setup("s1"))
        assert type(fault.value) is kind
        assert KEY not in fault.value.message
        server.forgive()
        await (await provider.connect(Setup("s1"))).close()

    @pytest.mark.parametrize(
        "first", ["{", b"\xff\xfe", "[]", '{"setupComplete": 7}', '{"hello": 1}', "7", "null"]
    )
    async def test_a_first_message_that_makes_no_sense_refuses_nothing_for_good(
        self, server: GeminiServer, provider: GeminiLive, first: str | bytes
    ) -> None:
        server.greet_with(first)
        with contextlib.suppress(ProviderUnavailable):
            await (await provider.connect(Setup("s1"))).close()
        server.forgive()
        await (await provider.connect(Setup("s1"))).close()

    async def test_what_makes_no_sense_before_the_session_is_set_up_is_told(
        self, server: GeminiServer, provider: GeminiLive
    ) -> None:
        server.greet_with('{"serverContent": {}}', "{", '{"goAway": {"timeLeft": "50s"}}')
        async with talking(provider) as talk:
            await talk.is_answered(1)
            assert "message_malformed" in talk.troubles()
            assert talk.of(RenewalDue) == [RenewalDue(50)]

    async def test_a_limit_says_when_to_come_again(self, server: GeminiServer, provider: GeminiLive) -> None:
        server.limit()
        with pytest.raises(RateLimited) as fault:
            await provider.connect(Setup("s1"))
        assert fault.value.retry_after == 7.5

    async def test_an_unknown_model_is_a_fault_of_the_configuration(self, server: GeminiServer) -> None:
        with pytest.raises(SetupRejected):
            await GeminiLive({"api_key": KEY, "base_url": server.url, "model": "gemini-0"}).connect(
                Setup("s")
            )

    async def test_no_key_and_no_possible_key_are_told_without_a_dial(
        self, server: GeminiServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("GOOGLE_API_KEY", "GEMINI_API_KEY"):
            monkeypatch.delenv(name, raising=False)
        for key in ("", "two words", "schlüssel", "env:HANDSET_NO_SUCH_KEY"):
            with pytest.raises(CredentialsRejected) as fault:
                await GeminiLive({"api_key": key, "base_url": server.url}).connect(Setup("s1"))
            assert fault.value.hint
            assert not key or key.startswith("env:") or key not in fault.value.message
        assert server.dials == 0

    async def test_a_wrong_key_is_refused(self, server: GeminiServer) -> None:
        with pytest.raises(CredentialsRejected):
            await GeminiLive({"api_key": "wrong", "base_url": server.url}).connect(Setup("s1"))

    async def test_a_name_that_does_not_resolve_is_told(self) -> None:
        with pytest.raises(ProviderUnavailable, match="does not resolve"):
            await GeminiLive({"api_key": KEY, "base_url": "https://nowhere.invalid"}).connect(Setup("s1"))

    async def test_nobody_listening_is_told(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            url = f"https://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ProviderUnavailable, match="nothing listens"):
            await GeminiLive({"api_key": KEY, "base_url": url}).connect(Setup("s1"))

    async def test_an_untrusted_certificate_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
        async with GeminiServer() as server:
            with pytest.raises(ProviderUnavailable, match="not trusted"):
                await GeminiLive({"api_key": KEY, "base_url": server.url}).connect(Setup("s1"))

    async def test_no_tls_where_some_is_expected_is_told(self, server: GeminiServer) -> None:
        async with GeminiServer(tls=False) as plain:
            url = plain.url.replace("http:", "https:")
            with pytest.raises(ProviderUnavailable):
                await GeminiLive({"api_key": KEY, "base_url": url}).connect(Setup("s1"))

    async def test_a_set_up_that_hangs_ends_with_the_callers_deadline_and_leaves_no_socket(
        self, server: GeminiServer, provider: GeminiLive
    ) -> None:
        server.hang_in_setup()
        await provider.warm()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await provider.connect(Setup("s1"))
        async with asyncio.timeout(1):
            await server.session.socket.wait_closed()
        async with talking(provider) as talk:
            await talk.is_answered(1)


class TestResumption:
    async def test_a_handle_comes_after_an_answer_and_none_is_good_while_one_is_made(
        self, server: GeminiServer, provider: GeminiLive
    ) -> None:
        async with talking(provider) as talk:
            await talk.is_answered(1)
            first = await talk.until(ResumptionHandle, lambda one: bool(one.handle))
            assert first.handle == server.session.handle
            await talk.is_answered(2)
            await talk.until(ResumptionHandle, lambda one: bool(one.handle) and one != first)
            handles = [one.handle for one in talk.of(ResumptionHandle)]
            assert handles == [first.handle, "", server.session.handle]
            began = talk.events.index(talk.of(ResponseStarted)[1])
            assert talk.events.index(ResumptionHandle("")) < began

    async def test_a_resumed_session_knows_the_conversation_and_is_told_nothing(
        self, server: GeminiServer, provider: GeminiLive
    ) -> None:
        async with talking(provider) as talk:
            await talk.types(1, "my name is Ada")
            handle = await talk.handle()
        history = [HistoryItem("user", "my name is Ada")]
        async with talking(provider, handle=handle, history=history) as talk:
            assert server.session.resumed_from == handle
            assert ("user", "my name is Ada") in server.session.memory.history
            await talk.asks(2)
            await talk.until(ToolCall)
            assert not [one for one in server.session.received if "clientContent" in one]
        assert server.violations == []

    async def test_a_handle_that_is_refused_is_replaced_by_the_told_history_in_the_same_dial(
        self, server: GeminiServer, provider: GeminiLive
    ) -> None:
        history = [HistoryItem("user", "my name is Ada"), HistoryItem("assistant", "Hello Ada.")]
        for dials in (2, 3):
            async with talking(provider, handle="long-gone", history=history) as talk:
                assert (await talk.until(ProviderTrouble)).code == "handle_refused"
                assert server.session.resumed_from == ""
                await talk.quiet(0.1)
                assert server.session.memory.history == [("user", "my name is Ada"), ("model", "Hello Ada.")]
                # It is not tried again.
                assert server.dials == dials
        assert server.violations == []

    @pytest.mark.parametrize(
        ("code", "reason", "kind"),
        [
            (1007, "API key not valid. Please pass a valid API key.", CredentialsRejected),
            (1011, "Resource has been exhausted (e.g. check quota).", RateLimited),
            (1011, "You exceeded your current quota.", QuotaExhausted),
        ],
    )
    async def test_another_refusal_is_not_taken_for_a_bad_handle(
        self, server: GeminiServer, provider: GeminiLive, code: int, reason: str, kind: type[ApplianceError]
    ) -> None:
        server.close_in_setup(code, reason)
        with pytest.raises(kind):
            await provider.connect(Setup("s1", handle="some"))
        assert server.dials == 1

    async def test_a_session_that_breaks_over_its_handle_is_not_resumed_by_it_again(
        self, server: GeminiServer, provider: GeminiLive
    ) -> None:
        async with talking(provider) as talk:
            await talk.types(1)
            handle = await talk.handle()
        async with talking(provider, handle=handle) as talk:
            await server.close(1007, "Request contains an invalid argument.")
            await talk.ended()
            assert type(talk.fault) is ProviderUnavailable
        async with talking(provider, handle=handle):
            assert server.session.resumed_from == ""

    async def test_a_call_makes_the_handle_useless_until_the_service_gives_another(
        self, server: GeminiServer, provider: GeminiLive
    ) -> None:
        async with talking(provider) as talk:
            await talk.types(1)
            await talk.until(ResumptionHandle, lambda one: bool(one.handle))
            server.will_call("get_time")
            await talk.types(2)
            call = await talk.until(ToolCall)
            assert talk.of(ResumptionHandle)[-1].handle == ""
            await talk.quiet()
            assert talk.of(ResumptionHandle)[-1].handle == ""
            await talk.connection.send(ToolResult(call.call_id, {"time": "10:32"}))
            await talk.finished(2)
            await talk.until(ResumptionHandle, lambda one: one.handle == server.session.handle)


class TestTurns:
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
        section = {"api_key": KEY, "base_url": server.url, "model": "gemini-3.1-flash-live-preview"}
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


class TestServerTurns:
    @pytest.fixture
    async def provider(self, server: GeminiServer) -> AsyncIterator[GeminiLive]:
        section = {"api_key": KEY, "base_url": server.url, "turns": "server", "silence_ms": 300}
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


class TestTools:
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


class TestRenewal:
    async def test_a_go_away_says_how_long(self, server: GeminiServer, provider: GeminiLive) -> None:
        server.go_away(0.6)
        async with talking(provider) as talk:
            assert (await talk.until(RenewalDue)).seconds == pytest.approx(0.6)
            await talk.ended(3)
            assert type(talk.fault) is ProviderUnavailable

    @pytest.mark.parametrize("left", ["soon", None, 7, {"seconds": "x"}, "-3s"])
    async def test_a_go_away_that_makes_no_sense_is_one_all_the_same(
        self, server: GeminiServer, provider: GeminiLive, left: Any
    ) -> None:
        async with talking(provider) as talk:
            await server.send_raw(json.dumps({"goAway": {"timeLeft": left}}))
            assert 0 <= (await talk.until(RenewalDue)).seconds <= 10

    async def test_without_a_go_away_renewal_is_asked_for_a_minute_before_the_limit(
        self, server: GeminiServer, provider: GeminiLive
    ) -> None:
        provider.connection_seconds = 60.2
        async with talking(provider) as talk:
            assert (await talk.until(RenewalDue)).seconds == 60.0

    async def test_it_is_not_asked_for_twice(self, server: GeminiServer, provider: GeminiLive) -> None:
        provider.connection_seconds = 60.4
        async with talking(provider) as talk:
            server.go_away(50.0)
            await talk.quiet(0.8)
            assert [one.seconds for one in talk.of(RenewalDue)] == [50.0]


def _content(**fields: Any) -> str:
    return json.dumps({"serverContent": fields})


def _sound(data: Any, mime: Any = "audio/pcm;rate=24000") -> str:
    return _content(modelTurn={"parts": [{"inlineData": {"mimeType": mime, "data": data}}]})


class TestGarbage:
    @pytest.mark.parametrize(
        ("raw", "trouble"),
        [
            (b"{", "message_malformed"),
            (b"\xff\xfe\x00", "message_malformed"),
            (b"[1]", "message_malformed"),
            (b"null", "message_malformed"),
            (b"[" * 50_000, "message_malformed"),
            (b"{}", "message_unknown"),
            (b'{"cookies":1}', "message_unknown"),
            (_content(futureField=1), "field_unknown"),
            ('{"serverContent":5}', "field_malformed"),
            (_content(modelTurn=7), "field_malformed"),
            (_content(modelTurn={"parts": {}}), "field_malformed"),
            (_content(outputTranscription={"text": 4}), "field_malformed"),
            (_content(inputTranscription=[]), "field_malformed"),
            (_sound("%%%"), "audio_malformed"),
            (_sound(12), "audio_malformed"),
            (_sound(base64.b64encode(b"abc").decode()), "audio_malformed"),
            (_sound("AAAA", "video/mp4"), "audio_format"),
            (_sound("AAAA", "audio/pcm;rate=7"), "audio_format"),
            ('{"toolCall":{}}', "field_malformed"),
            ('{"toolCall":{"functionCalls":[{"name":"x"}]}}', "call_malformed"),
            ('{"toolCallCancellation":{"ids":3}}', "field_malformed"),
            ('{"usageMetadata":{"promptTokenCount":-4}}', "field_malformed"),
            ('{"usageMetadata":{"promptTokenCount":1e300}}', "field_malformed"),
            ('{"sessionResumptionUpdate":1}', "field_malformed"),
            ('{"error":{"status":"INTERNAL"}}', "service_error"),
        ],
    )
    async def test_it_is_told_and_the_talk_goes_on(
        self, server: GeminiServer, provider: GeminiLive, raw: bytes | str, trouble: str
    ) -> None:
        async with talking(provider) as talk:
            await server.send_raw(raw)
            assert (await talk.until(ProviderTrouble)).code == trouble
            await server.send_raw(_content(turnComplete=True))
            await talk.quiet(0.05)
            server.will_say("still here")
            done = await talk.is_answered(1)
            assert (done.status, talk.said(done.response)) == ("completed", "still here")

    async def test_the_same_trouble_is_told_ever_less_often(
        self, server: GeminiServer, provider: GeminiLive
    ) -> None:
        async with talking(provider) as talk:
            for _ in range(250):
                await server.send_raw(b"{")
            await talk.is_answered(1)
            assert len(talk.of(ProviderTrouble)) == 3

    async def test_a_message_of_two_megabytes_is_taken(
        self, server: GeminiServer, provider: GeminiLive
    ) -> None:
        async with talking(provider) as talk:
            pcm = bytes(3 * 512 * 1024)
            await server.send_raw(_sound(base64.b64encode(pcm).decode()))
            await talk.until(ResponseAudio)
            assert sum(len(one.pcm) for one in talk.of(ResponseAudio)) == len(pcm)

    async def test_another_declared_rate_is_told_with_the_sound(
        self, server: GeminiServer, provider: GeminiLive
    ) -> None:
        async with talking(provider) as talk:
            await server.send_raw(_sound(base64.b64encode(bytes(320)).decode(), "audio/pcm;rate=16000"))
            assert (await talk.until(ResponseAudio)).rate == 16_000


class TestEnds:
    @pytest.mark.parametrize(
        ("code", "reason", "kind"),
        [
            (1000, "", ProviderUnavailable),
            (1001, "going", ProviderUnavailable),
            (1007, "Request contains an invalid argument.", ProviderUnavailable),
            (1008, "Requested entity was not found.", ProviderUnavailable),
            (1011, "Internal error occurred.", ProviderUnavailable),
            (1011, "Deadline expired before operation could complete.", ProviderUnavailable),
            (4321, "?", ProviderUnavailable),
            (1011, "You exceeded your current quota, please check your plan and billing.", QuotaExhausted),
            (1011, "Resource has been exhausted (e.g. check quota).", RateLimited),
            (1008, "API key expired. Please renew the API key.", CredentialsRejected),
        ],
    )
    async def test_a_close_is_a_disconnect_with_its_reason(
        self, server: GeminiServer, provider: GeminiLive, code: int, reason: str, kind: type[ApplianceError]
    ) -> None:
        async with talking(provider) as talk:
            await talk.is_answered(1)
            await server.close(code, reason)
            await talk.ended(1)
            assert type(talk.fault) is kind
            with pytest.raises(ApplianceError):
                await talk.types(2)

    async def test_a_reset_is_a_disconnect_at_once_and_what_came_is_kept(
        self, server: GeminiServer, provider: GeminiLive
    ) -> None:
        server.will_say("a long story", 4.0)
        async with talking(provider) as talk:
            await talk.asks(1)
            await talk.until(ResponseAudio)
            server.drop()
            await talk.ended(0.5)
            assert isinstance(talk.fault, ProviderUnavailable)

    async def test_a_service_that_falls_silent_is_noticed_within_two_seconds(
        self, server: GeminiServer, provider: GeminiLive
    ) -> None:
        async with talking(provider) as talk:
            await talk.is_answered(1)
            await talk.quiet(0.7)
            server.stall()
            began = time.monotonic()
            await talk.ended(3)
            assert time.monotonic() - began <= 2.0
            assert type(talk.fault) is ProviderUnavailable

    async def test_a_path_that_forwards_nothing_more_is_noticed_within_two_seconds_while_one_speaks(
        self, server: GeminiServer
    ) -> None:
        async with (
            Wire("127.0.0.1", server.port) as wire,
            talking(GeminiLive({"api_key": KEY, "base_url": f"https://127.0.0.1:{wire.port}"})) as talk,
        ):
            await talk.says(1)
            wire.stall()
            began = time.monotonic()
            while not talk.over and time.monotonic() - began < 3:
                try:
                    await talk.says(1, SPEECH[:320])
                except ProviderUnavailable:
                    break
                await asyncio.sleep(0.02)
            await talk.ended(1)
            assert time.monotonic() - began <= 2.0

    async def test_an_idle_connection_lives(self, server: GeminiServer, provider: GeminiLive) -> None:
        async with talking(provider) as talk:
            await talk.quiet(3.0)
            assert (await talk.is_answered(1)).status == "completed"

    async def test_a_session_that_does_not_read_keeps_its_connection(
        self, server: GeminiServer, provider: GeminiLive
    ) -> None:
        server.will_say("a long story", 30.0)
        server.speed = 20.0
        connection = await provider.connect(Setup("s1"))
        await connection.send(SendText(1, "tell me"))
        await asyncio.sleep(2.5)
        talk = Talk(connection)
        done = await talk.finished(1)
        assert len(talk.sound(done.response)) == 30 * 24_000
        await talk.close()
