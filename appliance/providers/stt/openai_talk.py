"""OpenAI's transcription sessions: what is sent, what comes, and which turn it is of. Pure.

The service names each piece of audio (`item_id`) when it is committed, or with the first words that it understands of
it before that. Transcripts of different items may come in any order. Where the service ends turns, a person who only
paused goes on in the next item: a turn is all of its items, also those before and after our own commit.
"""

import base64
import json
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from appliance import openai_faults
from appliance.audio.resample import Resampler
from appliance.errors import ApplianceError, ProviderUnavailable
from appliance.providers.stt.live import Post
from appliance.providers.stt.message import decoded
from appliance.providers.stt.openai_session import RATE, SETUP_EVENT
from appliance.stages import Ended, Spent, Transcript

HEARD_RATE: Final = 16_000
SHORTEST_MS: Final = 100.0
"""A shorter commit is an error to the service."""
TEXT_BOUND: Final = 20_000
_REMEMBERED: Final = 64
_LONGEST: Final = 24 * 3_600.0
_OF_NO_CONCERN: Final = frozenset(
    {
        "conversation.created",
        "conversation.item.added",
        "conversation.item.created",
        "conversation.item.done",
        "conversation.item.input_audio_transcription.segment",
        "rate_limits.updated",
        "session.created",
        "session.updated",
    }
)


@dataclass(slots=True)
class _Turn:
    """`texts`: what its items read so far. `over`: nothing is told of it any more."""

    texts: dict[str, str] = field(default_factory=dict)
    unread: set[str] = field(default_factory=set)
    """Its items whose whole transcript is owed."""
    uncharged_ms: float = 0.0
    closed: bool = False
    """The person has finished it: nothing more of it is sent."""
    ended: bool = False
    """The service took it for finished, and that is not told yet."""
    over: bool = False

    def text(self) -> str:
        return " ".join(filter(None, (text.strip() for text in self.texts.values())))[:TEXT_BOUND]


