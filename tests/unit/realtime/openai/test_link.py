"""OpenAI Realtime over a socket: dialling, and every way in which the link can end."""

import asyncio
import json
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
from appliance.interfaces import (
    CommitTurn,
    ProviderTrouble,
    RenewalDue,
    ResponseAudio,
    ResponseFinished,
    SendText,
    Setup,
    ToolDeclaration,
)
from tests.fakes.openai_realtime import FakeOpenAi
from tests.unit.realtime.openai.talker import provider_of, speech, talking

pytestmark = pytest.mark.slow


# --- dialling ---


async def test_the_session_is_configured_before_anything_is_said(cloud: FakeOpenAi) -> None:
    tool = ToolDeclaration("get_time", "The time.", {"type": "object", "properties": {}})
    provider = provider_of(cloud, voice="cedar", speed=1.2, reasoning="low", max_output_tokens=500)
    async with talking(provider, instructions="Be brief.", tools=[tool], language="de-DE"):
        config = cloud.session.config
        assert config["instructions"] == "Be brief."
        assert config["tools"][0]["name"] == "get_time"
        assert config["audio"]["input"]["turn_detection"] is None
        assert config["audio"]["input"]["noise_reduction"] == {"type": "far_field"}
        assert config["audio"]["input"]["transcription"] == {"model": "gpt-transcribe", "language": "de"}
        assert config["audio"]["output"]["voice"] == "cedar"
        assert cloud.session.model == "gpt-realtime-2.1"
    assert cloud.violations == []


@pytest.mark.parametrize(
    ("fate", "becomes"),
    [
        (FakeOpenAi.reject_credentials, CredentialsRejected),
        (FakeOpenAi.quota, QuotaExhausted),
        (FakeOpenAi.rate_limit, RateLimited),
        (FakeOpenAi.drop_in_setup, ProviderUnavailable),
    ],
)
async def test_a_refused_dial_says_why(
    cloud: FakeOpenAi, fate: Callable[[FakeOpenAi], None], becomes: type[ApplianceError]
) -> None:
    provider = provider_of(cloud)
    fate(cloud)
    with pytest.raises(ApplianceError) as told:
        await provider.connect(Setup("s1"))
    assert type(told.value) is becomes
    assert cloud.key not in told.value.message
    async with talking(provider) as talker:
        await talker.connection.send(SendText(1, "hello"))
        await talker.finished(1)


@pytest.mark.parametrize(
    ("code", "reason", "becomes"),
    [
        (1007, "", SetupRejected),
        (1008, "policy", SetupRejected),
        (3000, "invalid_request_error.invalid_api_key", CredentialsRejected),
        (4000, "invalid_request_error.model_not_found", SetupRejected),
        (4000, "insufficient_quota.insufficient_quota", QuotaExhausted),
        (3000, "server_error.overloaded", ProviderUnavailable),
        (3000, "", ProviderUnavailable),
        (1000, "", ProviderUnavailable),
        (1001, "going away", ProviderUnavailable),
        (1011, "", ProviderUnavailable),
    ],
)
async def test_a_close_during_set_up_says_why(
    cloud: FakeOpenAi, code: int, reason: str, becomes: type[ApplianceError]
) -> None:
    provider = provider_of(cloud)
    cloud.close_in_setup(code, reason)
    with pytest.raises(ApplianceError) as told:
        await provider.connect(Setup("s1"))
    assert type(told.value) is becomes
    async with talking(provider):
        pass


async def test_a_rate_limit_says_for_how_long(cloud: FakeOpenAi) -> None:
    cloud.rate_limit()
    with pytest.raises(RateLimited) as told:
        await provider_of(cloud).connect(Setup("s1"))
    assert told.value.retry_after == 2.0


