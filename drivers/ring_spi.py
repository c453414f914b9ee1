"""Serial LEDs on an SPI port of the kernel: WS2812 by their data line, APA102 by data and clock. Needs no library."""

import errno
import fcntl
import os
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from appliance.errors import DeviceUnavailable
from appliance.interfaces import Colour

GAMMA: Final = 2.2
"""Light as it is seen grows slower than what a LED is driven with."""
_SET_MODE: Final = 0x40016B01
_SET_HERTZ: Final = 0x40046B04
"""SPI_IOC_WR_MODE and SPI_IOC_WR_MAX_SPEED_HZ of linux/spi/spidev.h."""
_LATCH_BYTES: Final = 100
"""330 µs of low at WS2812's rate: more than any maker asks for (50 to 280)."""
_SYMBOLS: Final = tuple(
    int("".join("110" if value >> bit & 1 else "100" for bit in range(7, -1, -1)), 2).to_bytes(3, "big")
    for value in range(256)
)
"""Each bit of a byte as WS2812 reads it: high for two thirds of its time, or for one."""


def ws2812(colours: Sequence[Colour]) -> bytes:
    """Green, red, blue; three bits for one at 2.4 MHz, low before and after."""
    light = (_SYMBOLS[value] for red, green, blue in map(_driven, colours) for value in (green, red, blue))
    return b"\0" + b"".join(light) + bytes(_LATCH_BYTES)


def apa102(colours: Sequence[Colour]) -> bytes:
    """A frame of zeros, each LED's blue, green and red, and as many clocks as the last one needs to see its own."""
    light = (bytes((0xFF, blue, green, red)) for red, green, blue in map(_driven, colours))
    return bytes(4) + b"".join(light) + b"\xff" * (4 + len(colours) // 16)


def _driven(colour: Colour) -> tuple[int, int, int]:
    red, green, blue = (round(255 * min(1.0, max(0.0, value)) ** GAMMA) for value in colour)
    return red, green, blue


@dataclass(frozen=True, slots=True)
class Kind:
    encode: Callable[[Sequence[Colour]], bytes]
    hertz: int


KINDS: Final[Mapping[str, Kind]] = {"ws2812": Kind(ws2812, 2_400_000), "apa102": Kind(apa102, 4_000_000)}


class SpiRing:
    """Implements interfaces.LightRing on /dev/spidev*; `kind` is a key of KINDS."""

    def __init__(self, kind: str, device: str, leds: int) -> None:
        self._kind = KINDS[kind]
        self._device = device
        self._dark: Sequence[Colour] = ((0.0, 0.0, 0.0),) * leds
        self._port: int | None = None
        self._faults = 0

    def start(self) -> None:
        try:
            self._port = os.open(self._device, os.O_WRONLY | os.O_CLOEXEC)
            self._set_up(self._port)
        except OSError as error:
            self._close()
            raise DeviceUnavailable(
                f"no light ring: {self._device}: {error.strerror}",
                hint="switch SPI on (dtparam=spi=on in config.txt), and let the user into the group spi",
            ) from error
        self.show(self._dark)

    def show(self, colours: Sequence[Colour]) -> None:
        if self._port is None:
            return
        try:
            os.write(self._port, self._kind.encode(colours))
        except OSError:
            self._faults += 1

    def stop(self) -> None:
        self.show(self._dark)
        self._close()

    def counters(self) -> Mapping[str, int]:
        return {"ring_faults": self._faults}

    def _set_up(self, port: int) -> None:
        try:
            fcntl.ioctl(port, _SET_MODE, struct.pack("B", 0))
            fcntl.ioctl(port, _SET_HERTZ, struct.pack("I", self._kind.hertz))
        except OSError as error:
            # What stands in for a port takes the bytes as they come.
            if error.errno != errno.ENOTTY:
                raise

    def _close(self) -> None:
        port, self._port = self._port, None
        if port is not None:
            os.close(port)