class OpenAiTalk:
    """Implements live.Talk."""

    def __init__(self, *, server_turns: bool) -> None:
        self.post = Post()
        self.expires_at = 0.0
        """Unix seconds; 0 where the service does not say it."""
        self.refusal: ApplianceError | None = None
        """Why the session cannot be had."""
        self.seen = ""
        """The type of the last event."""
        self._server_turns = server_turns
        self._resampler = Resampler(HEARD_RATE, RATE)
        self._open: int | None = None
        self._buffered_ms = 0.0
        self._speech: bool | None = None
        """The service hears the person speak in what is not committed; None: it says nothing about that."""
        self._stopped: deque[str] = deque(maxlen=_REMEMBERED)
        """Items that end where the service heard the person stop: no commit of ours."""
        self._turns: OrderedDict[int, _Turn] = OrderedDict()
        self._commits: deque[int] = deque()
        """Turns that were committed, and that the service has not confirmed."""
        self._cleared: deque[int] = deque()
        """Turns whose audio was thrown away, likewise."""
        self._turn_of: OrderedDict[str, int | None] = OrderedDict()
        self._handlers: Mapping[str, Callable[[Mapping[str, Any]], None]] = {
            "conversation.item.input_audio_transcription.completed": self._completed,
            "conversation.item.input_audio_transcription.delta": self._delta,
            "conversation.item.input_audio_transcription.failed": self._failed,
            "error": self._error,
            "input_audio_buffer.cleared": lambda _: self._was_cleared(),
            "input_audio_buffer.committed": self._committed,
            "input_audio_buffer.speech_started": lambda _: self._spoke(),
            "input_audio_buffer.speech_stopped": self._fell_silent,
        }

    # --- the person ---

    def hear(self, turn: int, pcm: bytes) -> None:
        if self._open is not None and self._open != turn:
            self.discard(self._open)
        state = self._state(turn)
        if state.over or state.closed:
            self.post.counts["late_audio"] += 1
            return
        if len(pcm) % 2:
            self.post.counts["odd_audio"] += 1
            pcm = pcm[:-1]
        self._open = turn
        milliseconds = len(pcm) / 2 / HEARD_RATE * 1000
        self._buffered_ms += milliseconds
        state.uncharged_ms += milliseconds
        self._append(self._resampler.process(pcm))

    def commit(self, turn: int) -> None:
        state = self._state(turn)
        if state.over or state.closed:
            return
        state.closed = True
        only_silence = bool(state.texts) and self._speech is False
        if self._open == turn and self._buffered_ms >= SHORTEST_MS and not only_silence:
            self._append(self._resampler.flush())
            self._open, self._buffered_ms = None, 0.0
            self._commits.append(turn)
            self.post.awaited.add(turn)
            self._send("input_audio_buffer.commit", event_id=f"commit_{turn}")
            return
        if self._open == turn:
            self._clear(turn)
        self._settle(turn)

    def discard(self, turn: int) -> None:
        state = self._state(turn)
        state.over = True
        self.post.awaited.discard(turn)
        if self._open == turn:
            self._clear(turn)

    def quiet(self) -> bool:
        return self._open is None and not self.post.awaited

    # --- the service ---

    def read(self, raw: str | bytes) -> None:
        event = decoded(raw)
        kind = event.get("type") if event else None
        if event is None or not isinstance(kind, str):
            self.post.counts["malformed"] += 1
            return
        handler = self._handlers.get(kind)
        if handler is not None:
            handler(event)
        elif kind in {"session.created", "session.updated"}:
            self._session(event)
        elif kind not in _OF_NO_CONCERN:
            self.post.counts["unknown_events"] += 1
        self.seen = kind

    def expire(self, turn: int) -> None:
        self.post.counts["overdue"] += 1
        state = self._state(turn)
        if state.text():
            state.unread.clear()
            self._finish(turn)
        else:
            # Where nobody said anything, the service says so: it has lost the turn, which is sent again.
            self.post.fault = ProviderUnavailable("openai: no transcript came in time")

    def keep_alive(self) -> None:
        """Not needed: the socket's own pings are enough."""

    # --- inside ---

    def _state(self, turn: int) -> _Turn:
        state = self._turns.setdefault(turn, _Turn())
        self._turns.move_to_end(turn)
        while len(self._turns) > _REMEMBERED:
            self._turns.popitem(last=False)
        return state

    def _send(self, kind: str, **fields: Any) -> None:
        self.post.outgoing.append(json.dumps({"type": kind, **fields}))

    def _append(self, pcm: bytes) -> None:
        if pcm:
            # Without a JSON encoder: it goes out fifty times a second.
            sound = base64.b64encode(pcm).decode("ascii")
            self.post.outgoing.append(f'{{"type":"input_audio_buffer.append","audio":"{sound}"}}')

    def _clear(self, turn: int) -> None:
        self._resampler.flush()
        self._open, self._buffered_ms = None, 0.0
        self._fall_silent()
        self._cleared.append(turn)
        self._send("input_audio_buffer.clear")

    def _was_cleared(self) -> None:
        if self._cleared:
            self._cleared.popleft()

    def _session(self, event: Mapping[str, Any]) -> None:
        session = event.get("session")
        expires = session.get("expires_at") if isinstance(session, dict) else None
        if isinstance(expires, int | float) and not isinstance(expires, bool) and 0 < expires < 1e12:
            self.expires_at = float(expires)

    def _committed(self, event: Mapping[str, Any]) -> None:
        item = event.get("item_id")
        if not isinstance(item, str) or not item:
            self.post.counts["malformed"] += 1
            return
        self._fall_silent()
        if self._commits and item in self._stopped:
            # The service ended it a moment before our commit reached it: what came between is in an item of its own.
            turn = self._commits[0]
        elif self._commits:
            turn = self._commits.popleft()
        elif self._server_turns and self._open is not None:
            turn, self._buffered_ms = self._open, 0.0
            self._state(turn).ended = True
            self.post.awaited.add(turn)
        else:
            self.post.counts["unexpected_items"] += 1
            return
        self._bind(item, turn)
        self._settle(turn)

    def _spoke(self) -> None:
        self._speech = True

    def _fell_silent(self, event: Mapping[str, Any]) -> None:
        item = event.get("item_id")
        if isinstance(item, str):
            self._stopped.append(item)

    def _fall_silent(self) -> None:
        """What was said is committed, or thrown away."""
        self._speech = None if self._speech is None else False

    def _delta(self, event: Mapping[str, Any]) -> None:
        turn, item = self._whose(event)
        piece = event.get("delta")
        if turn is None or not isinstance(piece, str) or not piece:
            return
        state = self._state(turn)
        if len(state.texts[item]) < TEXT_BOUND:
            state.texts[item] += piece
            self.post.tell(Transcript(turn, state.text(), final=False))

    def _completed(self, event: Mapping[str, Any]) -> None:
        turn, item = self._whose(event)
        whole = event.get("transcript")
        if turn is None:
            return
        state = self._state(turn)
        if isinstance(whole, str):
            state.texts[item] = whole[:TEXT_BOUND]
        else:
            self.post.counts["malformed"] += 1
        if item in state.unread:
            state.unread.discard(item)
            seconds = _seconds(event.get("usage"))
            self.post.tell(Spent(state.uncharged_ms / 1000 if seconds is None else seconds))
            state.uncharged_ms = 0.0
            self._settle(turn)

    def _failed(self, event: Mapping[str, Any]) -> None:
        """What the service may manage with the next dial ends the connection: the turn is sent again then."""
        turn, item = self._whose(event)
        error = event.get("error")
        error = error if isinstance(error, dict) else {}
        self.post.counts["failed_transcripts"] += 1
        self.post.fault = openai_faults.of_answer(error)
        if turn is None or self.post.fault is not None:
            return
        if error.get("type") == "server_error":
            self.post.fault = ProviderUnavailable("openai failed to transcribe")
        else:
            self._state(turn).unread.discard(item)
            self._settle(turn)

    def _error(self, event: Mapping[str, Any]) -> None:
        error = event.get("error")
        error = error if isinstance(error, dict) else {}
        cause = error.get("event_id")
        self.post.counts["errors"] += 1
        if cause in (None, SETUP_EVENT):
            self.refusal = openai_faults.of_setup(error)
        if isinstance(cause, str) and cause.startswith("commit_"):
            self._refused_commit(cause.removeprefix("commit_"))
        self.post.fault = openai_faults.of_answer(error)

    def _refused_commit(self, number: str) -> None:
        """There was less in the buffer than the service takes, or it had ended the turn itself a moment before."""
        turn = next((turn for turn in self._commits if str(turn) == number), None)
        if turn is not None:
            self._commits.remove(turn)
            self._settle(turn)

    def _whose(self, event: Mapping[str, Any]) -> tuple[int | None, str]:
        """The turn that an event is of; None where nothing is told of it any more."""
        item = event.get("item_id")
        if not isinstance(item, str) or not item:
            self.post.counts["malformed"] += 1
            return None, ""
        if item not in self._turn_of:
            self._bind(item, self._nameless())
        turn = self._turn_of[item]
        if turn is None or self._state(turn).over:
            self.post.counts["late_transcripts"] += 1
            return None, item
        return turn, item

    def _nameless(self) -> int | None:
        """The oldest turn whose audio has no name yet: that is what a name we have not seen is of."""
        named = set(self._turn_of.values())
        waiting = [*self._cleared, *self._commits, *([] if self._open is None else [self._open])]
        return next((turn for turn in waiting if turn not in named), None)

    def _bind(self, item: str, turn: int | None) -> None:
        self._turn_of[item] = turn
        self._turn_of.move_to_end(item)
        while len(self._turn_of) > _REMEMBERED:
            self._turn_of.popitem(last=False)
        if turn is not None and item not in (state := self._state(turn)).texts:
            state.texts[item] = ""
            state.unread.add(item)

    def _settle(self, turn: int) -> None:
        """Tell that `turn` is finished, where it is, and all of it was read."""
        state = self._state(turn)
        if (state.closed or state.ended) and not state.unread and turn not in self._commits:
            self._finish(turn)

    def _finish(self, turn: int) -> None:
        state = self._state(turn)
        self.post.awaited.discard(turn)
        if state.over:
            return
        ended, state.ended = state.ended, False
        state.over = state.closed
        self.post.tell(Transcript(turn, state.text(), final=True))
        if ended:
            self.post.tell(Ended(turn))


def _seconds(usage: object) -> float | None:
    """What the service says it charged; None where it counts otherwise, or talks nonsense."""
    seconds = usage.get("seconds") if isinstance(usage, dict) and usage.get("type") == "duration" else None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= _LONGEST:
        return None
    return float(seconds)
