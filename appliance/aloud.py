"""News that the room is owed: told once it sounded there, and said again, a few times, where it did not."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from appliance.bus import EventBus
from appliance.errors import ApplianceError
from appliance.events import Event, Interrupted, Notified, SessionStateChanged, Transcript

TIMES: Final = 3
AGAIN_SECONDS: Final = 60.0
Say = Callable[[str, str], None]
"""Say a sentence with its label; raise NotPossible where nobody would hear it."""
logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Owed:
    text: str
    label: str
    heard: Callable[[], None]
    times: int = 0
    session: str | None = None
    """In which it was to be said, the last time."""
    part: bool = False
    """Its beginning was heard, and it is over."""
    again: asyncio.TimerHandle | None = None


class Aloud:
    """Belongs to the loop's thread. A session that ends without it takes the sentence along: then it is said anew."""

    def __init__(self, bus: EventBus, say: Say) -> None:
        self._say = say
        self._owed: dict[str, _Owed] = {}
        bus.listen(self._notice)

    def tell(self, key: str, text: str, label: str, heard: Callable[[], None]) -> None:
        """Have `text` said, in place of what is still owed under `key`, and `heard` called once it was, or was cut off
        by whoever is there. Raise what `say` does: then it is not owed."""
        self.drop(key)
        owed = self._owed[key] = _Owed(text, label, heard)
        try:
            self._utter(owed)
        except ApplianceError:
            self.drop(key)
            raise

    def drop(self, key: str) -> None:
        """It is no news any more."""
        owed = self._owed.pop(key, None)
        if owed is not None and owed.again is not None:
            owed.again.cancel()

    def _utter(self, owed: _Owed) -> None:
        owed.times += 1
        owed.session, owed.part = None, False
        self._say(owed.text, owed.label)

    def _notice(self, event: Event) -> None:
        match event:
            case Notified(session=session, text=text):
                for owed in self._owed.values():
                    if owed.session is None and owed.text == text:
                        owed.session = session
            case Transcript(role="assistant", final=True, session=session):
                self._sounded(session, _plain(event.heard or ""))
            case Interrupted(session=session):
                # Told after the transcript of what was cut off: whoever is there need not hear the rest.
                for key, owed in self._in(session):
                    if owed.part:
                        self._was_heard(key, owed)
            case SessionStateChanged(to="closed", session=session):
                for key, owed in self._in(session):
                    if owed.again is None:
                        self._put_off(key, owed)
            case _:
                return

    def _in(self, session: str | None) -> list[tuple[str, _Owed]]:
        return [(key, owed) for key, owed in self._owed.items() if owed.session == session]

    def _sounded(self, session: str | None, heard: str) -> None:
        for key, owed in self._in(session):
            text = _plain(owed.text)
            if heard and text.startswith(heard):
                owed.part = True
                if heard == text:
                    self._was_heard(key, owed)

    def _was_heard(self, key: str, owed: _Owed) -> None:
        self.drop(key)
        owed.heard()

    def _put_off(self, key: str, owed: _Owed) -> None:
        if owed.times < TIMES:
            owed.again = asyncio.get_running_loop().call_later(AGAIN_SECONDS, self._utter_again, key)
        else:
            logger.warning("%s could not be heard in the room, %d times", owed.label or key, owed.times)
            self.drop(key)

    def _utter_again(self, key: str) -> None:
        owed = self._owed[key]
        owed.again = None
        try:
            self._utter(owed)
        except ApplianceError as error:
            logger.info("%s is told to nobody: %s", owed.label or key, error.message)
            self.drop(key)


def _plain(text: str) -> str:
    return " ".join(text.split())
