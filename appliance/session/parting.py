"""Ends a session politely: what is under way is finished, a goodbye is heard, and then it is over."""

from collections.abc import Callable
from typing import Final

from appliance.errors import NotPossible
from appliance.session.dialogue import Dialogue
from appliance.session.phrases import Phrase

FINISH_SECONDS: Final = 20.0
"""How long the turn and the answer under way may still take."""


class Parting:
    """`begin` once, then `look` every now and then until `end(reason)` is called."""

    def __init__(self, dialogue: Dialogue, end: Callable[[str], None]) -> None:
        self.begun = False
        self.said = False
        """The goodbye has begun: nobody is listened to any more."""
        self._dialogue = dialogue
        self._end = end
        self._phrase = Phrase.LIMIT_REACHED
        self._reason = ""
        self._latest = 0.0

    def begin(self, which: Phrase, reason: str, now: float) -> None:
        """Say `which` and end for `reason`, once the floor is free."""
        if not self.begun:
            self.begun = True
            self._phrase, self._reason, self._latest = which, reason, now + FINISH_SECONDS

    def look(self, now: float, *, busy: bool) -> None:
        """`busy`: somebody talks, or an answer comes."""
        if not self.begun or self.said or (busy and now < self._latest):
            return
        self.said = True
        self._dialogue.hearing.deafen()
        self._dialogue.interrupt(self._reason)
        self._dialogue.appliance_says(self._phrase, interruptible=False)
        try:
            self._dialogue.when_quiet(lambda: self._end(self._reason))
        except NotPossible:
            self._end(self._reason)
