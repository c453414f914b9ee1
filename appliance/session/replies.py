"""What the provider says, put where it belongs: answers to the downlink, calls to the runner, words to the record."""

import logging
from collections import Counter, deque
from collections.abc import Mapping
from typing import Final, Protocol

from appliance.events import Event, UsageReported, Warned
from appliance.interfaces import (
    CancelResponse,
    ProviderEvent,
    ProviderTrouble,
    ProviderUsage,
    ResponseAudio,
    ResponseFinished,
    ResponseStarted,
    ResponseText,
    ToolCall,
    ToolCallWithdrawn,
    TurnEnded,
    UserHeard,
)
from appliance.session.answers import UNASKED
from appliance.session.calls import Calls
from appliance.session.downlink import Utterance
from appliance.session.floor import Floor, FloorOwner, Strands

LIVE_BOUND: Final = 16
"""Responses under way at once; beyond it, the oldest is taken for ended."""
TROUBLES_BOUND: Final = 32
WARNED_EVERY_SECONDS: Final = 5.0
_REMEMBERED: Final = 256
_OF_STAGES: Final = frozenset({"stage_skipped", "stt_lost", "llm_failed", "tts_failed"})
logger = logging.getLogger(__name__)


class RepliesOwner(FloorOwner, Protocol):
    """The session, as its replies see it."""

    @property
    def provider(self) -> str: ...

    def publish(self, event: Event) -> None: ...

    def answer_failed(self) -> None:
        """An answer broke off before it had a sound."""
        ...

    def end_turn(self, turn: int) -> bool:
        """The provider takes `turn` for finished; False where it is not the one that is open by voice."""
        ...


class Replies:
    """`take` is given the events of the present connection only."""

    def __init__(self, strands: Strands, floor: Floor, calls: Calls, owner: RepliesOwner) -> None:
        self._s = strands
        self._floor = floor
        self._calls = calls
        self._owner = owner
        self._counts = {"unknown_provider_events": 0, "late_turn_ends": 0, "provider_troubles": 0}
        self._begun: deque[str] = deque(maxlen=_REMEMBERED)
        self._troubles: Counter[str] = Counter()
        self._warned_at: dict[str, float] = {}

    def counters(self) -> Mapping[str, int]:
        """Among them events that named no live response, or were of no known kind; and troubles, by code."""
        return {**self._counts, **{f"provider_trouble_{code}": n for code, n in self._troubles.items()}}

    def take(self, event: ProviderEvent) -> None:
        match event:
            case ResponseAudio():
                self._audio(event)
            case ResponseText():
                self._text(event)
            case ResponseStarted():
                self._started(event)
            case ResponseFinished():
                self._finished(event)
            case UserHeard():
                self._s.record.user(event.turn, _whole(event.text), final=event.final)
            case ToolCall():
                self._calls.take(event)
            case ToolCallWithdrawn():
                unknown = len(event.call_ids) - self._calls.withdrawn(event.call_ids)
                self._counts["unknown_provider_events"] += unknown
            case TurnEnded():
                self._counts["late_turn_ends"] += not self._owner.end_turn(event.turn)
            case ProviderTrouble():
                self._trouble(event)
            case ProviderUsage():
                self._usage(event)
            case _:
                self._counts["unknown_provider_events"] += 1

    def lost(self) -> None:
        """The connection is gone. What it said so far plays on; an answer that began is not asked for again."""
        for key in self._s.answers.lost():
            self._s.downlink.end(key, broken=True)

    def _key(self, response: str) -> str:
        return f"{self._owner.generation}:{response}"

    def _live(self, response: str) -> tuple[str, int] | None:
        key = self._key(response)
        turn = self._s.answers.turn_of(key)
        if turn is None:
            self._counts["unknown_provider_events"] += 1
            return None
        return key, turn

    def _started(self, event: ResponseStarted) -> None:
        key = self._key(event.response)
        if key in self._begun:
            self._counts["unknown_provider_events"] += 1
            return
        self._begun.append(key)
        if self._s.answers.under_way >= LIVE_BOUND:
            self._over(self._s.answers.oldest())
        if not self._s.answers.began(key, event.turn):
            self._owner.send(CancelResponse(event.response, "", 0))
            return
        turn = self._s.answers.turn_of(key) or UNASKED
        self._s.downlink.begin(
            Utterance(key, turn, response=event.response, generation=self._owner.generation)
        )

    def _text(self, event: ResponseText) -> None:
        live = self._live(event.response)
        if live is None:
            return
        key, turn = live
        self._s.answers.gave(key)
        self._calls.heeded()
        self._s.stopwatch.pass_(turn, "first_text", self._owner.now())
        self._s.downlink.text(key, _whole(event.text), event.audio_from_ms)
        utterance = self._s.downlink.get(key)
        if utterance is not None:
            self._s.record.saying(utterance)

    def _audio(self, event: ResponseAudio) -> None:
        live = self._live(event.response)
        if live is None:
            return
        key, turn = live
        self._s.answers.gave(key)
        self._calls.heeded()
        self._s.stopwatch.pass_(turn, "first_audio", self._owner.now())
        self._answered(turn)
        if self._s.downlink.audio(key, event.pcm, event.rate):
            self._owner.sound_begins()
            self._floor.settle()

    def _finished(self, event: ResponseFinished) -> None:
        live = self._live(event.response)
        if live is None:
            return
        key, turn = live
        self._calls.heeded()
        silent = self._over(key, broken=event.status == "failed")
        if self._s.answers.owed != turn:
            self._answered(turn)
        if silent is not None and event.status == "failed":
            self._owner.answer_failed()
        if silent is not None:
            self._s.record.said(silent, "")
        self._owner.sound_begins()
        self._floor.settle()

    def _over(self, key: str, *, broken: bool = False) -> Utterance | None:
        silent = self._s.downlink.end(key, broken=broken)
        self._s.answers.ended(key)
        return silent

    def _answered(self, turn: int) -> None:
        if turn != UNASKED:
            self._s.uplink.answered(turn)
            self._s.record.answered(turn)

    def _trouble(self, event: ProviderTrouble) -> None:
        known = event.code in self._troubles or len(self._troubles) < TROUBLES_BOUND
        code = event.code if known else "other"
        self._counts["provider_troubles"] += 1
        self._troubles[code] += 1
        now = self._owner.now()
        if now - self._warned_at.get(code, -WARNED_EVERY_SECONDS) < WARNED_EVERY_SECONDS:
            return
        self._warned_at[code] = now
        # What a realtime service told may quote what was said; a chain's words of its stages are ours.
        told = f": {event.message}" if event.code in _OF_STAGES else ""
        logger.warning("session %s: %s: %s%s", self._s.session, self._owner.provider, event.code, told)
        self._owner.publish(
            Warned(
                session=self._s.session,
                line=self._s.line,
                code=event.code,
                message=event.message,
                hint=event.hint,
                provider=self._owner.provider,
            )
        )

    def _usage(self, event: ProviderUsage) -> None:
        self._owner.publish(
            UsageReported(
                session=self._s.session,
                line=self._s.line,
                provider=self._owner.provider,
                input=event.input,
                output=event.output,
                unit=event.unit,
            )
        )


def _whole(text: str) -> str:
    """Half characters (lone surrogates), which neither a terminal nor a database takes, become question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")
