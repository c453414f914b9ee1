"""Gemini Live over its real socket: what it refuses, what makes no sense of what it says, and how connections end."""

import asyncio
import base64
import contextlib
import json
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from appliance.errors import (
    ApplianceError,
    CredentialsRejected,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    SetupRejected,
)
from appliance.interfaces import ProviderTrouble, RenewalDue, ResponseAudio, SendText, Setup
from appliance.providers.realtime.gemini import GeminiLive
from tests.contract.gemini_talk import SPEECH, GeminiStories, Talk, talking
from tests.fakes.gemini_live import BAD_KEY, KEY, SPENT, GeminiServer
from tests.rig.wire import Wire


class TestRefusals(GeminiStories):
    @pytest.mark.parametrize(
        ("refuse", "kind"),
        [
            (lambda server: server.reject_credentials(standing=True), CredentialsRejected),
            (lambda server: server.close_in_setup(1007, BAD_KEY), CredentialsRejected),
            (
                lambda server: server.answer_http(403, '{"error":{"status":"PERMISSION_DENIED"}}'),
                CredentialsRejected,
            ),
            (lambda server: server.answer_http(401), CredentialsRejected),
            (lambda server: server.quota(standing=True), QuotaExhausted),
            (lambda server: server.close_in_setup(1011, SPENT), QuotaExhausted),
            (lambda server: server.rate_limit(standing=True), RateLimited),
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
        server.rate_limit()
        with pytest.raises(RateLimited) as fault:
            await provider.connect(Setup("s1"))
        assert fault.value.retry_after == 7.5

    async def test_an_unknown_model_is_a_fault_of_the_configuration(self, server: GeminiServer) -> None:
        with pytest.raises(SetupRejected):
            await GeminiLive({"api_key": KEY, "base_url": server.base_url, "model": "gemini-0"}).connect(
                Setup("s")
            )

    async def test_no_key_and_no_possible_key_are_told_without_a_dial(
        self, server: GeminiServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("GOOGLE_API_KEY", "GEMINI_API_KEY"):
            monkeypatch.delenv(name, raising=False)
        for key in ("", "two words", "schlüssel", "env:HANDSET_NO_SUCH_KEY"):
            with pytest.raises(CredentialsRejected) as fault:
                await GeminiLive({"api_key": key, "base_url": server.base_url}).connect(Setup("s1"))
            assert fault.value.hint
            assert not key or key.startswith("env:") or key not in fault.value.message
        assert server.dials == 0

    async def test_a_wrong_key_is_refused(self, server: GeminiServer) -> None:
        with pytest.raises(CredentialsRejected):
            await GeminiLive({"api_key": "wrong", "base_url": server.base_url}).connect(Setup("s1"))

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
                await GeminiLive({"api_key": KEY, "base_url": server.base_url}).connect(Setup("s1"))

    async def test_no_tls_where_some_is_expected_is_told(self, server: GeminiServer) -> None:
        async with GeminiServer(tls=False) as plain:
            url = plain.base_url.replace("http:", "https:")
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


def _content(**fields: Any) -> str:
    return json.dumps({"serverContent": fields})


def _sound(data: Any, mime: Any = "audio/pcm;rate=24000") -> str:
    return _content(modelTurn={"parts": [{"inlineData": {"mimeType": mime, "data": data}}]})


class TestGarbage(GeminiStories):
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
            assert len(talk.of(ProviderTrouble)) == 8, "after the 1st, 2nd, 4th, ... 128th"

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


class TestEnds(GeminiStories):
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
