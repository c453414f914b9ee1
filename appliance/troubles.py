"""What goes wrong with a provider and is survived: counted each time, told ever more seldom. Pure."""

from collections import Counter

from appliance.interfaces import ProviderTrouble


def counted(counts: Counter[str], code: str, message: str) -> ProviderTrouble | None:
    """Count it in `counts`; what is to be told of it: something the first, second, fourth, eighth... time."""
    counts[code] += 1
    times = counts[code]
    if times & (times - 1):
        return None
    return ProviderTrouble(code, message if times == 1 else f"{message} ({times} times)")
