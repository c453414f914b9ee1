"""What a failed dial means."""

import json
import socket
import ssl

import pytest
from websockets.datastructures import Headers
from websockets.exceptions import (
    ConnectionClosedError,
    ConnectionClosedOK,
    InvalidMessage,
    InvalidStatus,
    InvalidURI,
)
from websockets.frames import Close
from websockets.http11 import Response

from appliance import link_faults
from appliance.errors import (
    ApplianceError,
    CredentialsRejected,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    SetupRejected,
)


def answer(status: int, code: str = "", **headers: str) -> InvalidStatus:
    body = json.dumps({"error": {"code": code, "message": "sk-secret"}}).encode() if code else b"<html>"
    named = Headers({name.replace("_", "-"): value for name, value in headers.items()})
    return InvalidStatus(Response(status, "", named, body))


@pytest.mark.parametrize(
    ("fault", "becomes"),
    [
        (answer(401, "invalid_api_key"), CredentialsRejected),
        (answer(403), CredentialsRejected),
        (answer(402), QuotaExhausted),
        (answer(429, "insufficient_quota"), QuotaExhausted),
        (answer(429, "rate_limit_exceeded"), RateLimited),
        (answer(429), RateLimited),
        (answer(404, "model_not_found"), SetupRejected),
        (answer(400), SetupRejected),
        (answer(500), ProviderUnavailable),
        (answer(301), ProviderUnavailable),
        (socket.gaierror(-2, "Name or service not known"), ProviderUnavailable),
        (ConnectionRefusedError(111, "refused"), ProviderUnavailable),
        (ConnectionResetError(104, "reset"), ProviderUnavailable),
        (OSError(101, "Network is unreachable"), ProviderUnavailable),
        (ssl.SSLCertVerificationError(), ProviderUnavailable),
        (ssl.SSLError(1, "wrong version"), ProviderUnavailable),
        (TimeoutError(), ProviderUnavailable),
        (InvalidURI("x", "no host"), SetupRejected),
        (InvalidMessage("no HTTP"), ProviderUnavailable),
        (ConnectionClosedOK(Close(1000, ""), Close(1000, ""), rcvd_then_sent=True), ProviderUnavailable),
        (ConnectionClosedError(Close(1007, "sk-secret"), None), SetupRejected),
        (ConnectionClosedError(Close(1008, ""), None), SetupRejected),
        (ConnectionClosedError(None, Close(1008, "")), ProviderUnavailable),
        (ConnectionClosedError(None, None), ProviderUnavailable),
        (KeyError("x"), ProviderUnavailable),
    ],
)
def test_a_fault_is_told_by_its_kind(fault: BaseException, becomes: type[ApplianceError]) -> None:
    translated = link_faults.unreachable("openai", "api.example", fault)
    assert type(translated) is becomes
    assert "sk-secret" not in translated.message + translated.hint


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "2"}, 2.0),
        ({"retry_after_ms": "250", "retry_after": "1"}, 0.25),
        ({"retry_after": "Wed, 21 Oct"}, None),
        ({"retry_after": "-5"}, None),
        ({"retry_after": "1e9"}, None),
        ({"retry_after": "nan"}, None),
        ({}, None),
    ],
)
def test_the_time_to_wait_is_taken_where_it_makes_sense(
    headers: dict[str, str], seconds: float | None
) -> None:
    fault = link_faults.unreachable("openai", "api.example", answer(429, "slow_down", **headers))
    assert isinstance(fault, RateLimited)
    assert fault.retry_after == seconds


@pytest.mark.parametrize("cause", [EOFError(), ConnectionResetError(104, "reset")])
def test_who_hangs_up_in_the_handshake_is_not_taken_for_a_wrong_address(cause: Exception) -> None:
    fault = InvalidMessage("did not receive a valid HTTP response")
    fault.__cause__ = cause
    translated = link_faults.unreachable("openai", "api.example", fault)
    assert "hung up" in translated.message
    assert not translated.hint


def test_a_silent_path_is_told_from_a_closed_one() -> None:
    silent = link_faults.closed("openai", ConnectionClosedError(None, Close(1011, "keepalive ping timeout")))
    hung_up = link_faults.closed("openai", ConnectionClosedError(Close(1011, "boom"), None))
    assert silent.message == "openai: the path fell silent"
    assert hung_up.message == "openai closed the connection (1011)"
