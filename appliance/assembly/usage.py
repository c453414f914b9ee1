"""What is used: minutes of talk and what providers bill for, counted for the limits, the history and the metrics."""

import functools
from collections.abc import Sequence

from appliance.bus import EventBus
from appliance.config.schema import Limits
from appliance.health import Health
from appliance.interfaces import Provider
from appliance.session.usage import Usage
from appliance.store.store import Store


def build_usage(
    limits: Limits, providers: Sequence[Provider], book: Store | None, bus: EventBus, health: Health
) -> Usage:
    """Local providers have no limit. Without `book` nothing of it is kept."""
    local = [provider.name for provider in providers if provider.capabilities.local]
    usage = Usage(limits.minutes_per_day, local=local, book=book)
    bus.listen(usage.notice)
    health.count("usage", usage.counters)
    for name in dict.fromkeys(provider.name for provider in providers):
        health.count("provider", functools.partial(usage.provider_counters, name), provider=name)
    return usage
