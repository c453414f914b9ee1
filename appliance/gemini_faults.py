"""What Gemini means by a close code, a reason or an HTTP body. Pure.

Reasons come from the service (google.rpc.Status as text): they are read here, and never repeated.
"""

import re
from collections.abc import Mapping
from typing import Final

from appliance.errors import (
    ApplianceError,
    CredentialsRejected,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    SetupRejected,
)
from appliance.link_faults import LONGEST_RETRY_AFTER, REFUSING_CODES, retry_after

HANDLE_CODES: Final = frozenset({1007, 1008, 1011})
"""With one of these a handle may be refused where a fresh session is not."""
KEY_HINT: Final = "look at GOOGLE_API_KEY, GEMINI_API_KEY or providers.gemini.api_key"
_KEY: Final = re.compile(
    r"api[ _]?key|unauthenticated|permission[ _]denied|invalid authentication|credential", re.IGNORECASE
)
_RATE: Final = re.compile(
    r"per[ _-]?(minute|second)|rate[ _-]?limit|too many|concurrent|retry in|try again|check quota\)",
    re.IGNORECASE,
)
_QUOTA: Final = re.compile(r"quota|billing|credit|per[ _-]?day|spend", re.IGNORECASE)
_EXHAUSTED: Final = re.compile(r"resource[ _](has been )?exhausted", re.IGNORECASE)
_RETRY_IN: Final = re.compile(r"retry in (\d{1,5}(?:\.\d{1,9})?) ?s", re.IGNORECASE)


def closed(code: int, reason: str, *, in_setup: bool) -> ApplianceError:
    """Translate the end of a socket. Once a session ran, only what no new dial mends is more than a disconnect."""
    found = _by_text(reason)
    if found is not None:
        return found
    if in_setup and code in REFUSING_CODES:
        return SetupRejected(f"gemini refused the session ({code})")
    return ProviderUnavailable(f"gemini closed the connection ({code})")


def refused(status: int, headers: Mapping[str, str], body: bytes) -> ApplianceError | None:
    """Translate an HTTP status that is no upgrade, where it means something of its own with this service."""
    found = _by_text(body[:8_192].decode("utf-8", "replace"))
    if status == 429:
        if isinstance(found, QuotaExhausted):
            return found
        wait = retry_after(headers)
        if isinstance(found, RateLimited) and wait is None:
            return found
        return RateLimited("gemini asks to come again later", retry_after=wait)
    if status in {400, 401, 403} and isinstance(found, CredentialsRejected):
        return found
    return None


def _by_text(text: str) -> ApplianceError | None:
    if _KEY.search(text):
        return CredentialsRejected("gemini refused the key", hint=KEY_HINT)
    if _RATE.search(text):
        wait = _RETRY_IN.search(text)
        seconds = min(float(wait[1]), LONGEST_RETRY_AFTER) if wait else None
        return RateLimited("gemini asks to come again later", retry_after=seconds)
    if _QUOTA.search(text):
        return QuotaExhausted("gemini: the account has nothing left")
    if _EXHAUSTED.search(text):
        return RateLimited("gemini asks to come again later")
    return None