@pytest.mark.parametrize(
    ("configured", "agents", "sent"),
    [
        ("voice_1234", "", {"id": "voice_1234"}),
        ("cedar", "voice_1234", {"id": "voice_1234"}),
        ("cedar", "ash", "ash"),
        ("cedar", "Kore", "cedar"),
        ("", "JBFqnCBsd6RMkjVDRZzb", "marin"),
    ],
)
async def test_the_voice_is_the_agents_where_the_service_has_it(
    cloud: FakeOpenAi, configured: str, agents: str, sent: object
) -> None:
    async with talking(provider_of(cloud, voice=configured), voice=agents):
        assert cloud.session.config["audio"]["output"]["voice"] == sent
    assert cloud.violations == []


@pytest.mark.parametrize(
    "section", [{"model": "gpt-9"}, {"voice": "nobody"}, {"transcription_model": "gpt-none"}]
)
async def test_what_the_service_does_not_know_is_no_setup(cloud: FakeOpenAi, section: dict[str, str]) -> None:
    with pytest.raises(SetupRejected):
        await provider_of(cloud, **section).connect(Setup("s1"))


async def test_a_wrong_path_is_no_setup(cloud: FakeOpenAi) -> None:
    with pytest.raises(SetupRejected):
        await provider_of(cloud, base_url=cloud.base_url + "/other").connect(Setup("s1"))


async def test_nothing_listens_for_a_while(cloud: FakeOpenAi) -> None:
    provider = provider_of(cloud)
    cloud.refuse(0.3)
    with pytest.raises(ProviderUnavailable, match="nothing listens"):
        await provider.connect(Setup("s1"))
    await asyncio.sleep(0.5)
    async with talking(provider):
        pass


async def test_a_name_that_does_not_resolve_is_told(cloud: FakeOpenAi) -> None:
    with pytest.raises(ProviderUnavailable, match=r"handset\.invalid"):
        await provider_of(cloud, base_url="http://handset.invalid/v1").connect(Setup("s1"))


async def test_tls_with_a_server_that_has_none_is_told(cloud: FakeOpenAi) -> None:
    with pytest.raises(ProviderUnavailable):
        await provider_of(cloud, base_url=f"https://127.0.0.1:{cloud.port}/v1").connect(Setup("s1"))


async def test_a_server_with_a_trusted_certificate_is_talked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    async with FakeOpenAi(tls=True) as cloud:
        monkeypatch.setenv("SSL_CERT_FILE", str(cloud.certificate))
        async with talking(provider_of(cloud)) as talker:
            await talker.connection.send(SendText(1, "hello"))
            assert (await talker.finished(1)).status == "completed"


async def test_a_certificate_that_is_not_trusted_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async with FakeOpenAi(tls=True) as cloud:
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
        with pytest.raises(ProviderUnavailable, match="certificate") as told:
            await provider_of(cloud).connect(Setup("s1"))
        assert "SSL_CERT_FILE" in told.value.hint
        assert cloud.sessions == []


@pytest.mark.parametrize("fate", [FakeOpenAi.hang_in_dial, FakeOpenAi.hang_in_setup])
async def test_a_dial_that_hangs_can_be_given_up(
    cloud: FakeOpenAi, fate: Callable[[FakeOpenAi], None]
) -> None:
    provider = provider_of(cloud)
    await provider.warm()
    fate(cloud)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await provider.connect(Setup("s1"))
    assert time.monotonic() - began < 1.5
    async with talking(provider):
        pass


@pytest.mark.parametrize(
    ("key", "what"), [("env:HANDSET_NO_SUCH_KEY", "HANDSET_NO_SUCH_KEY"), ("sk-ä\n x", "characters")]
)
async def test_a_key_that_cannot_be_one_is_never_sent(cloud: FakeOpenAi, key: str, what: str) -> None:
    with pytest.raises(CredentialsRejected, match=what) as told:
        await provider_of(cloud, api_key=key).connect(Setup("s1"))
    assert "sk-" not in told.value.message
    assert cloud.dials == 0


