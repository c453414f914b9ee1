"""The room line on its sound card: joins the two, and tells the bus and the health what becomes of the devices."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

from appliance.audio.duplex import Choice
from appliance.bus import EventBus
from appliance.calibration import Calibration, CalibrationFile
from appliance.config.schema import Room as RoomSettings
from appliance.events import DeviceChanged, Warned
from appliance.health import Part
from appliance.interfaces import DeviceReport, SoundCard
from appliance.session.line import Line

_LOOK_SECONDS: Final = 3.0
"""The first look at the sound system takes a second or two."""
_USABLE: Final = frozenset({"present", "recovered"})
logger = logging.getLogger(__name__)


class Room:
    """`start` and `stop` belong to the loop's thread; the card's reports may come from any.

    A room that was asked for by name, or that once had its devices, must have them to be ready. One on "default"
    that never saw a device waits without holding the appliance back.
    """

    def __init__(
        self,
        card: SoundCard,
        line: Line,
        settings: RoomSettings,
        bus: EventBus,
        part: Part,
        calibrations: CalibrationFile | None = None,
    ) -> None:
        self._card = card
        self._settings = settings
        self._calibrations = calibrations
        self._line = line
        self._bus = bus
        self._part = part
        self._part.required = (settings.input, settings.output) != ("default", "default")
        self._part.failing("no device yet", self._remedy(["input", "output"]))
        self._uncalibrated = Choice(line.duplex, 0.0, "never measured: handset audio calibrate")
        self._devices: dict[str, tuple[str, str]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._looked: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to look for the devices; returns at once."""
        self._loop = asyncio.get_running_loop()
        self._line.playout.lag = lambda: self._card.output_delay_ms
        self._card.start(self._line.capture.feed, self._line.pull, self._report)
        self._looked = self._loop.call_later(_LOOK_SECONDS, self._tell_missing)

    async def stop(self) -> None:
        """Close the devices; at most 2 s."""
        if self._looked is not None:
            self._looked.cancel()
        await asyncio.to_thread(self._card.stop)

    def devices(self) -> tuple[str, str] | None:
        """Names of microphone and speaker, where both can be used."""
        return None if self._missing() else (self._devices["input"][0], self._devices["output"][0])

    def recall(self) -> None:
        """Go by what was measured of the present devices: with `room.duplex` "auto" it says how they are used."""
        devices = self.devices()
        if self._calibrations is None or devices is None:
            return
        self.adopt(self._calibrations.of(*devices))

    def adopt(self, known: Calibration | None) -> None:
        """`known` holds from now on; None: these devices were never measured."""
        self._line.acoustics = known.shown if known is not None else None
        if self._settings.duplex != "auto":
            return
        choice = known.choice if known is not None else self._uncalibrated
        if choice.mode is not self._line.duplex:
            logger.info("the room is used in %s duplex: %s", choice.mode, choice.reason)
        self._line.set_duplex(choice)

    def counters(self) -> Mapping[str, int]:
        return self._card.counters()

    def _report(self, report: DeviceReport) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._changed, report)

    def _changed(self, report: DeviceReport) -> None:
        self._devices[report.kind] = (report.name, report.state)
        self._line.device = {
            kind: {"name": name, "state": state} for kind, (name, state) in self._devices.items()
        }
        logger.info("room %s %s: %s", report.kind, report.state, report.name)
        self._bus.publish(
            DeviceChanged(line=self._line.id, kind=report.kind, state=report.state, name=report.name)
        )
        lost = self._missing()
        if lost:
            self._part.failing(f"no {' and no '.join(lost)} device", self._remedy(lost))
        else:
            self._part.required = True
            self._part.ok()
            self.recall()
        if report.state == "lost":
            hint = "plug it in again: it is taken at once"
            self._bus.publish(
                Warned(
                    line=self._line.id, code="device_lost", message=f"{report.kind} {report.name}", hint=hint
                )
            )

    def _tell_missing(self) -> None:
        if lost := self._missing():
            named = {"input": "microphone", "output": "speaker"}
            told = " and no ".join(named[kind] for kind in lost)
            logger.info("no %s found; %s", told, self._remedy(lost))

    def _remedy(self, lost: list[str]) -> str:
        """A device that the configuration names may only be misspelt there."""
        wanted = {"input": self._settings.input, "output": self._settings.output}
        named = [f"room.{kind} is {wanted[kind]!r}" for kind in lost if wanted[kind] != "default"]
        spelt = f"{' and '.join(named)}: see whether a device is called so; " if named else ""
        return f"{spelt}what is plugged in is taken at once (handset audio list)"

    def _missing(self) -> list[str]:
        return [kind for kind in ("input", "output") if self._state(kind) not in _USABLE]

    def _state(self, kind: str) -> str:
        return self._devices.get(kind, ("", "absent"))[1]
