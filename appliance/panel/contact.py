"""When a contact is believed: it bounces. Pure: no clock, no I/O. Times are monotonic seconds."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from appliance.interfaces import Control

PRESS_SECONDS: Final = 0.004
"""A spike on a long wire is shorter; a press that waited longer would cost the first sound of a word."""
HOOK_OFF_SECONDS: Final = 0.04
HOOK_ON_SECONDS: Final = 0.3
"""A cradle that is touched, or a receiver that is laid down askew, hangs nobody up."""
SWITCH_OFF_SECONDS: Final = 0.06


@dataclass(frozen=True, slots=True)
class Settling:
    """Seconds for which a contact must stay active, or inactive, before that is believed; 0 is at once."""

    active: float
    inactive: float


@dataclass(frozen=True, slots=True)
class Change:
    """The contact is now so, since `at`."""

    active: bool
    at: float


def settling(debounce: float) -> Mapping[Control, Settling]:
    """How long each control takes to be believed. Nobody waits for the microphone to be switched off."""
    button = Settling(min(PRESS_SECONDS, debounce), debounce)
    return {
        Control.BUTTON: button,
        Control.VOLUME_UP: button,
        Control.VOLUME_DOWN: button,
        Control.HOOK: Settling(HOOK_OFF_SECONDS, HOOK_ON_SECONDS),
        Control.MUTE: Settling(0.0, max(SWITCH_OFF_SECONDS, debounce)),
    }


class Contact:
    """One contact. `active` is what is believed; it changes only as `move` and `look` return."""

    def __init__(self, settling: Settling, *, active: bool = False) -> None:
        self.active = active
        self._settling = settling
        self._seen = Change(active, float("-inf"))

    @property
    def seen(self) -> bool:
        """How it was last seen, believed or not."""
        return self._seen.active

    def begin(self, active: bool, at: float) -> None:
        """It was so when somebody first looked: that is no change."""
        self.active, self._seen = active, Change(active, at)

    @property
    def due(self) -> float | None:
        """When `look` will have something to say, unless the contact moves before; None where it is at rest."""
        return None if self._seen.active is self.active else self._seen.at + self._needed(self._seen.active)

    def move(self, active: bool, at: float) -> tuple[Change, ...]:
        """It was seen to become so at `at`, which never goes back; return what is believed now and was not before."""
        before = self.look(at)
        if active is not self._seen.active:
            self._seen = Change(active, at)
        return before + self.look(at)

    def look(self, at: float) -> tuple[Change, ...]:
        """The time is `at`."""
        due = self.due
        if due is None or at < due:
            return ()
        self.active = self._seen.active
        return (self._seen,)

    def _needed(self, active: bool) -> float:
        return self._settling.active if active else self._settling.inactive
