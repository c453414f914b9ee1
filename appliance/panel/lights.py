"""From the appliance's state to light. One table, without clock and I/O."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum, auto
from typing import Final, Literal

from appliance.interfaces import Colour

FRAME_SECONDS: Final = 0.05
_TAIL: Final = 0.35
"""How much of a ring the tail of what goes round takes."""
DARK: Final[Colour] = (0.0, 0.0, 0.0)
_RED: Final[Colour] = (1.0, 0.0, 0.0)
_AMBER: Final[Colour] = (1.0, 0.4, 0.0)
_GREEN: Final[Colour] = (0.0, 1.0, 0.0)
_CYAN: Final[Colour] = (0.0, 0.7, 1.0)
_BLUE: Final[Colour] = (0.0, 0.0, 1.0)
_WHITE: Final[Colour] = (1.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the lights are to tell."""

    turn: str = "idle"
    """The room's: idle, listening, thinking, speaking."""
    muted: bool = False
    ringing: bool = False
    """A call waits to be answered."""
    in_call: bool = False
    starting: bool = False
    ready: bool = True
    power_low: bool = False
    """The voltage of the power supply fell."""
    device_lost: bool = False
    """The room's microphone or speaker was pulled, or has failed."""
    unreachable: bool = False
    """The provider that was asked last is down."""
    awake: bool | None = None
    """Whether the room is listened to without its wake word; None where none is needed."""
    setup: bool = False
    """It waits to be set up."""
    settings: Literal["", "taken", "faulty"] = ""
    """What became of new settings on the card, or of those on the set-up page."""
    countdown: bool = False
    """The button is held: a reset follows."""
    resetting: bool = False


class Effect(StrEnum):
    STEADY = auto()
    BLINK = auto()
    """Half of the period on."""
    FLASH = auto()
    """A tenth of the period on."""
    WINK = auto()
    """On, but for a tenth of the period."""
    PULSE = auto()
    """Up and down, softly."""
    SPIN = auto()
    """Once round the ring in a period; a single lamp pulses."""


_ON: Final = {Effect.BLINK: 0.5, Effect.FLASH: 0.1, Effect.WINK: 0.9}
"""The share of the period for which it is on."""
_SMOOTH: Final = frozenset({Effect.PULSE, Effect.SPIN})


@dataclass(frozen=True, slots=True)
class Pattern:
    colour: Colour
    effect: Effect = Effect.STEADY
    period: float = 1.0


@dataclass(frozen=True, slots=True)
class Row:
    """A condition, when it holds, and how it looks. No two look the same, also to who sees no colours."""

    name: str
    holds: Callable[[Facts], bool]
    pattern: Pattern


LIGHTS: Final[tuple[Row, ...]] = (
    Row("resetting", lambda f: f.resetting, Pattern(_RED, Effect.BLINK, 0.2)),
    Row("countdown", lambda f: f.countdown, Pattern(_RED, Effect.BLINK, 0.5)),
    Row("ringing", lambda f: f.ringing, Pattern(_GREEN, Effect.BLINK, 0.7)),
    # What is sent must never be hidden by what is said: muted stands above the turns.
    Row("muted", lambda f: f.muted, Pattern(_RED, Effect.WINK, 2.0)),
    Row("listening", lambda f: f.turn == "listening", Pattern(_CYAN, Effect.STEADY)),
    Row("thinking", lambda f: f.turn == "thinking", Pattern(_BLUE, Effect.SPIN, 1.2)),
    Row("speaking", lambda f: f.turn == "speaking", Pattern(_CYAN, Effect.PULSE, 2.0)),
    Row("in_call", lambda f: f.in_call, Pattern(_GREEN, Effect.FLASH, 1.5)),
    Row("setup", lambda f: f.setup, Pattern(_BLUE, Effect.BLINK, 1.5)),
    Row("settings_taken", lambda f: f.settings == "taken", Pattern(_GREEN, Effect.PULSE, 0.6)),
    Row("starting", lambda f: f.starting, Pattern(_WHITE, Effect.SPIN, 3.0)),
    Row("settings_faulty", lambda f: f.settings == "faulty", Pattern(_AMBER, Effect.PULSE, 5.0)),
    # What is lost is often lost by this.
    Row("power_low", lambda f: f.power_low, Pattern(_AMBER, Effect.WINK, 0.5)),
    Row("device_lost", lambda f: f.device_lost, Pattern(_AMBER, Effect.BLINK, 1.0)),
    Row("fault", lambda f: not f.ready, Pattern(_AMBER, Effect.BLINK, 3.0)),
    Row("unreachable", lambda f: f.unreachable, Pattern(_AMBER, Effect.FLASH, 3.0)),
    Row("awake", lambda f: f.awake is True, Pattern(_CYAN, Effect.WINK, 1.0)),
    Row("asleep", lambda f: f.awake is False, Pattern(_WHITE, Effect.FLASH, 6.0)),
    Row("idle", lambda _: True, Pattern(DARK)),
)
"""The first that holds is shown."""


def shown(facts: Facts) -> Row:
    """What the lights tell of these facts."""
    return next(row for row in LIGHTS if row.holds(facts))


def lamp(pattern: Pattern, seconds: float) -> Colour:
    """The colour of a lamp, `seconds` after the pattern began."""
    return _dimmed(pattern.colour, _level(pattern.effect, seconds % pattern.period / pattern.period))


def ring(pattern: Pattern, seconds: float, leds: int) -> tuple[Colour, ...]:
    """The colours of a ring of so many LEDs."""
    if pattern.effect is not Effect.SPIN or leds < 3:
        return (lamp(pattern, seconds),) * leds
    head = seconds % pattern.period / pattern.period
    behind = [(head - led / leds) % 1.0 for led in range(leds)]
    return tuple(_dimmed(pattern.colour, max(0.0, 1.0 - place / _TAIL)) for place in behind)


def lasts(pattern: Pattern, seconds: float) -> float | None:
    """For how long the lights stay as they are; None for good."""
    if pattern.effect in _SMOOTH:
        return FRAME_SECONDS
    share = _ON.get(pattern.effect)
    if share is None:
        return None
    into, change = seconds % pattern.period, pattern.period * share
    # A hair later than the change itself: what is rounded down would be shown as it was.
    return (change if into < change else pattern.period) - into + 0.001


def _level(effect: Effect, phase: float) -> float:
    if effect in _SMOOTH:
        return 0.55 - 0.45 * math.cos(2 * math.pi * phase)
    return float(phase < _ON.get(effect, 1.0))


def _dimmed(colour: Colour, level: float) -> Colour:
    red, green, blue = colour
    return red * level, green * level, blue * level
