"""The bus: carries events from whoever has something to tell to whoever listens."""

import logging
from collections.abc import Callable

from appliance.errors import kind_and_place
from appliance.events import Event

Listener = Callable[[Event], None]
logger = logging.getLogger(__name__)


class EventBus:
    """Carries events to listeners, at once, in order, on the loop's thread. A listener must not block or raise.

    One that raises costs neither the others the event nor whoever tells it what they are about; the log has each
    place of that once.
    """

    def __init__(self) -> None:
        self._listeners: list[Listener] = []
        self._faults: set[str] = set()

    def publish(self, event: Event) -> None:
        for listener in tuple(self._listeners):
            try:
                listener(event)
            except Exception as fault:  # noqa: BLE001 - as said above
                self._failed(fault)

    def _failed(self, fault: Exception) -> None:
        place = kind_and_place(fault)
        if place not in self._faults:
            self._faults.add(place)
            logger.error("a listener failed: %s", place)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Add a listener; the returned function removes it."""
        self._listeners.append(listener)

        def leave() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return leave
