"""What all sessions together know of each provider: reached, out of reach, or refusing until when. Pure."""

import math
from dataclasses import dataclass
from typing import Final

from appliance.errors import (
    ApplianceError,
    DriverMissing,
    QuotaExhausted,
    RateLimited,
)

LIMIT_SECONDS: Final = 5.0
LONGEST_LIMIT_SECONDS: Final = 120.0
LONGEST_TOLD_SECONDS: Final = 3600.0
LIMIT_MEMORY_SECONDS: Final = 120.0
"""A rate limit that comes later than so after the one before is no further one."""
QUOTA_SECONDS: Final = 900.0
REFUSED_SECONDS: Final = (60.0, 300.0, 900.0)
"""After the first refusal, the second, and each further one: now and then a service refuses a good key or model."""
SHUNNED_SECONDS: Final = 15.0
"""Found out of reach so lately, a rung is nothing to begin with where there is another."""


def rest_after(fault: ApplianceError, times: int) -> float:
    """Seconds that a provider is to be left alone after `fault`; 0: the back-off alone says when it is dialled.

    `times`: the rate limits, or else the refusals, in a row, this one included. Infinite: until the configuration is
    read again.
    """
    match fault:
        case RateLimited(retry_after=told) if told is not None and told >= 0:
            return min(told, LONGEST_TOLD_SECONDS)
        case RateLimited():
            return min(LIMIT_SECONDS * 2.0 ** min(times - 1, 10), LONGEST_LIMIT_SECONDS)
        case DriverMissing():
            return math.inf
        case QuotaExhausted():
            return QUOTA_SECONDS
        case _ if fault.retryable:
            return 0.0
        case _:
            return REFUSED_SECONDS[min(times, len(REFUSED_SECONDS)) - 1]


@dataclass(slots=True)
class Standing:
    """Of one provider. `code` and `reason` say what its last fault was, and are empty while it is up."""

    code: str = ""
    reason: str = ""
    free_at: float = 0.0
    shunned_until: float = 0.0
    limits: int = 0
    limited_at: float = 0.0
    refusals: int = 0
    """In a row, and no connection since."""


class Standings:
    """One for the whole appliance, by provider's name. The caller tells the monotonic time."""

    def __init__(self) -> None:
        self._of: dict[str, Standing] = {}

    def of(self, provider: str) -> Standing:
        return self._of.setdefault(provider, Standing())

    def rose(self, provider: str) -> None:
        """Connected."""
        standing = self.of(provider)
        self._of[provider] = Standing(limits=standing.limits, limited_at=standing.limited_at)

    def failed(self, provider: str, fault: ApplianceError, now: float) -> None:
        """A dial failed, or a connection broke."""
        standing = self.of(provider)
        free_at = now + rest_after(fault, _times(standing, fault, now))
        # A dial that began before a refusal, and ran out of time after it, says nothing against the refusal.
        if free_at >= standing.free_at:
            standing.code, standing.reason, standing.free_at = fault.code, fault.message, free_at

    def abandoned(self, provider: str, now: float) -> None:
        """It stayed out of reach: a session went on with another, or looked for it in vain."""
        self.of(provider).shunned_until = now + SHUNNED_SECONDS

    def free(self, provider: str, now: float) -> bool:
        """It may be dialled."""
        return self.of(provider).free_at <= now

    def shunned(self, provider: str, now: float) -> bool:
        """It was out of reach just now, or refused when it was last asked."""
        standing = self.of(provider)
        return standing.shunned_until > now or standing.refusals > 0

    def clear(self) -> None:
        """The configuration was read again: whatever refused may be tried."""
        self._of.clear()


def _times(standing: Standing, fault: ApplianceError, now: float) -> int:
    """Count `fault`; return how many of its kind there were in a row."""
    if isinstance(fault, RateLimited):
        lately = now - standing.limited_at <= LIMIT_MEMORY_SECONDS
        standing.limits = standing.limits + 1 if lately else 1
        standing.limited_at = now
        return standing.limits
    # Two sessions whose dials went side by side were refused once.
    if not fault.retryable and (standing.free_at <= now or not standing.refusals):
        standing.refusals += 1
    return standing.refusals
