"""Contracts of the front panel: buttons, switches, a knob, and lights."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

Colour = tuple[float, float, float]
"""Red, green and blue, each 0 to 1."""


class Control(StrEnum):
    """What a person moves, by its key in the configuration. `active` means:"""

    BUTTON = "button"
    """pressed: push-to-talk"""
    VOLUME_UP = "volume_up"
    """pressed"""
    VOLUME_DOWN = "volume_down"
    """pressed"""
    HOOK = "hook"
    """lifted: off the hook"""
    MUTE = "mute"
    """the microphone is to be off"""


@dataclass(frozen=True, slots=True)
class ContactMoved:
    """A contact changed, as the driver saw it: it may bounce. `at` is the monotonic second."""

    control: Control
    active: bool
    at: float


@dataclass(frozen=True, slots=True)
class KnobTurned:
    """By so many steps since the last report; clockwise is positive."""

    steps: int


PanelReport = ContactMoved | KnobTurned


@dataclass(frozen=True, slots=True)
class Wiring:
    """What is connected where. Pins by the number that the chip gives them; 0 is none."""

    contacts: Mapping[Control, int]
    knob: tuple[int, int] | None = None
    leds: tuple[int, int, int] = (0, 0, 0)
    """Red, green, blue. With one pin alone it is a lamp of whatever colour."""
    active_low: bool = True
    """A closed contact pulls to ground; the pull resistor is set to match."""
    inverted: Collection[Control] = field(default=frozenset())
    """Contacts that are active while they are open."""
    led_active_low: bool = False
    chip: str = ""
    """The GPIO chip's device or name; empty for the one that has a Raspberry Pi's header."""


class Panel(Protocol):
    """Entry-point group `appliance.panels`. Built as `factory(wiring)`; all methods may block for a moment.

    A class also has a static `look(chip) -> str`: why there is nothing to drive here, empty when there is. It imports
    no library and opens no line.
    """

    def start(self, report: Callable[[PanelReport], None]) -> Mapping[Control, bool]:
        """Claim the pins; return which contacts are active now. From then on each change is reported, by any thread.

        Raise DriverMissing, or DeviceUnavailable with a remedy; then nothing stays claimed.
        """
        ...

    def active(self, control: Control) -> bool:
        """How the contact stands now; False where there is none."""
        ...

    def show(self, colour: Colour) -> None:
        """Light the LEDs, if there are any. Quick: it does not block."""
        ...

    def stop(self) -> None:
        """Release the pins, lights out; no report comes after it. Idempotent."""
        ...


class LightRing(Protocol):
    """Serial LEDs in a row or ring. Group `appliance.light_rings`. Built as `factory(kind, device, leds)`."""

    def start(self) -> None:
        """Open it, dark. Raise DeviceUnavailable with a remedy."""
        ...

    def show(self, colours: Sequence[Colour]) -> None:
        """One colour a LED. Quick; a fault of the device is counted, not raised."""
        ...

    def stop(self) -> None:
        """Dark, and closed. Idempotent."""
        ...

    def counters(self) -> Mapping[str, int]: ...
