"""What the protocol wants to send and to tell, in order; and the faults that the talk survives. Pure."""

from collections import Counter, deque
from collections.abc import Mapping

from appliance.interfaces import ProviderEvent
from appliance.troubles import counted


class Mail:
    """Shared by the parts of one conversation."""

    def __init__(self) -> None:
        self.outgoing: deque[str] = deque()
        """Client events as JSON text, the next first."""
        self.events: deque[ProviderEvent] = deque()
        self._counts: Counter[str] = Counter()

    def send(self, text: str) -> None:
        self.outgoing.append(text)

    def tell(self, event: ProviderEvent) -> None:
        self.events.append(event)

    def count(self, code: str) -> None:
        """Something happened that nobody needs to be told of."""
        self._counts[code] += 1

    def trouble(self, code: str, message: str) -> None:
        """Count it, and tell it the first, second, fourth, eighth... time."""
        if told := counted(self._counts, code, message):
            self.tell(told)

    def counters(self) -> Mapping[str, int]:
        return dict(self._counts)
