"""Scribe in realtime: what is sent, what comes, and which turn it is of. Pure.

The service names nothing: what it says is of the oldest commit that it has not confirmed, else of what is being said.
It knows no way to take sound back, so that a turn that was none is committed too, and its transcript passed over.
"""

import base64
import json
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from appliance.errors import (
    ApplianceError,
    CredentialsRejected,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    SetupRejected,
)
from appliance.providers.stt.live import Post
from appliance.providers.stt.message import decoded
from appliance.stages import Spent, Transcript

RATE: Final = 16_000
SHORTEST_SECONDS: Final = 0.35
"""Less than 0.3 s of sound must not be committed: the service closes the connection."""
KEYTERMS: Final = 50
LONGEST_KEYTERM: Final = 20
TEXT_BOUND: Final = 20_000
STARTED: Final = "session_started"
_SILENCE: Final = bytes(RATE // 10 * 2)
_REMEMBERED: Final = 64
_ENDINGS: Final[Mapping[str, tuple[type[ApplianceError], str]]] = {
    "auth_error": (CredentialsRejected, "elevenlabs refused the key"),
    "queue_overflow": (ProviderUnavailable, "elevenlabs has too much to do"),
    "quota_exceeded": (QuotaExhausted, "elevenlabs: the account has nothing left"),
    "rate_limited": (RateLimited, "elevenlabs asks to come again later"),
    "resource_exhausted": (RateLimited, "elevenlabs asks to come again later"),
    "session_time_limit_exceeded": (
        ProviderUnavailable,
        "elevenlabs: the session has reached its longest time",
    ),
    "transcriber_error": (ProviderUnavailable, "elevenlabs failed to transcribe"),
    "unaccepted_terms": (SetupRejected, "elevenlabs: the account has not accepted the terms of this model"),
}
_REFUSALS: Final = frozenset({"input_error", "invalid_request"})
_OF_NO_CONCERN: Final = frozenset(
    {
        STARTED,
        "committed_transcript_entities",
        # The same once more, also where it was not asked for.
        "committed_transcript_with_timestamps",
        "diarized_transcript",
        "edited_transcript",
        "redacted_transcript",
        "speakers_merged",
    }
)


def query(model: str, language: str, keywords: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The parameters of the dial."""
    yield "model_id", model
    yield "audio_format", f"pcm_{RATE}"
    yield "commit_strategy", "manual"
    if code := language.partition("-")[0].lower():
        yield "language_code", code
    usable = (word.strip() for word in keywords)
    for word in [word for word in usable if 0 < len(word) <= LONGEST_KEYTERM][:KEYTERMS]:
        yield "keyterms", word


@dataclass(slots=True)
class _Turn:
    """`before`: what the service has committed of it by itself. `over`: nothing is told of it any more."""

    before: str = ""
    text: str = ""
    sent: float = 0.0
    over: bool = False

    def whole(self) -> str:
        return " ".join(filter(None, (self.before, self.text)))[:TEXT_BOUND]


class ScribeTalk:
    """Implements live.Talk."""

    def __init__(self) -> None:
        self.post = Post()
        self.seen = ""
        """The type of the last message."""
        self.refusal: ApplianceError | None = None
        """Why the session cannot be had."""
        self._open: int | None = None
        self._turns: OrderedDict[int, _Turn] = OrderedDict()
        self._commits: deque[int] = deque()
        """Turns that were committed, and that the service has not confirmed."""
        self._pending = 0.0
        """Seconds of sound that were not committed."""

    # --- the person ---

    def hear(self, turn: int, pcm: bytes) -> None:
        if self._open is not None and self._open != turn:
            self.discard(self._open)
        state = self._state(turn)
        if state.over or turn in self._commits:
            self.post.counts["late_audio"] += 1
            return
        if len(pcm) % 2:
            self.post.counts["odd_audio"] += 1
            pcm = pcm[:-1]
        if pcm:
            self._open = turn
            self._send(pcm)

    def commit(self, turn: int) -> None:
        if self._state(turn).over or turn in self._commits:
            return
        if self._open != turn:
            self._finish(turn)
            return
        self.post.awaited.add(turn)
        self._commit(turn)

    def discard(self, turn: int) -> None:
        self._state(turn).over = True
        self.post.awaited.discard(turn)
        if self._open == turn:
            self._commit(turn)

    def quiet(self) -> bool:
        return self._open is None and not self._commits

    def keep_alive(self) -> None:
        """Without any sound for ten seconds the service hangs up."""
        self._send(_SILENCE)

    # --- the service ---

    def read(self, raw: str | bytes) -> None:
        message = decoded(raw)
        kind = message.get("message_type") if message else None
        if message is None or not isinstance(kind, str):
            self.post.counts["malformed"] += 1
            return
        if kind in {"partial_transcript", "committed_transcript"}:
            text = message.get("text")
            if isinstance(text, str):
                self._understood(text.strip()[:TEXT_BOUND], committed=kind == "committed_transcript")
            else:
                self.post.counts["malformed"] += 1
        elif kind == "commit_throttled":
            self._throttled()
        elif kind in _ENDINGS:
            error, told = _ENDINGS[kind]
            self.post.fault = self.refusal = error(told)
        elif kind in _REFUSALS:
            self.post.counts["errors"] += 1
            self.refusal = SetupRejected(f"elevenlabs refused the transcription: {kind}")
        elif kind not in _OF_NO_CONCERN:
            self.post.counts["unknown_messages"] += 1
        self.seen = kind

    def expire(self, turn: int) -> None:
        self.post.counts["overdue"] += 1
        if self._state(turn).whole():
            self._finish(turn)
        else:
            # Where nobody said anything, the service says so: it has lost the turn, which is sent again.
            self.post.fault = ProviderUnavailable("elevenlabs: no transcript came in time")

    # --- inside ---

    def _state(self, turn: int) -> _Turn:
        state = self._turns.setdefault(turn, _Turn())
        self._turns.move_to_end(turn)
        while len(self._turns) > _REMEMBERED:
            self._turns.popitem(last=False)
        return state

    def _send(self, pcm: bytes) -> None:
        self._pending += len(pcm) / 2 / RATE
        # Without a JSON encoder: it goes out fifty times a second.
        sound = base64.b64encode(pcm).decode("ascii")
        self.post.outgoing.append(
            f'{{"message_type":"input_audio_chunk","audio_base_64":"{sound}","commit":false,"sample_rate":{RATE}}}'
        )

    def _commit(self, turn: int) -> None:
        while self._pending < SHORTEST_SECONDS:
            self._send(_SILENCE)
        self._state(turn).sent = self._pending
        self._commits.append(turn)
        self._open, self._pending = None, 0.0
        message = {
            "message_type": "input_audio_chunk",
            "audio_base_64": "",
            "commit": True,
            "sample_rate": RATE,
        }
        self.post.outgoing.append(json.dumps(message))

    def _understood(self, text: str, *, committed: bool) -> None:
        turn = self._commits[0] if self._commits else self._open
        if turn is None:
            self.post.counts["unexpected_transcripts"] += bool(text)
            return
        state = self._state(turn)
        state.text = text
        if committed and self._commits:
            self._commits.popleft()
            self.post.tell(Spent(state.sent))
            self._finish(turn)
            return
        if committed:
            # A long turn is committed by the service itself, and goes on.
            state.before, state.text = state.whole(), ""
        if not state.over:
            self.post.tell(Transcript(turn, state.whole(), final=False))

    def _throttled(self) -> None:
        """A commit was not taken; which one, it does not say: the newest is meant."""
        self.post.counts["errors"] += 1
        if self._commits:
            self._finish(self._commits.pop())

    def _finish(self, turn: int) -> None:
        state = self._state(turn)
        self.post.awaited.discard(turn)
        if not state.over:
            state.over = True
            self.post.tell(Transcript(turn, state.whole(), final=True))
