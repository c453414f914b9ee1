"""What a session's connections have counted, those that are gone included. Pure."""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Final

NAMES_BOUND: Final = 64
OTHER: Final = "connection_other"
_PLAIN: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")


class Tally:
    """Names may come from a service: only plain ones are shown, and of these so many; the rest is one number."""

    def __init__(self) -> None:
        self._past: Counter[str] = Counter()
        self._names: set[str] = set()

    def close(self, counters: Mapping[str, int]) -> None:
        """A connection ended with these."""
        self._past = self.total(counters)

    def total(self, present: Mapping[str, int]) -> Counter[str]:
        """With those of the connection that serves."""
        whole = Counter(self._past)
        for name, count in present.items():
            whole[self._shown(name)] += count
        return whole

    def _shown(self, name: str) -> str:
        if name not in self._names and len(self._names) < NAMES_BOUND and _PLAIN.fullmatch(name):
            self._names.add(name)
        return f"connection_{name}" if name in self._names else OTHER
