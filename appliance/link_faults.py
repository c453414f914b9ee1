"""What a failed dial or a lost socket means, for every provider over a network. Pure."""

import json
import socket
import ssl
from collections.abc import Mapping
from typing import Any, Final

from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidProxyStatus,
    InvalidStatus,
    InvalidURI,
    ProxyError,
)

from appliance.errors import (
    ApplianceError,
    CredentialsRejected,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    SetupRejected,
)

LONGEST_RETRY_AFTER: Final = 3_600.0
QUOTA_CODES: Final = frozenset(
    {"insufficient_quota", "quota_exceeded", "billing_hard_limit_reached", "billing_not_active"}
)
REFUSING_CODES: Final = frozenset({1007, 1008})
"""Of a close during set-up: what was asked for makes no sense to the service, or breaks its rules."""


def unreachable(provider: str, where: str, fault: BaseException) -> ApplianceError:
    """Translate what a dial or set-up raised. `where` is the host; no key stands in the message."""
    if isinstance(fault, ApplianceError):
        return fault
    if isinstance(fault, InvalidStatus):
        response = fault.response
        return refused(provider, response.status_code, response.headers, bytes(response.body or b""))
    if isinstance(fault, ConnectionClosed):
        if fault.rcvd is not None and fault.rcvd.code in REFUSING_CODES:
            return SetupRejected(f"{provider} refused the session ({fault.rcvd.code})")
        return closed(provider, fault)
    if isinstance(fault, InvalidURI):
        return SetupRejected(f"{provider}: base_url is no usable address", hint="look at base_url")
    what, hint = _unreachable(where, fault)
    return ProviderUnavailable(f"{provider}: {what}", hint=hint)


def unreadable(provider: str, fault: OSError) -> SetupRejected:
    """The certificates that are to be trusted cannot be read, so that no SDK builds its client."""
    what = f"{provider}: the certificates to be trusted cannot be read ({type(fault).__name__})"
    return SetupRejected(what, hint="look at SSL_CERT_FILE and SSL_CERT_DIR")


def _unreachable(where: str, fault: BaseException) -> tuple[str, str]:
    match fault:
        case socket.gaierror():
            return f"the name {where} does not resolve", "look at the network and its name server"
        case ssl.SSLCertVerificationError():
            trouble = getattr(fault, "verify_message", "") or "unknown"
            return (
                f"the certificate of {where} is not trusted ({trouble})",
                "look at the clock of this device, and at SSL_CERT_FILE",
            )
        case ssl.SSLError():
            return (
                f"no TLS with {where} ({getattr(fault, 'reason', '') or 'handshake failed'})",
                "look at base_url",
            )
        case ConnectionRefusedError():
            return f"nothing listens at {where}", "look at base_url"
        case TimeoutError():
            return f"{where} did not answer in time", ""
        case ProxyError() | InvalidProxyStatus():
            return "the proxy did not let us through", "look at HTTPS_PROXY and NO_PROXY"
        case InvalidMessage(__cause__=EOFError() | OSError()):
            return f"{where} hung up in the handshake", ""
        case InvalidHandshake():
            return f"{where} speaks no WebSocket ({type(fault).__name__})", "look at base_url"
        case OSError():
            return f"{where} cannot be reached ({fault.strerror or type(fault).__name__})", ""
    return f"{type(fault).__name__} while dialling {where}", ""


def refused(provider: str, status: int, headers: Mapping[str, str], body: bytes) -> ApplianceError:
    """Translate an HTTP status that is no upgrade."""
    code = _code(body)
    if status == 402 or code in QUOTA_CODES:
        return QuotaExhausted(f"{provider}: the account has nothing left (HTTP {status})")
    if status in {401, 403}:
        return CredentialsRejected(f"{provider} refused the key (HTTP {status})")
    if status == 429:
        return RateLimited(f"{provider} asks to come again later", retry_after=retry_after(headers))
    if status in {400, 404, 410, 422}:
        return SetupRejected(f"{provider} refused the session (HTTP {status}{', ' + code if code else ''})")
    return ProviderUnavailable(f"{provider} answered HTTP {status}")


def closed(provider: str, fault: ConnectionClosed) -> ProviderUnavailable:
    """Translate the end of a socket that served. The reason that came with it is not repeated: it may hold anything."""
    if fault.rcvd is not None:
        return ProviderUnavailable(f"{provider} closed the connection ({fault.rcvd.code})")
    if fault.sent is not None and "ping" in fault.sent.reason:
        return ProviderUnavailable(f"{provider}: the path fell silent")
    return ProviderUnavailable(f"{provider}: the connection broke off")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, where the answer says so in a form that makes sense."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * unit
        except (KeyError, ValueError):
            continue
        if 0 <= seconds <= LONGEST_RETRY_AFTER:
            return seconds
    return None


def _code(body: bytes) -> str:
    """The stable word for a fault in a JSON body, where the known services put it; empty where there is none."""
    try:
        whole: Any = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(whole, dict):
        return ""
    places = [
        (whole.get("error"), "code", "type"),
        (whole.get("detail"), "status", "code"),
        (whole, "error_code"),
    ]
    for place, *names in places:
        for name in names:
            found = place.get(name) if isinstance(place, dict) else None
            if isinstance(found, str) and 0 < len(found) <= 64:
                return found
    return ""
