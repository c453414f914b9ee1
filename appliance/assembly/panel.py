"""The front panel, where there is one: what its driver sees and lights, and what its keys do in the room."""

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from appliance import factory_reset
from appliance.bus import EventBus
from appliance.call.controller import Calls
from appliance.config.schema import Configuration
from appliance.health import Health
from appliance.panel import presence
from appliance.session.line import Line
from appliance.session.lines import Lines

if TYPE_CHECKING:
    from appliance.panel.front_panel import FrontPanel


def build_panel(
    configuration: Configuration,
    lines: Lines,
    room: Line | None,
    calls: Calls | None,
    bus: EventBus,
    health: Health,
) -> "FrontPanel | None":
    """None where nothing is to be driven, as its part then says."""
    part = health.part("gpio", required=False)
    driver, amiss = presence.find(configuration.gpio, part)
    if driver is None:
        return None
    # Most machines have none: they do without these modules.
    from appliance.panel.front_panel import FrontPanel
    from appliance.panel.room_keys import RoomKeys

    keys = None if room is None else RoomKeys(room, bus, lambda: lines.open_session(room), calls)
    panel = FrontPanel(configuration.gpio, keys, bus, part, health.ready, driver, amiss)
    directory = configuration.storage.directory
    if directory == factory_reset.WATCHED:
        panel.on_reset = functools.partial(factory_reset.ask, directory)
    health.count("panel", panel.counters)
    return panel


def no_panel_status(health: Health) -> Mapping[str, Any]:
    """In place of the panel's own, where there is none."""
    part = health.part("gpio", required=False)
    return {
        "state": "off" if part.working else "failed",
        "reason": part.reason,
        "active": [],
        "light": "",
    }
