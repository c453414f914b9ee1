"""GPT-Live's messages: a session's commands to client events, server events to a session's. Pure: no clock, no socket.

The service has no turns, no responses and no truncation: sound goes both ways all the time. What a session calls a
response is made here, a Segment: sound after a pause begins one, and a pause ends it. Source: `openai.types.live`.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from appliance import openai_faults
from appliance.errors import ProviderUnavailable
from appliance.interfaces import (
    CalledTool,
    Delivery,
    HistoryItem,
    ProviderEvent,
    ProviderTrouble,
    ProviderUsage,
    ResponseAudio,
    ResponseFinished,
    ResponseStarted,
    ResponseText,
    ToolCall,
    ToolResult,
    TurnEnded,
    UserHeard,
)
from appliance.providers.realtime.gpt_live.setup import RATE, Message

NOTE_CHARACTERS: Final = 1_500
"""Of commentary and thinking: the service takes 500 tokens."""
PAUSE_MS: Final = 600.0
"""So long without sound ends a response."""
CANCELLED_PAUSE_MS: Final = 250.0
"""So long without sound, and what comes next is not the answer any more that was cancelled."""
SILENT_ANSWER_SECONDS: Final = 6.0
"""The model may have nothing to say: so long after a turn, that is taken for its answer."""
LONGEST_SECONDS: Final = 1e6
"""Of a session's usage: what is more is none."""
_WORD: Final = re.compile(r"[a-z_]{1,64}")
"""A reason that is a name, and no text that may hold what was said."""
_AUDIBLE: Final = 64
"""Peak below which samples count as silence."""
_BYTES_PER_MS: Final = RATE * 2 / 1000


def audio_message(pcm: bytes) -> str:
    """20 ms of sound at RATE, as the JSON text of `session.input_audio.append`."""
    return f'{{"type":"session.input_audio.append","audio":"{base64.b64encode(pcm).decode()}"}}'


def commentary(text: str) -> Message:
    """What the model is to react to aloud."""
    return {"type": "session.commentary.append", "content": text[:NOTE_CHARACTERS], "delegation_id": None}


def thinking(text: str, delegation: str | None = None) -> Message:
    """What the model is to know."""
    return {"type": "session.thinking.append", "content": text[:NOTE_CHARACTERS], "delegation_id": delegation}


@dataclass(slots=True)
class Segment:
    """What a session takes for a response; `turn` is the newest that the person had begun."""

    response: str
    turn: int
    audio_ms: float = 0.0
    still_ms: float = 0.0
    cancelled: bool = False


