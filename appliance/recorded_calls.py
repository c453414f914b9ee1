"""Which calls are recorded: from when on, and only once the person was told where that is to be announced."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.call.call import ROOM, Call
from appliance.config.schema import Recording
from appliance.errors import NotPossible
from appliance.events import Event, EventBus, Transcript, Warned
from appliance.recordings import Recordings
from appliance.session.phrases import Phrase, phrase
from appliance.session.session import Session
from appliance.tap import Tap

_ANNOUNCE_HINT: Final = "hand it to the agent first; recording.announce = false records without a word"
_NOT_RECORDED: Final = "the call is not recorded: nothing can say that it would be"


@dataclass(frozen=True, slots=True)
class _Unannounced:
    """`words` are being said, or wait to be."""

    call: str
    words: str


class RecordedCalls:
    """Belongs to the loop's thread. `taps` are the answered calls', by call."""

    def __init__(
        self, settings: Recording, directory: Path, bus: EventBus, taps: Mapping[str, Tap], *, can_speak: bool
    ) -> None:
        self._settings = settings
        self._recordings = Recordings(settings, directory, bus)
        self._bus = bus
        self._taps = taps
        self._can_speak = can_speak
        self._unannounced: dict[str, _Unannounced] = {}
        """By session: calls that are recorded once it was said that they are."""
        bus.listen(self._heard)

    def served(self, call: str, session: Session) -> None:
        """An agent has taken that call."""
        if self._settings.enabled:
            self._record_from_now_on(call, session)

    def record(self, call: str, on: bool) -> None:
        """Begin or end the recording of an answered call; the bus tells where it is. Raise NotPossible."""
        tap = self._taps.get(call)
        if tap is None:
            raise NotPossible(f"call {call} has no audio")
        if on and tap.call.locked:
            raise NotPossible("The caller is being asked for a PIN: that is not recorded.")
        if on and tap.recorder is None:
            self._start(call, tap)
        if not on:
            tap.recorder = None
            self._recordings.end(call)
        self._forget(call)

    def record_on_request(self, call: str, on: bool) -> None:
        """Somebody asked for it. It begins once the person has heard so, where that is announced."""
        tap = self._taps.get(call)
        if not on or tap is None or tap.call.locked or not self._settings.announce:
            self.record(call, on)
            return
        session = tap.line.session
        if session is None or tap.call.place == ROOM:
            raise NotPossible("nothing can say now that the call is recorded", hint=_ANNOUNCE_HINT)
        if tap.recorder is None and session.id not in self._unannounced:
            self._record_from_now_on(call, session)

    def pause(self, call: str, paused: bool) -> None:
        """While it is, nothing that is said or keyed in on this call is kept: silence stands for it."""
        if paused:
            self._recordings.pause(call)
        else:
            self._recordings.resume(call)

    def ended(self, call: str, tap: Tap) -> None:
        """That call is over; `taps` may not have it any more."""
        tap.recorder = None
        self._recordings.forget(call)
        self._forget(call)

    def notice(self, call: Call) -> str:
        """Whoever takes a recorded call is told so first. Where nothing can say it, the recording ends."""
        if self._taps[call.id].recorder is None or not self._settings.announce:
            return ""
        if not self._can_speak:
            self.record(call.id, False)
        return phrase(Phrase.RECORDED, "en")

    async def sweep(self) -> None:
        """Keep the recordings tidy until cancelled."""
        await self._recordings.sweep()

    def _record_from_now_on(self, call: str, session: Session) -> None:
        """At once, or once the person has heard that it is done; never where that cannot be said."""
        if not self._settings.announce:
            self.record(call, True)
            return
        try:
            self._unannounced[session.id] = _Unannounced(call, session.announce(Phrase.RECORDED))
        except NotPossible as error:
            self._bus.publish(
                Warned(line=session.line.id, code="not_recorded", message=_NOT_RECORDED, hint=error.hint)
            )

    def _heard(self, event: Event) -> None:
        """Where the person has heard that the call is recorded, it is, from then on."""
        if not isinstance(event, Transcript) or not event.final or event.session not in self._unannounced:
            return
        waiting = self._unannounced[event.session]
        if event.role != "assistant" or (event.heard or "").strip() != waiting.words:
            return
        del self._unannounced[event.session]
        if waiting.call in self._taps:
            self.record(waiting.call, True)

    def _start(self, call: str, tap: Tap) -> None:
        def lost() -> None:
            tap.recorder = None

        tap.recorder = self._recordings.begin(call, tap.line.id, tap.rate, lost)

    def _forget(self, call: str) -> None:
        """It need not be announced any more."""
        self._unannounced = {
            session: waiting for session, waiting in self._unannounced.items() if waiting.call != call
        }
