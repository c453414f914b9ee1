"""The room: its sound card, the line on it, and the measuring of it at night."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from appliance import plugins
from appliance.bus import EventBus
from appliance.calibration import CalibrationFile
from appliance.config.schema import Room as RoomSettings
from appliance.errors import DriverMissing
from appliance.health import Health
from appliance.interfaces import LineKind, SoundCard
from appliance.room import Room
from appliance.session.line import Line
from appliance.session.lines import Lines

_FIRST_NIGHT_SECONDS: Final = 600.0
logger = logging.getLogger(__name__)


def build_room(
    settings: RoomSettings,
    card: SoundCard | None,
    lines: Lines,
    bus: EventBus,
    health: Health,
    known: CalibrationFile | None,
    silent_seconds: float,
) -> Room | None:
    """The room on `card`, or on the configured one; None where it is off, or has no driver, as its part then says."""
    if not settings.enabled:
        return None
    part = health.part("room")
    if card is None:
        try:
            factory = plugins.load("appliance.sound_cards", settings.sound_card)
            card = factory(settings.input, settings.output, period_ms=settings.period_ms)
        except DriverMissing as error:
            part.failing(f"{error.message}; {error.hint}")
            logger.error("no room line: %s", error.message)
            return None
    line = lines.open_line(
        LineKind.ROOM, capture_rate=card.capture_rate, playout_rate=card.playout_rate, line_id="room"
    )
    room = Room(card, line, settings, bus, part, known)
    health.count("room", room.counters)
    health.watch("sound card", silent_seconds, lambda: card.silent_for)
    return room


async def measure_at_night(
    room: Room, line: Line, known: CalibrationFile, bus: EventBus, unused: Callable[[], bool]
) -> None:
    """For good, whenever it is due and the appliance is `unused`."""
    await asyncio.sleep(_FIRST_NIGHT_SECONDS)
    # Imported only now: no start has to wait for what is needed hours later.
    from appliance.night import Night

    await Night(room, line, known, bus, unused).run()
