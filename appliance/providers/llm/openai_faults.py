"""What the errors of OpenAI, and of servers that follow it, mean: in an HTTP answer, or within a stream. Pure."""

import json
from collections.abc import Mapping
from typing import Any, Final

from appliance.errors import (
    ApplianceError,
    CredentialsRejected,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    SetupRejected,
)
from appliance.link_faults import QUOTA_CODES, refused

NAME: Final = "openai"
_KEY: Final = frozenset({"invalid_api_key", "authentication_error", "permission_error", "401", "403"})
_RATE: Final = frozenset({"rate_limit_exceeded", "rate_limit_error", "429"})
_TOO_LONG: Final = frozenset({"context_length_exceeded", "exceed_context_size_error"})
_SETUP: Final = frozenset(
    {
        "model_not_found",
        "invalid_request_error",
        "invalid_prompt",
        "not_found_error",
        "unsupported_value",
        "unsupported_parameter",
        "400",
        "404",
        "422",
    }
)
_FILTER: Final = frozenset({"content_filter", "content_policy_violation"})
_TOO_LONG_HINT: Final = "its context is too small for this conversation: take, or serve, one with a larger"
_PATH_HINT: Final = "look at llm_model, and at base_url: most servers want /v1 at its end"


def error_in(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """The error that an event or body tells of; empty where it tells of none."""
    error = event.get("error")
    if isinstance(error, dict):
        return error or {"code": ""}
    if error:
        return {"code": error if isinstance(error, str) else ""}
    return {}


def told(error: Mapping[str, Any]) -> ApplianceError:
    """Translate an error of a stream. Its message is not repeated: it may hold anything."""
    names = _names(error)
    if names & _KEY:
        return CredentialsRejected("openai refused the key")
    if names & QUOTA_CODES:
        return QuotaExhausted("openai: the account has nothing left")
    if names & _RATE:
        return RateLimited("openai asks to come again later")
    if names & _TOO_LONG:
        return SetupRejected("openai: the conversation is too long for the model", hint=_TOO_LONG_HINT)
    if names & _SETUP:
        return SetupRejected(
            f"openai refused the request ({', '.join(sorted(names & _SETUP))})", hint=_PATH_HINT
        )
    return ProviderUnavailable("openai gave the answer up")


def status(code: int, headers: Mapping[str, str], body: bytes) -> ApplianceError:
    """Translate an HTTP answer that is no success."""
    if _names(_error_of(body)) & _TOO_LONG:
        return SetupRejected("openai: the conversation is too long for the model", hint=_TOO_LONG_HINT)
    fault = refused(NAME, code, headers, body)
    if isinstance(fault, SetupRejected):
        fault.hint = _PATH_HINT
    return fault


def is_filtered(body: bytes) -> bool:
    """The service does not answer because of what was said."""
    return bool(_names(_error_of(body)) & _FILTER)


def _error_of(body: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return error_in(value) if isinstance(value, dict) else {}


def _names(error: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(str(error[key]) for key in ("code", "type") if isinstance(error.get(key), str | int))
