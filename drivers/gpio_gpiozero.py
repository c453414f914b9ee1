"""The front panel on GPIO: gpiozero over lgpio, or over the pin factory that $GPIOZERO_PIN_FACTORY names.

Neither library is imported before `start`: a machine without GPIO pays nothing for them.
"""

import array
import fcntl
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from appliance.errors import DeviceUnavailable, DriverMissing
from appliance.interfaces import Colour, ContactMoved, Control, KnobTurned, PanelReport, Wiring

FACTORY_VARIABLE: Final = "GPIOZERO_PIN_FACTORY"
_COMPATIBLE: Final = Path("/proc/device-tree/compatible")
_HEADERS: Final = ("pinctrl-rp1", "pinctrl-bcm2711", "pinctrl-bcm2835")
"""Labels of the chips whose lines are a Raspberry Pi's header, numbered as BCM does."""
_CHIP_INFO: Final = 0x8044B401
"""GPIO_GET_CHIPINFO_IOCTL: name and label, 32 bytes each, and the number of lines."""
_ANY_PI: Final = 0xA02082
"""A revision with the 40-pin header, for chips of other boards: gpiozero knows lines only by a Pi's header."""
_GLOW: Final = 0.02
_OFF: Final = (0.0, 0.0, 0.0)
logger = logging.getLogger(__name__)


class GpioPanel:
    """Implements interfaces.Panel. gpiozero calls back on its library's thread, which only posts."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._contacts: dict[Control, Any] = {}
        self._knob: Any = None
        self._leds: list[Any] = [None, None, None]
        self._shown: Colour = _OFF
        self._factory: Any = None
        self._own_factory = False

    @staticmethod
    def look(chip: str) -> str:
        """Why there is no GPIO here, empty when there is. Opens no line and imports no library."""
        if os.environ.get(FACTORY_VARIABLE):
            return ""
        if chip:
            return "" if _device(chip).exists() else f"there is no {_device(chip)}"
        if not _is_pi():
            return "this machine is no Raspberry Pi"
        return "" if any(_chips()) else "there is no /dev/gpiochip*"

    def start(self, report: Callable[[PanelReport], None]) -> Mapping[Control, bool]:
        try:
            self._open(report)
            return {control: self.active(control) for control in self._contacts}
        except ImportError as error:
            raise DriverMissing(
                f"GPIO needs {error.name or error}, which cannot be imported",
                hint="install the libraries gpiozero and lgpio, or set gpio.driver = off",
            ) from error
        except DeviceUnavailable:
            self.stop()
            raise
        except Exception as error:
            # gpiozero and lgpio have trees of their own, and a pin factory may raise anything.
            self.stop()
            raise DeviceUnavailable(
                f"GPIO cannot be used: {str(error) or type(error).__name__}",
                hint="see whether another program has these pins (gpioinfo), and look at [gpio]",
            ) from error

    def active(self, control: Control) -> bool:
        device = self._contacts.get(control)
        return device is not None and bool(device.is_active) is not (control in self._wiring.inverted)

    def show(self, colour: Colour) -> None:
        wanted = fitted(colour, self._wiring.leds)
        for led, value, before in zip(self._leds, wanted, self._shown, strict=True):
            if led is not None and value != before:
                led.value = value
        self._shown = wanted

    def stop(self) -> None:
        for led in filter(None, self._leds):
            _glow(led)
        devices = [*self._contacts.values(), self._knob, *self._leds]
        self._contacts, self._knob, self._leds, self._shown = {}, None, [None, None, None], _OFF
        factory, self._factory = self._factory, None
        for part in (*devices, factory if self._own_factory else None):
            if part is not None:
                _close(part)

    def _open(self, report: Callable[[PanelReport], None]) -> None:
        import gpiozero

        self._factory, self._own_factory = _pin_factory(gpiozero, self._wiring.chip)
        wiring, shared = self._wiring, {"pin_factory": self._factory}
        for control, pin in wiring.contacts.items():
            device = gpiozero.DigitalInputDevice(pin, pull_up=wiring.active_low, **shared)
            self._contacts[control] = device
            closed = control not in wiring.inverted
            device.when_activated = _poster(report, control, closed)
            device.when_deactivated = _poster(report, control, not closed)
        if wiring.knob is not None:
            self._knob = gpiozero.RotaryEncoder(*wiring.knob, max_steps=0, **shared)
            self._knob.when_rotated_clockwise = lambda: report(KnobTurned(1))
            self._knob.when_rotated_counter_clockwise = lambda: report(KnobTurned(-1))
        for place, pin in enumerate(wiring.leds):
            if pin:
                self._leds[place] = _led(gpiozero, pin, active_high=not wiring.led_active_low, **shared)


def fitted(colour: Colour, pins: tuple[int, int, int]) -> Colour:
    """The colour by the LEDs there are: what has no LED of its own lights the nearest that is there."""
    values = [0.0, 0.0, 0.0]
    for channel, value in enumerate(colour):
        # Red, green, blue lie in a row: of two neighbours the next one.
        near = sorted(range(3), key=lambda other: (abs(other - channel), -other))
        place = next((other for other in near if pins[other]), channel)
        values[place] = max(values[place], value)
    return values[0], values[1], values[2]


def _close(part: Any) -> None:
    """What one pin has against being released must not keep the others."""
    try:
        part.close()
    except Exception as error:  # noqa: BLE001 - as in start
        logger.warning("a pin was not released: %s", error)


def _poster(report: Callable[[PanelReport], None], control: Control, active: bool) -> Callable[[], None]:
    return lambda: report(ContactMoved(control, active, time.monotonic()))


def _led(gpiozero: Any, pin: int, **settings: Any) -> Any:
    try:
        return gpiozero.PWMLED(pin, **settings)
    except gpiozero.PinPWMUnsupported:
        return gpiozero.LED(pin, **settings)


def _glow(led: Any) -> None:
    """Before it is released: lgpio 0.2.2 has ended the pulses of a LED that is quite dark, and refuses to end none."""
    try:
        if led.pin.frequency is not None:
            led.value = _GLOW
    except Exception as error:  # noqa: BLE001 - as in start
        logger.warning("a light was not switched off: %s", error)


def _pin_factory(gpiozero: Any, chip: str) -> tuple[Any, bool]:
    """The factory, and whether it is ours to close."""
    if gpiozero.Device.pin_factory is not None or os.environ.get(FACTORY_VARIABLE):
        gpiozero.Device.ensure_pin_factory()
        return gpiozero.Device.pin_factory, False
    device = _device(chip) if chip else _header()
    if not os.access(device, os.R_OK | os.W_OK):
        raise DeviceUnavailable(
            f"{device} may not be opened", hint="add the user to the group gpio, and begin a new session"
        )
    _import_lgpio()
    from gpiozero.pins.lgpio import LGPIOFactory

    class ChipFactory(LGPIOFactory):  # type: ignore[misc]  # the library has no types
        """Any chip: where there is no Pi, its lines go by the numbers of a Pi's header."""

        def _get_revision(self) -> int:
            try:
                return int(super()._get_revision())
            except gpiozero.PinUnknownPi:
                return _ANY_PI

    return ChipFactory(chip=int(device.name.removeprefix("gpiochip"))), True


