"""The messages of `/v2/listen`: the service's own turns, and what of them is whose. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from appliance.errors import ProviderUnavailable
from appliance.providers.stt.deepgram_turns import (
    FINAL_SECONDS,
    GRACE_SECONDS,
    REST_SECONDS,
    Control,
    Dialogue,
    Spoken,
    number,
    text,
)
from appliance.stages import EagerEnd, TurnResumed

FILL_SECONDS: Final = 2.0
"""How long the service may take to find the end of a turn that the device hears no more of."""
_EXACT: Final = 0.02


class FluxDialogue(Dialogue):
    """A turn of the service belongs to the turn in whose seconds it begins. `ForceEndTurn` draws the borders."""

    control = Control.FORCE_END_TURN

    def __init__(self, *, server_turns: bool) -> None:
        super().__init__(server_turns=server_turns)
        self.connected = False
        self._heard_until = 0.0
        self._index = -1
        self._owner: Spoken | None = None
        """Whose the service's present turn is, once it has begun."""
        self._speaking = False
        """The service is in a turn."""

    def hear(self, turn: int, seconds: float) -> None:
        super().hear(turn, seconds)
        self.filling = False

    def discard(self, turn: int) -> None:
        spoken = self._find(turn)
        if self.filling and spoken is self._pending[-1]:
            self._stop_filling()
        super().discard(turn)

    def _needs_border(self, spoken: Spoken) -> bool:
        return self.filling or super()._needs_border(spoken)

    def _finish(self, spoken: Spoken, now: float) -> None:
        idle = not self._speaking and self._heard_until >= spoken.end - REST_SECONDS
        if not self.server_turns:
            self._ask(spoken, now, GRACE_SECONDS if idle else FINAL_SECONDS)
        elif idle:
            spoken.due = now + GRACE_SECONDS
        else:
            self.filling = True
            spoken.due = now + FILL_SECONDS

    def _overdue(self, spoken: Spoken, now: float) -> None:
        if self.filling and spoken is self._pending[-1]:
            self._stop_filling()
            spoken.due = now + FINAL_SECONDS
        else:
            super()._overdue(spoken, now)

    def _stop_filling(self) -> None:
        """The service found no end: give it one."""
        self.filling = False
        self.outbox.append(self.control)

    def _read(self, message: Mapping[str, Any], now: float) -> None:
        match message["type"]:
            case "TurnInfo":
                self._turn_info(message, now)
            case "Connected":
                self.connected = True
            case "Error":
                # It closes the connection after this; the description may hold anything.
                self.fault = ProviderUnavailable(f"deepgram_flux gave up ({_code(message)})")
            case "Warning" | "ConfigureSuccess" | "ConfigureFailure":
                self.counts["warnings"] += 1
            case _:
                self.counts["unknown"] += 1

    def _turn_info(self, message: Mapping[str, Any], now: float) -> None:
        event, index = text(message, "event"), int(number(message, "turn_index"))
        until, said = self._time(message, "audio_window_end"), text(message, "transcript")
        if index < self._index:
            self.counts["late"] += 1
            return
        if index > self._index:
            self._index, self._owner, self._speaking = index, None, False
        self._heard_until = max(self._heard_until, until)
        if not self._speaking and (said or event == "StartOfTurn") and event != "EndOfTurn":
            self._speaking = True
        if self._owner is None and (said or self._speaking):
            self._owner = self._at(until)
        if self._owner is not None:
            self._turn_event(self._owner, message, now)
        elif said:
            self.counts["late"] += 1
        if event == "EndOfTurn":
            self._speaking = False
        self._look_ahead(now)

    def _turn_event(self, spoken: Spoken, message: Mapping[str, Any], now: float) -> None:
        event, said = text(message, "event"), text(message, "transcript")
        if spoken not in self._pending:
            self.counts["late"] += 1
            return
        if not self.filling:
            self._wait(spoken, now, FINAL_SECONDS)
        if event == "EndOfTurn":
            self._end(spoken, said, message)
            return
        spoken.interim = said
        self._tell()
        if event == "StartOfTurn" and spoken.committed is not None and not self.filling:
            # It was told to end this turn before it knew that it had begun, and has passed that over.
            self.outbox.append(self.control)
        if not self.server_turns or spoken.committed is not None:
            return
        if event == "EagerEndOfTurn":
            self.events.append(EagerEnd(spoken.turn, spoken.text))
        elif event == "TurnResumed":
            self.events.append(TurnResumed(spoken.turn))

    def _end(self, spoken: Spoken, said: str, message: Mapping[str, Any]) -> None:
        until = number(message, "audio_window_end")
        spoken.interim = ""
        if said:
            spoken.pieces.append(said)
        self._owner = None
        if spoken.committed is None:
            if self.server_turns and said:
                self._ended(spoken, until)
        elif message.get("trigger") == "manual" or until >= spoken.said_until - REST_SECONDS:
            self.filling = False
            spoken.settled = True

    def _look_ahead(self, now: float) -> None:
        """A turn that the service has heard to its end, and is in no speech of, needs no more waiting."""
        for spoken in self._pending:
            heard = self._heard_until >= spoken.said_until - REST_SECONDS
            speaking = self._speaking and self._owner is spoken
            if spoken.committed is None or spoken.due is None or not heard or speaking:
                continue
            if self.filling and spoken is self._pending[-1]:
                self.filling = False
            spoken.due = min(spoken.due, now + GRACE_SECONDS)

    def _at(self, until: float) -> Spoken | None:
        """The turn whose sound the service has just heard."""
        return next((one for one in reversed(self._pending) if one.start + _EXACT < until), None)


def _code(message: Mapping[str, Any]) -> str:
    code = message.get("code")
    return code if isinstance(code, str) and code.isascii() and len(code) <= 64 else "without a reason"
