"""Serial LEDs: the bits on the wire, read as the LEDs read them, and what becomes of faults."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance import plugins
from appliance.errors import DeviceUnavailable
from appliance.interfaces import Colour
from drivers.ring_spi import SpiRing, apa102, ws2812

RED, WHITE, DARK = (1.0, 0.0, 0.0), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)
SHARE = 1000 / 2.4
"""Nanoseconds of one bit on the wire."""


def read_ws2812(wire: bytes) -> list[tuple[int, int, int]]:
    """What the LEDs see: how long the line is high tells a bit; green comes first."""
    level = "".join(f"{byte:08b}" for byte in wire).strip("0")
    bits, rest = "", level
    while rest:
        high = len(rest) - len(rest.lstrip("1"))
        rest = rest.lstrip("1")
        low = len(rest) - len(rest.lstrip("0"))
        rest = rest.lstrip("0")
        assert not rest or 650 <= (high + low) * SHARE <= 1850
        assert 200 <= high * SHARE <= 500 or 550 <= high * SHARE <= 1000
        bits += "1" if high * SHARE > 550 else "0"
    values = [int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)]
    return [(red, green, blue) for green, red, blue in zip(*(iter(values),) * 3, strict=True)]


def read_apa102(wire: bytes) -> list[tuple[int, int, int]]:
    assert wire[:4] == bytes(4)
    frames = [wire[at : at + 4] for at in range(4, len(wire) - 3, 4)]
    return [(frame[3], frame[2], frame[1]) for frame in frames if frame != b"\xff" * 4]


def test_ws2812_sees_the_colours():
    assert read_ws2812(ws2812([RED, WHITE, DARK, (0.0, 0.0, 1.0)])) == [
        *((255, 0, 0), (255, 255, 255), (0, 0, 0), (0, 0, 255))
    ]


def test_ws2812_has_time_to_take_them_over():
    wire = ws2812([WHITE])
    assert wire[0] == 0
    assert (len(wire) - len(wire.rstrip(b"\0"))) * 8 * SHARE >= 280_000


@pytest.mark.parametrize("leds", [1, 3, 12, 64])
def test_apa102_sees_the_colours_down_to_the_last_led(leds: int):
    wire = apa102([RED] * leds)
    assert read_apa102(wire)[:leds] == [(255, 0, 0)] * leds
    clocks = 8 * (len(wire) - 4 - 4 * leds)
    assert clocks >= leds / 2


_colours = st.lists(st.tuples(*(st.floats(-1.0, 2.0),) * 3), min_size=1, max_size=16)


@pytest.mark.slow
@given(_colours)
def test_no_value_is_more_than_a_led_can_take(colours: list[Colour]):
    assert len(read_ws2812(ws2812(colours))) == len(colours)
    assert apa102(colours)[4] == 0xFF


def test_it_is_lit_and_dark_in_the_end(tmp_path: Path):
    port = tmp_path / "spi"
    os.mkfifo(port)
    reading = os.open(port, os.O_RDONLY | os.O_NONBLOCK)
    ring = plugins.load("appliance.light_rings", "spi")("apa102", str(port), 2)
    assert isinstance(ring, SpiRing)
    ring.start()
    ring.show([RED, DARK])
    ring.stop()
    ring.stop()
    sent, frame = os.read(reading, 4096), len(apa102([RED, DARK]))
    os.close(reading)
    pictures = [read_apa102(sent[at : at + frame])[:2] for at in range(0, len(sent), frame)]
    dark = [(0, 0, 0), (0, 0, 0)]
    assert pictures == [dark, [(255, 0, 0), (0, 0, 0)], dark]


def test_a_port_that_is_not_there_is_told_with_a_remedy(tmp_path: Path):
    ring = SpiRing("ws2812", str(tmp_path / "none"), 12)
    with pytest.raises(DeviceUnavailable) as fault:
        ring.start()
    assert "dtparam=spi=on" in fault.value.hint
    ring.show([RED] * 12)
    ring.stop()


def test_a_port_that_fails_is_counted():
    ring = SpiRing("ws2812", "/dev/full", 12)
    ring.start()
    ring.show([RED] * 12)
    ring.stop()
    assert ring.counters() == {"ring_faults": 3}