def _import_lgpio() -> None:
    """At its import lgpio makes a FIFO in $LG_WD, and makes that the process's working directory."""
    here = Path.cwd()
    if "LG_WD" not in os.environ:
        # It lives as long as the process does: a child that is started meanwhile may be in it.
        _PLACES.append(tempfile.TemporaryDirectory(prefix="handset-gpio-"))
        os.environ["LG_WD"] = _PLACES[-1].name
    try:
        import lgpio  # noqa: F401 - for what it does when it is imported
    finally:
        os.chdir(here)


_PLACES: Final[list[tempfile.TemporaryDirectory[str]]] = []


def _is_pi() -> bool:
    try:
        return b"raspberrypi," in _COMPATIBLE.read_bytes()
    except OSError:
        return False


def _device(chip: str) -> Path:
    return Path("/dev") / chip


def _header() -> Path:
    """The chip of the header: its number is another one with each board and kernel."""
    chips = {_label(chip): chip for chip in _chips()}
    return next((chips[label] for label in _HEADERS if label in chips), _device("gpiochip0"))


def _chips() -> Iterator[Path]:
    return Path("/dev").glob("gpiochip*")


def _label(chip: Path) -> str:
    info = array.array("B", bytes(68))
    try:
        with chip.open("rb", buffering=0) as opened:
            fcntl.ioctl(opened, _CHIP_INFO, info)
    except OSError:
        return ""
    return info.tobytes()[32:64].rstrip(b"\0").decode(errors="replace")
