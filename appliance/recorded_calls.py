"""Which calls are recorded: from when on, and only once the person was told where that is to be announced."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.bus import EventBus
from appliance.call.call import ROOM, Call
from appliance.call.machine import CallState
from appliance.config.schema import Recording
from appliance.errors import NotPossible
from appliance.events import Event, Transcript, Warned
from appliance.interfaces import Voice
from appliance.recording_notice import tell_both
from appliance.recordings import Recordings
from appliance.session.bridge import Bridge
from appliance.session.phrases import Phrase, phrase
from appliance.session.session import Session
from appliance.tap import Tap

_ANNOUNCE_HINT: Final = "recording.announce = false records without a word"
_NOT_RECORDED: Final = "the call is not recorded: nothing can say that it would be"
_UNHEARD: Final = "the call is not recorded: it could not be said to both that it would be"
_UNHEARD_HINT: Final = "the log says why; recording.announce = false records without a word"


@dataclass(frozen=True, slots=True)
class _Unannounced:
    """`words` are being said, or wait to be."""

    call: str
    words: str


class RecordedCalls:
    """Belongs to the loop's thread. `taps` are the answered calls', by call.

    `voice` tells of a recording where no agent is there to do it, in the language that `language` says.
    """

    def __init__(
        self,
        settings: Recording,
        directory: Path,
        bus: EventBus,
        taps: Mapping[str, Tap],
        voice: Voice | None,
        language: Callable[[Call], str],
    ) -> None:
        self._settings = settings
        self._recordings = Recordings(settings, directory, bus)
        self._bus = bus
        self._taps = taps
        self._voice = voice
        self._language = language
        self._declined: set[str] = set()
        """Calls of which somebody said that they are not to be recorded."""
        self._joined: dict[str, Bridge] = {}
        """Calls that the person in the room has."""
        self._telling: dict[str, asyncio.Task[None]] = {}
        """Of those, the ones that are recorded once both have heard so."""
        self._unannounced: dict[str, _Unannounced] = {}
        """By session: calls that are recorded once it was said that they are."""
        bus.listen(self._heard)

    def served(self, call: str, session: Session) -> None:
        """An agent has taken that call, from its caller or from the room."""
        wanted = self._left_room(call) or self._wanted(call)
        if wanted and self._taps[call].recorder is None and session.id not in self._unannounced:
            self._record_from_now_on(call, session)

    def joined(self, call: Call, bridge: Bridge) -> None:
        """The person in the room has taken that call, and talks over `bridge`."""
        self._joined[call.id] = bridge
        waits = any(waiting.call == call.id for waiting in self._unannounced.values())
        if (waits or self._wanted(call.id)) and self._taps[call.id].recorder is None:
            self._record_in_room(call)

    def record(self, call: str, on: bool) -> None:
        """Begin or end the recording of an answered call; the bus tells where it is. Raise NotPossible."""
        tap = self._taps.get(call)
        if tap is None:
            raise NotPossible(f"call {call} has no audio", hint="answer it first")
        if on and tap.call.locked:
            raise NotPossible(
                "The caller is being asked for a PIN: that is not recorded.",
                hint="wait until they are let in",
            )
        if on and tap.recorder is None:
            self._start(call, tap)
        if on:
            self._declined.discard(call)
        else:
            self._declined.add(call)
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
        if tap.call.place == ROOM:
            self._record_in_room(tap.call)
            return
        if session is None:
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
        self._joined.pop(call, None)
        self._declined.discard(call)

    def notice(self, call: Call) -> str:
        """Whoever takes a recorded call is told so first. Where nothing can say it, the recording ends."""
        if self._taps[call.id].recorder is None or not self._settings.announce:
            return ""
        if self._voice is None:
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

    def _wanted(self, call: str) -> bool:
        return self._settings.enabled and call not in self._declined

    def _record_in_room(self, call: Call) -> None:
        """At once, or once both have heard that it is done."""
        if not self._settings.announce:
            self.record(call.id, True)
        elif self._voice is None:
            self._bus.publish(
                Warned(line=call.line, code="not_recorded", message=_NOT_RECORDED, hint=_ANNOUNCE_HINT)
            )
        elif call.id not in self._telling and self._taps[call.id].recorder is None:
            told = self._tell_and_record(call, self._joined[call.id], self._voice)
            self._telling[call.id] = asyncio.get_running_loop().create_task(told, name=f"notice {call.id}")

    async def _tell_and_record(self, call: Call, bridge: Bridge, voice: Voice) -> None:
        words = phrase(Phrase.RECORDED, self._language(call))
        told = await tell_both(bridge, voice, words, lambda: call.state is not CallState.CONNECTED)
        self._telling.pop(call.id, None)
        if told and call.id in self._taps:
            self.record(call.id, True)
        elif bridge.stands():
            self._bus.publish(
                Warned(line=call.line, code="not_recorded", message=_UNHEARD, hint=_UNHEARD_HINT)
            )

    def _left_room(self, call: str) -> bool:
        """Whether it was still to be said there that the call is recorded."""
        self._joined.pop(call, None)
        telling = self._telling.pop(call, None)
        if telling is not None:
            telling.cancel()
        return telling is not None

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
        telling = self._telling.pop(call, None)
        if telling is not None:
            telling.cancel()
        self._unannounced = {
            session: waiting for session, waiting in self._unannounced.items() if waiting.call != call
        }
