"""What is wrong with the pins of [gpio]: numbers that are none, or are taken, or cannot be what they shall be."""

from collections.abc import Iterator
from typing import Final

from appliance.config.schema import Gpio

LAST_PIN: Final = 27
COUNTDOWN_MS: Final = 5_000
CONTACTS: Final = ("button", "hook", "mute", "volume_up", "volume_down")
PINS: Final = (*CONTACTS, "led_red", "led_green", "led_blue", "knob_a", "knob_b")
"""The keys of [gpio] that are pins."""
PULLED_UP: Final = (2, 3)
SPI_PINS: Final = (8, 9, 10, 11)
"""Select, data in, data out and clock of the port behind /dev/spidev0.0."""


def pin_faults(gpio: Gpio) -> Iterator[tuple[str, str, str]]:
    """Key, message and remedy of each."""
    # With a ring, the pins of its SPI port are taken.
    taken: dict[int, str] = dict.fromkeys(SPI_PINS, "the ring's SPI port") if gpio.ring else {}
    for key in PINS:
        pin = getattr(gpio, key)
        if not 0 <= pin <= LAST_PIN:
            yield f"gpio.{key}", f"there is no pin {pin}", f"BCM numbers go from 1 to {LAST_PIN}; 0 is none"
        elif pin and pin in taken:
            yield f"gpio.{key}", f"pin {pin} is that of {taken[pin]} already", "another pin, or 0 for none"
        taken.setdefault(pin, key)
    if not gpio.active_low:
        for key in CONTACTS:
            if (pin := getattr(gpio, key)) in PULLED_UP:
                hint = f"active_low = true, or a pin other than {' and '.join(map(str, PULLED_UP))}"
                yield f"gpio.{key}", f"pin {pin} has a resistor to 3.3 V on the board", hint
    if bool(gpio.knob_a) != bool(gpio.knob_b):
        missing = "knob_b" if gpio.knob_a else "knob_a"
        yield f"gpio.{missing}", "a knob has two pins, A and B", "set both, or neither"
    if gpio.very_long_ms < gpio.long_ms + COUNTDOWN_MS:
        least = gpio.long_ms + COUNTDOWN_MS
        message = f"{gpio.very_long_ms} leaves no {COUNTDOWN_MS} ms to be counted after long_ms"
        yield "gpio.very_long_ms", message, f"at least {least}, or a shorter long_ms"
