"""What a person means by pressing a button. A table, without clock and I/O. Times are monotonic seconds.

Every press ends as exactly one of: single, one half of a double, long, very long, stuck, void; a void one may turn out
to be stuck.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, auto
from typing import Final

COUNTDOWN_SECONDS: Final = 5.0
STUCK_SECONDS: Final = 60.0
"""As long as the longest turn: nobody holds a button for longer on purpose."""


class Gesture(StrEnum):
    """As the event `button` tells it in its `action`."""

    PRESSED = "pressed"
    RELEASED = "released"
    SINGLE = "single"
    DOUBLE = "double"
    HOLD = "hold"
    """It has been down for `long`, and still is."""
    LONG = "long"
    """It was let go between `long` and `very_long`."""
    COUNTDOWN = "countdown"
    """COUNTDOWN_SECONDS are left until it is very long."""
    VERY_LONG = "very_long"
    STUCK = "stuck"
    """It is ignored until it comes up."""
    FREED = "freed"
    """It was stuck, and has come up."""
    VOID = "void"
    """Another button was pressed with it: what was begun ends, and it is ignored until it comes up."""


class Phase(StrEnum):
    UP = auto()
    FIRST = auto()
    GAP = auto()
    """Up, and a second press would make a double."""
    SECOND = auto()
    HELD = auto()
    COUNTING = auto()
    SPENT = auto()
    STUCK = auto()
    VOID = auto()


class Step(StrEnum):
    DOWN = auto()
    UP = auto()
    TIMEOUT = auto()
    """The phase's time is over."""
    SPOIL = auto()
    """Another button is down too."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. `double` is from one press's end to the next one's begin, the others from the press's begin."""

    double: float = 0.35
    long: float = 1.0
    very_long: float = 15.0
    stuck: float = STUCK_SECONDS


_G = Gesture
_VOID: Final = (Phase.VOID, (_G.VOID,))
PRESSES: Final[Mapping[Phase, Mapping[Step, tuple[Phase, tuple[Gesture, ...]]]]] = {
    Phase.UP: {Step.DOWN: (Phase.FIRST, (_G.PRESSED,))},
    Phase.FIRST: {
        Step.UP: (Phase.GAP, (_G.RELEASED,)),
        Step.TIMEOUT: (Phase.HELD, (_G.HOLD,)),
        Step.SPOIL: _VOID,
    },
    Phase.GAP: {
        Step.DOWN: (Phase.SECOND, (_G.PRESSED,)),
        Step.TIMEOUT: (Phase.UP, (_G.SINGLE,)),
    },
    Phase.SECOND: {
        Step.UP: (Phase.UP, (_G.RELEASED, _G.DOUBLE)),
        Step.TIMEOUT: (Phase.HELD, (_G.SINGLE, _G.HOLD)),
        Step.SPOIL: (Phase.VOID, (_G.SINGLE, _G.VOID)),
    },
    Phase.HELD: {
        Step.UP: (Phase.UP, (_G.RELEASED, _G.LONG)),
        Step.TIMEOUT: (Phase.COUNTING, (_G.COUNTDOWN,)),
        Step.SPOIL: _VOID,
    },
    Phase.COUNTING: {
        Step.UP: (Phase.UP, (_G.RELEASED, _G.LONG)),
        Step.TIMEOUT: (Phase.SPENT, (_G.VERY_LONG,)),
        Step.SPOIL: _VOID,
    },
    Phase.SPENT: {
        Step.UP: (Phase.UP, (_G.RELEASED,)),
        Step.TIMEOUT: (Phase.STUCK, (_G.STUCK,)),
        Step.SPOIL: _VOID,
    },
    Phase.STUCK: {Step.UP: (Phase.UP, (_G.FREED,))},
    Phase.VOID: {Step.UP: (Phase.UP, ()), Step.TIMEOUT: (Phase.STUCK, (_G.STUCK,))},
}


@dataclass(frozen=True, slots=True)
class Told:
    """A gesture, when it became one, and how long the button had been down by then."""

    gesture: Gesture
    at: float
    held: float


class Press:
    """One button. Times never go back; a look that comes late changes nothing about what is told."""

    def __init__(self, timing: Timing) -> None:
        self.phase = Phase.UP
        self._timing = timing
        self._since = 0.0
        """Of the last press; in the gap, of its end."""

    @property
    def due(self) -> float | None:
        """When `look` will have something to say."""
        after = self._after()
        return None if after is None else self._since + after

    @property
    def held(self) -> bool:
        """It is down, and was long ago."""
        return self.phase in (Phase.HELD, Phase.COUNTING, Phase.SPENT)

    def down(self, at: float) -> tuple[Told, ...]:
        return self._heed(Step.DOWN, at)

    def up(self, at: float) -> tuple[Told, ...]:
        return self._heed(Step.UP, at)

    def spoil(self, at: float) -> tuple[Told, ...]:
        """Another button is down too."""
        return self._heed(Step.SPOIL, at)

    def look(self, at: float) -> tuple[Told, ...]:
        """The time is `at`."""
        told: tuple[Told, ...] = ()
        while (due := self.due) is not None and due <= at:
            told += self._take(Step.TIMEOUT, due)
        return told

    def found_down(self, at: float) -> None:
        """It was down before anybody looked: nobody pressed it, so it is stuck."""
        self.phase, self._since = Phase.STUCK, at

    def _heed(self, step: Step, at: float) -> tuple[Told, ...]:
        return self.look(at) + self._take(step, at)

    def _take(self, step: Step, at: float) -> tuple[Told, ...]:
        if step not in PRESSES[self.phase]:
            return ()
        resting = self.phase in (Phase.UP, Phase.GAP)
        self.phase, gestures = PRESSES[self.phase][step]
        held = 0.0 if resting else at - self._since
        if step is Step.DOWN or self.phase is Phase.GAP:
            self._since = at
        return tuple(Told(gesture, at, held) for gesture in gestures)

    def _after(self) -> float | None:
        timing = self._timing
        # Whatever the times are, the countdown is never shorter than it says.
        counted = max(timing.long, timing.very_long - COUNTDOWN_SECONDS)
        very_long = counted + COUNTDOWN_SECONDS
        return {
            Phase.FIRST: timing.long,
            Phase.GAP: timing.double,
            Phase.SECOND: timing.long,
            Phase.HELD: counted,
            Phase.COUNTING: very_long,
            Phase.SPENT: max(timing.stuck, very_long),
            Phase.VOID: max(timing.stuck, very_long),
        }.get(self.phase)
