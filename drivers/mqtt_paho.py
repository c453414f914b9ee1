"""MQTT through Eclipse Paho, on a thread of its own."""

import ssl
import threading
from collections.abc import Callable
from typing import Any, Final

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from appliance.errors import DeviceUnavailable
from appliance.interfaces import Heard

KEEP_ALIVE: Final = 30
RETRY_SECONDS: Final = (1, 60)
WAITING: Final = 100
_FLUSH_SECONDS: Final = 1.0


class PahoBroker:
    """Implements interfaces.Broker."""

    def __init__(self, host: str, port: int, user: str, password: str, *, tls: bool, ca: str) -> None:
        self._host, self._port = host, port
        self._refusal = ""
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.reconnect_delay_set(*RETRY_SECONDS)
        self._client.max_queued_messages_set(WAITING)
        if user:
            self._client.username_pw_set(user, password)
        if tls:
            try:
                self._client.tls_set_context(ssl.create_default_context(cafile=ca or None))
            except (OSError, ssl.SSLError) as error:
                raise DeviceUnavailable(f"mqtt.ca cannot be used: {error}", hint="a PEM file") from error

    def start(
        self,
        topics: tuple[str, ...],
        heard: Heard,
        changed: Callable[[bool, str], None],
        *,
        will: tuple[str, bytes],
    ) -> None:
        def connected(
            client: Client, _: Any, _flags: ConnectFlags, code: ReasonCode, _more: Properties | None
        ) -> None:
            self._refusal = str(code) if code.is_failure else ""
            if self._refusal:
                changed(False, self._refusal)
                return
            for topic in topics:
                client.subscribe(topic, qos=1)
            changed(True, "")

        def lost(
            _client: Client, _: Any, _flags: DisconnectFlags, code: ReasonCode, _more: Properties | None
        ) -> None:
            changed(False, self._refusal or (str(code) if code.is_failure else ""))

        def arrived(_client: Client, _: Any, message: MQTTMessage) -> None:
            if not message.retain:
                heard(message.topic, bytes(message.payload))

        self._client.on_connect = connected
        self._client.on_connect_fail = lambda *_: changed(False, f"{self._host} cannot be reached")
        self._client.on_disconnect = lost
        self._client.on_message = arrived
        self._client.will_set(*will, qos=1, retain=True)
        self._client.connect_async(self._host, self._port, KEEP_ALIVE)
        self._client.loop_start()

    def publish(self, topic: str, payload: bytes, *, keep: bool = False) -> bool:
        if not self._client.is_connected():
            return False
        return self._client.publish(topic, payload, qos=1, retain=keep).rc == 0

    def stop(self) -> None:
        ending = threading.Thread(target=self._end, name="mqtt-end", daemon=True)
        ending.start()
        ending.join(2 * _FLUSH_SECONDS)

    def _end(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
