"""A transcription session of OpenAI: what is asked of it, and what its errors mean. Pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from appliance.errors import (
    ApplianceError,
    CredentialsRejected,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    SetupRejected,
)
from appliance.link_faults import QUOTA_CODES

RATE: Final = 24_000
"""The only rate of the service's linear PCM."""
SETUP_EVENT: Final = "setup"
KEYWORDS: Final = 100
WITHOUT_TURNS: Final = frozenset({"gpt-live-transcribe", "gpt-realtime-whisper"})
"""Models that refuse any turn detection."""
WITH_KEYWORDS: Final = frozenset({"gpt-transcribe", "gpt-live-transcribe"})
_KEY_CODES: Final = frozenset({"invalid_api_key", "account_deactivated", "invalid_organization"})
_RATE_CODES: Final = frozenset({"rate_limit_exceeded", "rate_limit_error", "slow_down"})


def session_update(model: str, language: str, keywords: Sequence[str], *, server_turns: bool) -> str:
    """The one event before the audio."""
    transcription: dict[str, Any] = {"model": model}
    if code := language.partition("-")[0].lower():
        transcription["language"] = code
    if keywords and model in WITH_KEYWORDS:
        transcription["keywords"] = list(keywords[:KEYWORDS])
    audio = {
        "format": {"type": "audio/pcm", "rate": RATE},
        "transcription": transcription,
        "turn_detection": {"type": "server_vad"} if server_turns else None,
    }
    session = {"type": "transcription", "audio": {"input": audio}}
    return json.dumps({"type": "session.update", "event_id": SETUP_EVENT, "session": session})


def refusal(error: Mapping[str, Any]) -> ApplianceError:
    """What an `error` during set-up means. Nothing but the configuration was sent: its code may be told."""
    fatal = ending(error)
    if fatal is not None:
        return fatal
    code = code_of(error)
    if error.get("type") == "server_error":
        return ProviderUnavailable(f"openai failed: {code}")
    return SetupRejected(f"openai refused the transcription: {code}")


def ending(error: Mapping[str, Any]) -> ApplianceError | None:
    """The error that ends a connection; None for one that it survives."""
    code = code_of(error)
    if code == "session_expired":
        return ProviderUnavailable("openai: the session has reached its longest time")
    if code in QUOTA_CODES:
        return QuotaExhausted("openai: the account has nothing left")
    if code in _RATE_CODES:
        return RateLimited("openai asks to come again later")
    if code in _KEY_CODES or error.get("type") == "authentication_error":
        return CredentialsRejected("openai refused the key")
    return None


def code_of(error: Mapping[str, Any]) -> str:
    """The stable name of an error: its code, or its type."""
    for name in ("code", "type"):
        value = error.get(name)
        if isinstance(value, str) and value:
            return value[:64]
    return "unknown_error"
