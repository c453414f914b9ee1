"""What ties the appliance to others of its kind: MQTT, where it is switched on."""

import logging

from appliance import plugins
from appliance.bus import EventBus
from appliance.config.schema import Configuration
from appliance.config.secrets import reveal
from appliance.control.mqtt import MqttDoor, Naming
from appliance.control.server import ControlServer
from appliance.errors import ApplianceError
from appliance.health import Health

logger = logging.getLogger(__name__)


def open_mqtt(
    configuration: Configuration, control: ControlServer, bus: EventBus, health: Health, version: str
) -> MqttDoor | None:
    """The MQTT door, started; None where it is off, or cannot be opened, which the health says why."""
    settings = configuration.mqtt
    if not settings.enabled:
        return None
    part = health.part("mqtt", required=False)
    host, port = settings.address()
    try:
        broker = plugins.load("appliance.brokers", settings.driver)(
            host, port, settings.user, reveal(settings.password), tls=settings.tls, ca=settings.ca
        )
    except ApplianceError as error:
        part.failing(f"{error.message}; {error.hint}")
        logger.error("no MQTT: %s (%s)", error.message, error.hint)
        return None
    naming = Naming(settings.topic, configuration.device.name, version, settings.discovery)
    door = MqttDoor(broker, naming, control.commands, control.state, bus, part)
    health.count("mqtt", door.counters)
    door.start()
    return door
