"""What the talk button's gestures do to the talk key of the line. A table, without clock and I/O."""

from collections.abc import Mapping
from enum import StrEnum, auto
from typing import Final, Literal

from appliance.panel.press import Gesture

Mode = Literal["hold", "toggle"]


class Key(StrEnum):
    """The line's talk key, as this button has it."""

    UP = auto()
    HELD = auto()
    """Down as long as the button is."""
    LATCHED = auto()
    """Down until the next press."""


class Act(StrEnum):
    PRESS = auto()
    RELEASE = auto()


_G = Gesture
_Steps = Mapping[Key, Mapping[Gesture, tuple[Key, Act | None]]]
_LET_GO: Final = dict.fromkeys((_G.RELEASED, _G.STUCK, _G.VOID), (Key.UP, Act.RELEASE))
TALK: Final[Mapping[Mode, _Steps]] = {
    "hold": {
        Key.UP: {_G.PRESSED: (Key.HELD, Act.PRESS)},
        Key.HELD: _LET_GO,
        Key.LATCHED: {},
    },
    "toggle": {
        Key.UP: {_G.PRESSED: (Key.LATCHED, Act.PRESS)},
        # A button that is held all the while is let go when that ends, as whoever holds it expects.
        Key.LATCHED: {
            _G.HOLD: (Key.HELD, None),
            _G.PRESSED: (Key.UP, Act.RELEASE),
            _G.VOID: (Key.UP, Act.RELEASE),
        },
        Key.HELD: _LET_GO,
    },
}


def talk(mode: Mode, key: Key, gesture: Gesture) -> tuple[Key, Act | None]:
    """The key after `gesture`, and what to do with it."""
    return TALK[mode][key].get(gesture, (key, None))
