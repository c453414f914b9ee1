"""The session that is asked for, and the history that it is told."""

from typing import Any

import pytest
from pydantic import SecretStr

from appliance import gemini_faults as faults
from appliance.errors import (
    ConfigurationInvalid,
    CredentialsRejected,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    SetupRejected,
)
from appliance.interfaces import CalledTool, HistoryItem, Setup, ToolDeclaration, ToolResult
from appliance.providers.realtime.gemini.settings import read
from appliance.providers.realtime.gemini.setup import live_config, seed, told_result


def config(section: dict[str, Any] | None = None, *, handle: str = "", **setup: Any) -> dict[str, Any]:
    return live_config(read(section or {}), Setup("s1", **setup), handle=handle)


def test_by_default_the_device_marks_the_turns() -> None:
    assert config()["realtime_input_config"] == {"automatic_activity_detection": {"disabled": True}}


def test_the_services_own_detection_never_interrupts() -> None:
    made = config(
        {"turns": "server", "start_sensitivity": "low", "end_sensitivity": "high", "silence_ms": "400"}
    )
    assert made["realtime_input_config"] == {
        "automatic_activity_detection": {
            "disabled": False,
            "start_of_speech_sensitivity": "START_SENSITIVITY_LOW",
            "end_of_speech_sensitivity": "END_SENSITIVITY_HIGH",
            "silence_duration_ms": 400,
        },
        "activity_handling": "NO_INTERRUPTION",
    }


def test_a_key_overrules_the_services_detection() -> None:
    made = config({"turns": "server"}, by_key=True)
    assert made["realtime_input_config"]["automatic_activity_detection"] == {"disabled": True}


def test_a_session_is_resumed_or_seeded_never_both() -> None:
    history = [HistoryItem("user", "x")]
    resumed, seeded = config(handle="h", history=history), config(history=history)
    assert (resumed["session_resumption"], "history_config" in resumed) == ({"handle": "h"}, False)
    assert seeded["session_resumption"] == {}
    assert seeded["history_config"] == {"initial_history_in_client_content": True}


def test_compression_is_always_on() -> None:
    assert config()["context_window_compression"] == {"sliding_window": {}}
    made = config({"compress_from_tokens": 20_000, "compress_to_tokens": 8_000})
    assert made["context_window_compression"] == {
        "trigger_tokens": 20_000,
        "sliding_window": {"target_tokens": 8_000},
    }


def test_the_agents_voice_comes_before_the_configured_one() -> None:
    made = config({"voice": "Puck", "language": "de-DE"}, voice="Kore")["speech_config"]
    assert made["voice_config"]["prebuilt_voice_config"] == {"voice_name": "Kore"}
    assert made["language_code"] == "de-DE"
    assert "speech_config" not in config()


def test_an_agents_voice_of_another_service_is_not_asked_for() -> None:
    made = config({"voice": "Puck"}, voice="marin")["speech_config"]
    assert made["voice_config"]["prebuilt_voice_config"] == {"voice_name": "Puck"}
    assert "speech_config" not in config({}, voice="voice_1234")


def test_tools_do_not_block() -> None:
    tool = ToolDeclaration("call", "Calls.", {"type": "object", "properties": {"to": {"type": "string"}}})
    assert config(tools=[tool])["tools"] == [
        {
            "function_declarations": [
                {
                    "name": "call",
                    "description": "Calls.",
                    "parameters_json_schema": tool.parameters,
                    "behavior": "NON_BLOCKING",
                }
            ]
        }
    ]


def test_the_history_keeps_who_said_what_and_tells_calls_as_text() -> None:
    turns = seed(
        [
            HistoryItem("assistant", "Hello."),
            HistoryItem("user", "a\ud800"),
            HistoryItem("user", ""),
            CalledTool("1", "get_time", '{"zone":"UTC"}', '{"time":"10"}'),
            CalledTool("2", "call", "{}"),
            HistoryItem("assistant", "Ten."),
        ]
    )
    assert [turn["role"] for turn in turns] == ["model", "user", "model"]
    assert [part["text"] for part in turns[1]["parts"]] == [
        "a?",
        '[You called the tool get_time({"zone":"UTC"}); it returned: {"time":"10"}]',
        "[You called the tool call({}); its result will follow.]",
    ]


def test_a_long_outcome_is_cut() -> None:
    assert len(told_result(CalledTool("1", "t", "x" * 99_999), ToolResult("1", {"y": "z" * 99_999}))) < 9_000


@pytest.mark.parametrize(
    "section",
    [
        {"modell": "x"},
        {"turns": "both"},
        {"base_url": "wss://x"},
        {"base_url": "https://x/v1"},
        {"base_url": "https://user:pass@x"},
        {"silence_ms": -1},
        {"temperature": "hot"},
        {"compress_from_tokens": 3},
    ],
)
def test_faulty_settings_are_named(section: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationInvalid, match=rf"providers\.gemini.*{next(iter(section))}"):
        read({"api_key": "s3cret", **section})


def test_a_section_with_nothing_in_it_is_the_default() -> None:
    made = read({"model": "", "voice": "", "language": "", "api_key": SecretStr(""), "base_url": ""})
    assert made == read({})
    assert made.model == "gemini-3.8-live"


@pytest.mark.parametrize(
    ("code", "reason", "in_setup", "kind"),
    [
        (1007, "API key not valid. Please pass a valid API key.", True, CredentialsRejected),
        (1008, "Method doesn't allow unregistered callers: PERMISSION_DENIED", True, CredentialsRejected),
        (1008, "models/x is not found for API version v1", True, SetupRejected),
        (1007, "Request contains an invalid argument.", True, SetupRejected),
        (1007, "Request contains an invalid argument.", False, ProviderUnavailable),
        (1008, "Requested entity was not found.", False, ProviderUnavailable),
        (1011, "Internal error occurred.", True, ProviderUnavailable),
        (
            1011,
            "You exceeded your current quota, please check your plan and billing details.",
            True,
            QuotaExhausted,
        ),
        (1011, "Quota exceeded for metric requests per minute. Please retry in 31.5s.", False, RateLimited),
        (1011, "Resource has been exhausted (e.g. check quota).", True, RateLimited),
        (1006, "", False, ProviderUnavailable),
    ],
)
def test_a_close_means_one_thing(code: int, reason: str, in_setup: bool, kind: type[Exception]) -> None:
    fault = faults.closed(code, reason, in_setup=in_setup)
    assert type(fault) is kind
    assert not reason or reason not in fault.message


@pytest.mark.parametrize(
    ("status", "body", "headers", "kind", "wait"),
    [
        (400, b'{"error":{"message":"API key not valid"}}', {}, CredentialsRejected, None),
        (400, b'{"error":{"message":"User location is not supported"}}', {}, None, None),
        (429, b"", {"retry-after": "4"}, RateLimited, 4.0),
        (429, b"please retry in 2s", {}, RateLimited, 2.0),
        (429, b"check your plan and billing details: quota", {}, QuotaExhausted, None),
        (503, b"try again", {}, None, None),
        (403, b"\xff\xfe", {}, None, None),
    ],
)
def test_an_http_answer_means_one_thing(
    status: int, body: bytes, headers: dict[str, str], kind: type[Exception] | None, wait: float | None
) -> None:
    fault = faults.refused(status, headers, body)
    assert (type(fault) if fault else None) is kind
    assert getattr(fault, "retry_after", None) == wait
