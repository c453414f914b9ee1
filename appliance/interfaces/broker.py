"""Contract of a connection to an MQTT broker."""

from collections.abc import Callable
from typing import Protocol

Heard = Callable[[str, bytes], None]
"""Any thread: (topic, payload) of a message that was sent just now, never of one that the broker kept."""


class Broker(Protocol):
    """Group `appliance.brokers`; built as `factory(host, port, user, password, tls, ca)`.

    It connects, and again after every loss, by itself, for ever; nothing waits on the network but `stop`.
    """

    def start(
        self,
        topics: tuple[str, ...],
        heard: Heard,
        changed: Callable[[bool, str], None],
        *,
        will: tuple[str, bytes],
    ) -> None:
        """Subscribe to `topics` at each connection. `changed` (any thread): connected or not, and why not.

        `will` is what the broker tells everybody, kept, when this connection is lost.
        """
        ...

    def publish(self, topic: str, payload: bytes, *, keep: bool = False) -> bool:
        """Send, while connected; False where it was dropped."""
        ...

    def stop(self) -> None:
        """Send what waits and disconnect; at most 2 s."""
        ...