# --- losing the link ---


async def test_a_reset_ends_the_events(cloud: FakeOpenAi) -> None:
    async with talking(provider_of(cloud)) as talker:
        cloud.drop()
        assert isinstance(await talker.ended(), ProviderUnavailable)
        with pytest.raises(ProviderUnavailable):
            await talker.connection.send(SendText(1, "hello"))


@pytest.mark.parametrize("code", [1000, 1001])
async def test_a_usual_close_is_a_disconnect(cloud: FakeOpenAi, code: int) -> None:
    async with talking(provider_of(cloud)) as talker:
        await cloud.close(code)
        assert await talker.ended() is None
        with pytest.raises(ProviderUnavailable):
            await talker.connection.send(SendText(1, "hello"))


@pytest.mark.parametrize("code", [1008, 1011, 1012, 3000, 4000])
async def test_any_other_close_names_its_code(cloud: FakeOpenAi, code: int) -> None:
    async with talking(provider_of(cloud)) as talker:
        await cloud.close(code)
        fault = await talker.ended()
        assert isinstance(fault, ProviderUnavailable)
        assert str(code) in fault.message


async def test_a_silent_path_is_noticed_within_two_seconds(cloud: FakeOpenAi) -> None:
    provider = provider_of(cloud)
    took = []
    for _ in range(2):
        async with talking(provider) as talker:
            await asyncio.sleep(0.3)
            cloud.stall()
            began = time.monotonic()
            assert isinstance(await talker.ended(), ProviderUnavailable)
            took.append(time.monotonic() - began)
    assert max(took) <= 2.0, took


async def test_what_was_received_before_a_drop_is_told(cloud: FakeOpenAi) -> None:
    cloud.will_say("one two three four", 4.0)
    async with talking(provider_of(cloud)) as talker:
        await talker.connection.send(SendText(1, "hello"))
        await talker.until(ResponseAudio)
        cloud.drop()
        await talker.ended()
        answer = cloud.answers[0]
        assert answer.pcm.startswith(talker.pcm(answer.response))


@pytest.mark.parametrize(
    ("code", "becomes"),
    [
        ("session_expired", ProviderUnavailable),
        ("insufficient_quota", QuotaExhausted),
        ("invalid_api_key", CredentialsRejected),
    ],
)
async def test_an_error_that_ends_the_talk_is_raised(
    cloud: FakeOpenAi, code: str, becomes: type[ApplianceError]
) -> None:
    async with talking(provider_of(cloud)) as talker:
        await cloud.say_error(code)
        assert type(await talker.ended()) is becomes


@pytest.mark.parametrize(
    ("code", "reason", "becomes"),
    [
        (3000, "invalid_request_error.invalid_api_key", CredentialsRejected),
        (1008, "insufficient_quota.insufficient_quota", QuotaExhausted),
        (4000, "invalid_request_error.session_expired", ProviderUnavailable),
        (1008, "", ProviderUnavailable),
    ],
)
async def test_a_close_says_why_the_talk_ends(
    cloud: FakeOpenAi, code: int, reason: str, becomes: type[ApplianceError]
) -> None:
    async with talking(provider_of(cloud)) as talker:
        await cloud.close(code, reason)
        assert type(await talker.ended()) is becomes


async def test_an_account_that_runs_dry_within_an_answer_is_told(cloud: FakeOpenAi) -> None:
    cloud.will_fail("insufficient_quota")
    async with talking(provider_of(cloud)) as talker:
        await talker.connection.send(SendText(1, "hello"))
        assert isinstance(await talker.ended(), QuotaExhausted)
        assert talker.of(ResponseFinished) == []


async def test_closing_while_an_answer_comes_is_quick(cloud: FakeOpenAi) -> None:
    cloud.will_say("one two three", 5.0)
    async with talking(provider_of(cloud)) as talker:
        await talker.connection.send(SendText(1, "hello"))
        await talker.until(ResponseAudio)
        cloud.stall()
        began = time.monotonic()
        await talker.connection.close()
        assert time.monotonic() - began < 1.5
        assert await talker.ended() is None


