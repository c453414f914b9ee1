"""What the panel's controls do in the room: the talk key, the receiver, the mute switch, the volume."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, Protocol

from appliance.bus import EventBus
from appliance.errors import NotPossible
from appliance.events import Event, SessionStateChanged, TurnChanged
from appliance.interfaces import Control
from appliance.panel.press import Gesture
from appliance.panel.talk import Act, Key, Mode, talk
from appliance.session.line import HOOK, SWITCH, Line

ROOM: Final = "room"
LAID_DOWN: Final = "on_hook"
"""The reason for which a session is closed, and a call ended, by laying the receiver down."""
_WAITS: Final = frozenset({"incoming", "ringing"})


class CallsAtHand(Protocol):
    """appliance/call/controller.py, as far as a receiver needs it."""

    def status(self) -> list[dict[str, Any]]: ...

    def answer(self, call: str | None = None, line: str = "") -> str: ...

    def hang_up(self, call: str | None = None) -> str: ...


class RoomKeys:
    """Belongs to the loop's thread. `begin` opens a session on the line; `calls` is None without a telephone."""

    def __init__(
        self, line: Line, bus: EventBus, begin: Callable[[], object], calls: CallsAtHand | None
    ) -> None:
        self.line = line
        self._begin = begin
        self._calls = calls
        self._key = Key.UP
        bus.listen(self._notice)

    def shut_first(self, wired: Collection[Control]) -> None:
        """The microphone stays off until its switch, and the receiver, have been looked at."""
        for control, name in ((Control.MUTE, SWITCH), (Control.HOOK, HOOK)):
            if control in wired:
                self.line.shut(name, True)

    def found(self, active: Mapping[Control, bool]) -> None:
        """How switch and receiver stand at the start. One that is off the hook begins nothing."""
        self.line.shut(SWITCH, active.get(Control.MUTE, False))
        self.line.shut(HOOK, not active.get(Control.HOOK, True))

    def talk(self, mode: Mode, gesture: Gesture) -> None:
        """Raise LineBusy where no session can be had, and NotPossible while the microphone is off."""
        key, act = talk(mode, self._key, gesture)
        if act is Act.PRESS:
            self._press()
        elif act is Act.RELEASE:
            self.line.release()
        self._key = key

    def lifted(self) -> None:
        """Answer the call that rings, or begin to talk: no wake word is needed until it is laid down."""
        self.line.shut(HOOK, False)
        self.line.rouse(held=True)
        waiting = self._call(lambda call: call["direction"] == "in" and call["state"] in _WAITS)
        if waiting is not None and self._calls is not None:
            self._calls.answer(waiting, ROOM)
        elif self._own_call() is None and self.line.session is None:
            self._begin()

    def laid_down(self) -> None:
        """Nothing more of the room is sent, and what was begun there is over."""
        self.line.shut(HOOK, True)
        self.line.release()
        self.line.doze()
        self._key = Key.UP
        try:
            if self._calls is not None and (call := self._own_call()) is not None:
                self._calls.hang_up(call)
        finally:
            if self.line.session is not None:
                self.line.session.end(LAID_DOWN)

    def let_go(self) -> None:
        """The talk key is up, whatever a finger does: nobody sees it any more."""
        if self._key is not Key.UP:
            self.line.release()
            self._key = Key.UP

    def turn(self, percent: int) -> None:
        """Louder by so much; a negative number is quieter."""
        self.line.set_volume(self.line.volume + percent)

    def _press(self) -> None:
        if not self.line.deaf:
            self.line.press()
            return
        # Whoever presses wants at least silence.
        if self.line.session is not None:
            self.line.session.interrupt("push-to-talk")
        hooked = HOOK in self.line.capture.shut_by
        hint = "lift the receiver" if hooked else "switch the microphone on"
        raise NotPossible("the microphone is off", hint=hint)

    def _own_call(self) -> str | None:
        return self._call(lambda call: call["place"] == ROOM)

    def _call(self, fits: Callable[[Mapping[str, Any]], bool]) -> str | None:
        calls = self._calls.status() if self._calls is not None else []
        return next((str(call["call"]) for call in calls if fits(call)), None)

    def _notice(self, event: Event) -> None:
        """A turn that ended by itself lets a latched key go."""
        if self._key is Key.LATCHED and event.line == self.line.id:
            over = isinstance(event, TurnChanged) and event.state != "listening"
            if over or (isinstance(event, SessionStateChanged) and event.to == "closed"):
                self._key = Key.UP
