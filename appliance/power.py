"""Whether the power supply holds: a Raspberry Pi tells when its voltage fell below 4.63 V.

That is behind many a fault that looks like another: a USB microphone that comes and goes, a Wi-Fi that drops, a file
system that breaks. The alarm is of the last two seconds, and falls come in crowds.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from appliance.bus import EventBus
from appliance.events import PowerChanged, Warned
from appliance.health import Part

LOOK_SECONDS: Final = 1.0
CALM_SECONDS: Final = 600.0
"""So long without a fall, and it counts as mended; the next one is told anew."""
REMEDY: Final = (
    "use the board's own power supply and a short cable; loud speakers and disks need one of their own"
)
CODE: Final = "undervoltage"
_CHIP: Final = "rpi_volt"
_SENSORS: Final = Path("/sys/class/hwmon")
logger = logging.getLogger(__name__)


def find(sensors: Path = _SENSORS) -> Path | None:
    """The file of the kernel's driver raspberrypi-hwmon; None where nobody says."""
    for name in sensors.glob("hwmon*/name"):
        try:
            alarm = name.with_name("in0_lcrit_alarm")
            if name.read_text(encoding="ascii").strip() == _CHIP and alarm.exists():
                return alarm
        except (OSError, UnicodeDecodeError):
            continue
    return None


def fell(alarm: Path) -> bool | None:
    """Whether the voltage was too low within the last two seconds; None where the file cannot be read."""
    try:
        return alarm.read_text(encoding="ascii").strip() == "1"
    except (OSError, UnicodeDecodeError):
        return None


class Supply:
    """What is made of one look after another. Pure; times are monotonic seconds."""

    def __init__(self) -> None:
        self.low = False
        """It fell within CALM_SECONDS."""
        self.falls = 0
        """How often it fell since the start."""
        self._falling = False
        self._last = 0.0

    def look(self, falling: bool, at: float) -> bool | None:
        """`falling` is what is seen now. Return the new `low` where that changed, else None."""
        if falling:
            self.falls += not self._falling
            self._last = at
        self._falling = falling
        low = falling or (self.low and at - self._last < CALM_SECONDS)
        if low is self.low:
            return None
        self.low = low
        return low


class Power:
    """Looks at `alarm` every second. `part` fails while the supply counts as too weak."""

    def __init__(
        self, alarm: Path, bus: EventBus, part: Part, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._alarm = alarm
        self._bus = bus
        self._part = part
        self._clock = clock
        self._supply = Supply()
        self._fell_at: float | None = None
        part.ok()

    def status(self) -> Mapping[str, Any]:
        """As `status` shows it: `fell_at` in Unix seconds, None where it never did."""
        return {
            "state": "low" if self._supply.low else "fine",
            "falls": self._supply.falls,
            "fell_at": self._fell_at,
        }

    def counters(self) -> Mapping[str, int]:
        return {"low": int(self._supply.low), "falls_total": self._supply.falls}

    def look(self) -> None:
        falling = fell(self._alarm)
        if falling is None:
            # Nobody says that it holds.
            return
        if falling:
            self._fell_at = time.time()
        low = self._supply.look(falling, self._clock())
        if low is None:
            return
        if low:
            self._part.failing("the power supply is too weak: its voltage fell", REMEDY)
            logger.warning("the voltage of the power supply fell below 4.63 V; %s", REMEDY)
            self._bus.publish(Warned(code=CODE, message="the voltage of the power supply fell", hint=REMEDY))
        else:
            self._part.ok()
            logger.info("the power supply has held for %.0f minutes", CALM_SECONDS / 60)
        self._bus.publish(PowerChanged(state="low" if low else "fine"))

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_SECONDS)


UNKNOWN: Final[Mapping[str, Any]] = {"state": "unknown", "falls": 0, "fell_at": None}
"""The status where nobody says."""