class LiveProtocol:
    """One connection's state. Times are monotonic seconds, told by the caller."""

    def __init__(self, history: Sequence[HistoryItem | CalledTool] = ()) -> None:
        self.turn = 0
        """The newest turn that the person has begun."""
        self.counters: dict[str, int] = {}
        self._number = 0
        self._segment: Segment | None = None
        self._last_sound_at = 0.0
        self._heard: dict[int, str] = {}
        self._seconds = 0.0
        self._awaited: tuple[int, float] | None = None
        self._ended = 0
        """The newest turn that is over, for the person or for the model, which has begun to answer."""
        self._early = ""
        """Text of a response whose sound has not begun."""
        self._open_calls: dict[str, str] = {}
        self._batches: dict[str, set[str]] = {}
        self._complete: set[str] = set()
        self._old = {
            item.call_id: item for item in history if isinstance(item, CalledTool) and item.outcome is None
        }

    @property
    def speaking(self) -> bool:
        """A response is open: `tick` is due."""
        return self._segment is not None

    # --- from the session ---

    def begin_turn(self, turn: int) -> list[ProviderEvent]:
        """The first sound of `turn`: what was understood of the turn before is final."""
        if turn == self.turn:
            return []
        settled = self._settle_heard()
        self.turn = turn
        return settled

    def end_turn(self, turn: int, now: float) -> list[ProviderEvent]:
        """The person has finished `turn`."""
        if turn != self.turn:
            return self._silent(turn)
        if turn != self._ended:
            # Else the model has begun its answer already: it found the end before we did.
            self._ended = turn
            self._awaited = (turn, now)
        return []

    def typed(self, turn: int, text: str, now: float) -> list[ProviderEvent]:
        """The person typed `text`: it is understood as it stands, and nothing is the answer to nothing."""
        events = self.begin_turn(turn)
        if not text.strip():
            return [*events, *self._silent(turn)]
        self._make_room()
        return [*events, *self.end_turn(turn, now), UserHeard(turn, text, final=True)]

    def drop_turn(self) -> None:
        """What was begun was no turn: should the model speak of it all the same, nobody asked it to."""
        self._awaited = None
        self._heard.pop(self.turn, None)
        self.turn = self._ended = 0

    def cancel(self, response: str) -> list[ProviderEvent]:
        """Drop the rest of `response`. The service is not told: it hears the person, and stops by itself."""
        segment = self._segment
        if segment is None or segment.response != response or segment.cancelled:
            return []
        segment.cancelled = True
        return [ResponseFinished(segment.response, segment.turn, "cancelled")]

    def _make_room(self) -> None:
        """The model is given something to speak of: what sounds from now on is not the answer that was cancelled."""
        if self._segment is not None and self._segment.cancelled:
            self._segment = None

    def result(self, result: ToolResult) -> list[Message]:
        """What to send for a tool's result; nothing for a call that has had its one."""
        output = json.dumps({"error": result.error} if result.error else dict(result.result), default=str)
        if result.call_id in self._old:
            call = self._old.pop(result.call_id)
            self.turn = self.turn or call.turn
            self._make_room()
            return [commentary(f"The result of {call.tool}, which you asked for: {output}")]
        batch = self._open_calls.pop(result.call_id, None)
        if batch is None:
            return []
        item = {"type": "function_call_output", "call_id": result.call_id, "output": output}
        messages: list[Message] = [{"type": "response.item.create", "item": item}]
        self._batches[batch].discard(result.call_id)
        if result.delivery is not Delivery.SILENT:
            messages += self._continue(batch)
        return messages

    # --- from the service ---

    def take(self, event: Message, now: float) -> tuple[list[ProviderEvent], list[Message]]:
        """The session's events, and messages to send at once. Raise the ApplianceError that ends the connection."""
        match event.get("type"):
            case "session.output_audio.delta":
                return self._audio(event, now), []
            case "session.output_transcript.delta":
                return self._said(event), []
            case "session.input_transcript.delta":
                return self._understood(event), []
            case "response.event":
                return self._backend_event(event)
            case "session.usage.updated":
                return self._usage(event), []
            case "session.delegation.created":
                return [], self._delegated(event)
            case "session.closed":
                told = event.get("reason")
                named = isinstance(told, str) and _WORD.fullmatch(told)
                raise ProviderUnavailable(f"the service ended the session{f': {told}' if named else ''}")
            case "error":
                return [self._fault(event)], []
            case str() as kind if kind.startswith(("session.", "info", "response.", "transport.")):
                self._count("ignored_events" if kind in _QUIET else "unknown_events")
                return [], []
            case _:
                self._count("unknown_events")
                return [ProviderTrouble("unknown_event", "the service sent an event of an unknown kind")], []

    def tick(self, now: float) -> list[ProviderEvent]:
        """Called now and then: ends a response that nothing follows, and a wait for one that does not come."""
        segment = self._segment
        if segment is None:
            return self._unanswered(now)
        if (now - self._last_sound_at) * 1000 < self._pause(segment):
            return []
        return self._end(segment)

    def end(self) -> list[ProviderEvent]:
        """The connection is over."""
        return self._end(self._segment) if self._segment is not None else []

    # --- inside ---

    def _audio(self, event: Message, now: float) -> list[ProviderEvent]:
        pcm = _samples(event.get("delta"))
        if pcm is None:
            self._count("bad_audio")
            return [ProviderTrouble("bad_audio", "the service sent audio that is none")]
        length_ms = len(pcm) / _BYTES_PER_MS
        audible = int(np.abs(np.frombuffer(pcm, "<i2").astype(np.int32)).max(initial=0)) >= _AUDIBLE
        events: list[ProviderEvent] = []
        segment = self._segment
        if segment is not None and self._over(segment, length_ms, audible, now):
            events += self._end(segment)
            segment = None
        if segment is None:
            if not audible:
                return events
            if self._ended != self.turn:
                self._ended = self.turn
                events.append(TurnEnded(self.turn))
            self._awaited = None
            segment = self._segment = Segment(self._name(), self.turn)
            events.append(ResponseStarted(segment.response, segment.turn))
            early, self._early = self._early, ""
            if early:
                events.append(ResponseText(segment.response, early, 0.0))
        if audible:
            segment.still_ms = 0.0
            self._last_sound_at = now
        else:
            segment.still_ms += length_ms
        if not segment.cancelled:
            segment.audio_ms += length_ms
            events.append(ResponseAudio(segment.response, pcm, RATE))
        return events

    def _unanswered(self, now: float) -> list[ProviderEvent]:
        if self._awaited is None or self._open_calls or now - self._awaited[1] < SILENT_ANSWER_SECONDS:
            return []
        turn, self._awaited = self._awaited[0], None
        return self._silent(turn)

    def _silent(self, turn: int) -> list[ProviderEvent]:
        """There is no answer to `turn`; where nothing was understood of it, that is told too."""
        response = self._name()
        heard = self._settle_heard() or [UserHeard(turn, "", final=True)]
        return [*heard, ResponseStarted(response, turn), ResponseFinished(response, turn, "silent")]

    def _name(self) -> str:
        self._number += 1
        return f"g{self._number}"

    def _over(self, segment: Segment, length_ms: float, audible: bool, now: float) -> bool:
        pause = self._pause(segment)
        silent_ms = segment.still_ms if audible else segment.still_ms + length_ms
        return silent_ms >= pause or (now - self._last_sound_at) * 1000 - segment.still_ms >= pause

    def _pause(self, segment: Segment) -> float:
        return CANCELLED_PAUSE_MS if segment.cancelled else PAUSE_MS

    def _end(self, segment: Segment) -> list[ProviderEvent]:
        self._segment = None
        settled = self._settle_heard()
        if segment.cancelled:
            return settled
        return [*settled, ResponseFinished(segment.response, segment.turn)]

    def _said(self, event: Message) -> list[ProviderEvent]:
        text, segment = event.get("delta"), self._segment
        if not isinstance(text, str) or not text:
            return []
        if segment is None:
            self._early = (self._early + text)[-NOTE_CHARACTERS:]
        if segment is None or segment.cancelled:
            return []
        return [ResponseText(segment.response, text, segment.audio_ms)]

    def _understood(self, event: Message) -> list[ProviderEvent]:
        text = event.get("delta")
        if not isinstance(text, str) or not text or not self.turn:
            return []
        heard = self._heard[self.turn] = self._heard.get(self.turn, "") + text
        return [UserHeard(self.turn, heard.strip(), final=False)]

    def _settle_heard(self) -> list[ProviderEvent]:
        heard, self._heard = self._heard, {}
        return [UserHeard(turn, text.strip(), final=True) for turn, text in heard.items()]

    def _backend_event(self, event: Message) -> tuple[list[ProviderEvent], list[Message]]:
        """An event of the Responses model that has the tools."""
        inner = event.get("event")
        batch = str(event.get("delegation_id") or "")
        if not isinstance(inner, Mapping):
            self._count("unknown_events")
            return [], []
        item = inner.get("item")
        if inner.get("type") == "response.output_item.done" and isinstance(item, Mapping):
            return self._call(item, batch), []
        if inner.get("type") in ("response.completed", "response.incomplete", "response.failed"):
            self._complete.add(batch)
            return [], self._continue(batch) if batch in self._batches else []
        return [], []

    def _call(self, item: Message, batch: str) -> list[ProviderEvent]:
        call_id, tool = item.get("call_id"), item.get("name")
        if item.get("type") != "function_call" or not isinstance(call_id, str) or not isinstance(tool, str):
            return []
        if call_id in self._open_calls:
            return []
        self._open_calls[call_id] = batch
        self._batches.setdefault(batch, set()).add(call_id)
        self._complete.discard(batch)
        return [ToolCall(call_id, tool, str(item.get("arguments") or ""), self.turn)]

    def _continue(self, batch: str) -> list[Message]:
        """The backend goes on once its response is over and each of its calls has a result."""
        if self._batches.get(batch) or batch not in self._complete:
            return []
        self._batches.pop(batch, None)
        self._complete.discard(batch)
        return [{"type": "response.create"}]

    def _delegated(self, event: Message) -> list[Message]:
        delegation = event.get("delegation")
        if not isinstance(delegation, Mapping) or delegation.get("target") != "client":
            return []
        return [thinking("There is nobody to ask: answer from what you know.", str(delegation.get("id")))]

    def _usage(self, event: Message) -> list[ProviderEvent]:
        """The service tells sums, a session wants what was added."""
        usage = event.get("usage")
        seconds = usage.get("seconds") if isinstance(usage, Mapping) else None
        if not isinstance(seconds, int | float) or isinstance(seconds, bool):
            return []
        # Written so that a number that is none counts as none, too.
        if not self._seconds < seconds <= LONGEST_SECONDS:
            return []
        added, self._seconds = seconds - self._seconds, float(seconds)
        return [ProviderUsage(added, 0.0, "seconds")]

    def _fault(self, event: Message) -> ProviderEvent:
        error = openai_faults.error_of(event)
        fault = openai_faults.of_answer(error)
        if fault is not None:
            raise fault
        self._count("errors")
        return ProviderTrouble("provider_error", f"the service reports {openai_faults.code_of(error)}")

    def _count(self, what: str) -> None:
        self.counters[what] = self.counters.get(what, 0) + 1


_QUIET: Final = frozenset(
    {"session.updated", "session.commentary.appended", "session.thinking.appended", "info"}
)


def _samples(delta: object) -> bytes | None:
    if not isinstance(delta, str):
        return None
    try:
        pcm = base64.b64decode(delta, validate=True)
    except (binascii.Error, ValueError):
        return None
    return pcm if pcm and len(pcm) % 2 == 0 else None
