"""What an `error` of OpenAI's means, over whichever of its sockets, and a close that has one for its reason. Pure."""

import re
from collections.abc import Mapping
from typing import Any, Final

from websockets.exceptions import ConnectionClosed

from appliance.errors import (
    ApplianceError,
    CredentialsRejected,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    SetupRejected,
)
from appliance.link_faults import QUOTA_CODES, unreachable

_KEY_CODES: Final = frozenset({"invalid_api_key", "account_deactivated", "invalid_organization"})
_RATE_CODES: Final = frozenset({"rate_limit_exceeded", "rate_limit_error", "slow_down"})
_EXPIRED: Final = frozenset({"session_expired"})
_CLOSING: Final = re.compile(r"([a-z_]{1,64})\.([a-z_]{1,64})")
_WAIT: Final = re.compile(r"try again in (\d{1,6}(?:\.\d{1,9})?) ?(ms|s)\b", re.IGNORECASE)


def code_of(error: Mapping[str, Any]) -> str:
    """The stable name of an error: its code, or its type."""
    for field in ("code", "type"):
        value = error.get(field)
        if isinstance(value, str) and value:
            return value[:64]
    return "unknown_error"


def ending(error: Mapping[str, Any]) -> ApplianceError | None:
    """The error that ends a conversation; None where the talk goes on."""
    code = code_of(error)
    if code in _EXPIRED:
        return ProviderUnavailable("openai: the session has reached its longest time")
    if code in QUOTA_CODES:
        return QuotaExhausted("openai: the account has nothing left")
    if code in _KEY_CODES or error.get("type") == "authentication_error":
        return CredentialsRejected("openai refused the key")
    return None


def of_setup(error: Mapping[str, Any]) -> ApplianceError:
    """The error that a dial fails with. During set-up nothing but the configuration was sent: it may be quoted."""
    fatal = ending(error)
    if fatal is not None:
        return fatal
    code = code_of(error)
    if code in _RATE_CODES:
        return _limited(error)
    if error.get("type") == "server_error":
        return ProviderUnavailable(f"openai failed: {code}")
    quoted = error.get("message")
    told = " ".join(str(quoted).split())[:200] if isinstance(quoted, str) else ""
    return SetupRejected(f"openai refused the session: {code}{': ' + told if told else ''}")


def of_answer(error: Mapping[str, Any]) -> ApplianceError | None:
    """The error that keeps the service from answering here and now; None where it may answer when asked again."""
    return _limited(error) if code_of(error) in _RATE_CODES else ending(error)


def of_close(reason: str) -> Mapping[str, Any]:
    """The error in the reason of a close, as in 3000 "invalid_request_error.invalid_api_key"; empty where none is."""
    found = _CLOSING.fullmatch(reason)
    return {} if found is None else {"type": found[1], "code": found[2]}


def closed_in_setup(where: str, fault: ConnectionClosed) -> ApplianceError:
    """Why a socket was closed before its session was set up. `where` is the host."""
    error = of_close(fault.rcvd.reason if fault.rcvd is not None else "")
    return of_setup(error) if error else unreachable("openai", where, fault)


def error_of(details: object) -> Mapping[str, Any]:
    """The error in an event, or in the details of a failed response; empty where there is none."""
    error = details.get("error") if isinstance(details, dict) else None
    return error if isinstance(error, dict) else {}


def _limited(error: Mapping[str, Any]) -> RateLimited:
    told = _WAIT.search(str(error.get("message")))
    seconds = None if told is None else float(told[1]) * (0.001 if told[2].lower() == "ms" else 1.0)
    return RateLimited("openai asks to come again later", retry_after=seconds)