# --- renewal ---


@pytest.mark.parametrize(
    ("expires_in", "seconds"), [(200.0, 200.0), (300.4, 300.0), (-5.0, None), (1e9, None), (None, None)]
)
async def test_renewal_is_due_five_minutes_before_the_end(
    cloud: FakeOpenAi, expires_in: float | None, seconds: float | None
) -> None:
    cloud.expires_in = expires_in
    async with talking(provider_of(cloud)) as talker:
        if seconds is None:
            await talker.connection.send(SendText(1, "hello"))
            await talker.finished(1)
            assert talker.of(RenewalDue) == []
        else:
            due = await talker.until(RenewalDue)
            assert due.seconds == pytest.approx(seconds, abs=1.5)


# --- bad input ---

GARBAGE: list[tuple[Any, str]] = [
    (b"\xff\xfe\x00", "invalid_json"),
    ("{", "invalid_json"),
    ("[" * 100_000, "invalid_json"),
    ("[]", "invalid_event"),
    ('{"type": 7}', "invalid_event"),
    ('{"type": "response.sings"}', "unknown_event"),
    ('{"type": "response.audio.delta", "delta": "AAAA"}', "unknown_event"),
    ('{"type": "error"}', "invalid_event"),
    ('{"type": "error", "error": {"event_id": [], "code": {}, "type": "odd"}}', "odd"),
    ('{"type": "error", "error": {"code": "rate_limit_exceeded"}}', "rate_limit_exceeded"),
    ('{"type": "session.updated", "session": {"expires_at": -1}}', "invalid_number"),
    ('{"type": "session.updated", "session": {"expires_at": 1e300}}', "invalid_number"),
    ('{"type": "session.updated", "session": {"expires_at": NaN}}', "invalid_number"),
    ('{"type": "response.created", "response": {"id": ""}}', "invalid_event"),
    ('{"type": "response.output_audio.delta"}', "invalid_event"),
    ('{"type": "input_audio_buffer.committed", "item_id": "i9"}', "unexpected_item"),
    (json.dumps({"type": "x", "pad": "y" * 2_200_000}), "message_too_big"),
]


@pytest.mark.parametrize(("raw", "code"), GARBAGE, ids=[f"{code}-{n}" for n, (_, code) in enumerate(GARBAGE)])
async def test_garbage_is_told_and_the_talk_goes_on(cloud: FakeOpenAi, raw: str | bytes, code: str) -> None:
    async with talking(provider_of(cloud)) as talker:
        await cloud.send_raw(raw)
        await talker.until(ProviderTrouble, lambda one: one.code == code)
        await talker.says(1, speech())
        await talker.connection.send(CommitTurn(1))
        assert (await talker.finished(1)).status == "completed"


async def test_repeated_garbage_is_told_ever_more_seldom(cloud: FakeOpenAi) -> None:
    async with talking(provider_of(cloud)) as talker:
        await cloud.send_raw(*["{"] * 100)
        await talker.connection.send(SendText(1, "hello"))
        await talker.finished(1)
        assert len(talker.of(ProviderTrouble)) == 7


async def test_sessions_at_once_do_not_meet(cloud: FakeOpenAi) -> None:
    provider = provider_of(cloud)

    async def talk(number: int) -> bytes:
        async with talking(provider) as talker:
            await talker.says(number, speech(0.5, seed=number))
            await talker.connection.send(CommitTurn(number))
            await talker.finished(number)
        return speech(0.5, seed=number).tobytes()

    spoken = await asyncio.gather(*(talk(number) for number in range(1, 21)))
    assert {session.spoken[0].pcm for session in cloud.sessions} == set(spoken)
    assert cloud.violations == []
