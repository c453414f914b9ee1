"""Gemini Live over its real socket, against a strict service: set-up, resumption, renewal."""

import asyncio
import json
from typing import Any

import pytest

from appliance.errors import (
    ApplianceError,
    ConfigurationInvalid,
    CredentialsRejected,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
)
from appliance.interfaces import (
    CalledTool,
    HistoryItem,
    ProviderTrouble,
    RenewalDue,
    ResponseStarted,
    ResponseText,
    ResumptionHandle,
    Setup,
    ToolCall,
    ToolResult,
)
from appliance.providers.realtime.gemini import GeminiLive
from tests.contract.gemini_talk import GeminiStories, talking
from tests.fakes.gemini_live import KEY, GeminiServer


class TestSetUp(GeminiStories):
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
        provider = GeminiLive({"base_url": server.base_url})
        async with talking(provider) as talk:
            assert (await talk.is_answered(1)).status == "completed"

    async def test_a_server_without_tls_is_spoken_to_in_plain(self) -> None:
        async with (
            GeminiServer(tls=False) as server,
            talking(GeminiLive({"api_key": KEY, "base_url": server.base_url})) as talk,
        ):
            assert (await talk.is_answered(1)).status == "completed"

    def test_unknown_and_wrong_keys_are_refused_by_name(self) -> None:
        with pytest.raises(ConfigurationInvalid) as fault:
            GeminiLive({"voise": "Kore", "turns": "never", "api_key": "s3cret", "base_url": "ftp://x"})
        for told in (
            "[providers.gemini] has no key 'voise'",
            "providers.gemini.turns",
            "providers.gemini.base_url",
        ):
            assert told in fault.value.message
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


class TestResumption(GeminiStories):
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


class TestRenewal(GeminiStories):
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
