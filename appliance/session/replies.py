"""What the provider says, put where it belongs: answers to the downlink, calls to the runner, words to the record."""

from collections.abc import Callable
from typing import Protocol

from appliance.agents.runner import ToolRunner
from appliance.events import Event, UsageReported
from appliance.interfaces import (
    CancelResponse,
    ProviderEvent,
    ProviderUsage,
    ResponseAudio,
    ResponseFinished,
    ResponseStarted,
    ResponseText,
    ToolCall,
    ToolResult,
    UserHeard,
)
from appliance.session.downlink import Utterance
from appliance.session.floor import Floor, FloorOwner, Strands


class RepliesOwner(FloorOwner, Protocol):
    """The session, as its replies see it."""

    @property
    def provider(self) -> str: ...

    def publish(self, event: Event) -> None: ...

    def answer_failed(self) -> None:
        """An answer broke off before it had a sound."""
        ...


class Replies:
    """`take` is given the events of the present connection only."""

    def __init__(self, strands: Strands, floor: Floor, runner: ToolRunner, owner: RepliesOwner) -> None:
        self._s = strands
        self._floor = floor
        self._runner = runner
        self._owner = owner
        self._unknown = 0

    @property
    def unknown(self) -> int:
        """Events that named no live response, or were of no known kind."""
        return self._unknown

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
                self._s.record.user(event.turn, event.text, final=event.final)
            case ToolCall():
                self._tool(event)
            case ProviderUsage():
                self._usage(event)
            case _:
                self._unknown += 1

    def lost(self) -> None:
        """The connection is gone. What it said so far plays on; an answer that began is not asked for again."""
        for key in self._s.answers.lost():
            self._s.downlink.end(key)

    def _key(self, response: str) -> str:
        return f"{self._owner.generation}:{response}"

    def _live(self, response: str) -> tuple[str, int] | None:
        key = self._key(response)
        turn = self._s.answers.turn_of(key)
        if turn is None:
            self._unknown += 1
            return None
        return key, turn

    def _started(self, event: ResponseStarted) -> None:
        key = self._key(event.response)
        if not self._s.answers.began(key, event.turn):
            self._owner.send(CancelResponse(event.response, "", 0))
            return
        self._s.downlink.begin(
            Utterance(key, event.turn, response=event.response, generation=self._owner.generation)
        )

    def _text(self, event: ResponseText) -> None:
        live = self._live(event.response)
        if live is None:
            return
        key, turn = live
        self._s.answers.gave(key)
        self._s.stopwatch.pass_(turn, "first_text", self._owner.now())
        self._s.downlink.text(key, event.text, event.audio_from_ms)
        utterance = self._s.downlink.get(key)
        if utterance is not None:
            self._s.record.saying(utterance)

    def _audio(self, event: ResponseAudio) -> None:
        live = self._live(event.response)
        if live is None:
            return
        key, turn = live
        self._s.answers.gave(key)
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
        silent = self._s.downlink.end(key)
        self._s.answers.ended(key)
        if self._s.answers.owed != turn:
            self._answered(turn)
        if silent is not None and event.status == "failed":
            self._owner.answer_failed()
        if silent is not None:
            self._s.record.said(silent, "")
        self._owner.sound_begins()
        self._floor.settle()

    def _answered(self, turn: int) -> None:
        self._s.uplink.answered(turn)
        self._s.record.answered(turn)

    def _tool(self, event: ToolCall) -> None:
        unwanted = self._s.answers.unwanted(event.turn)
        refusal = "The person does not want that any more." if unwanted else ""
        if self._runner.start(event, self._deliver(self._owner.generation), refusal=refusal) and not unwanted:
            self._s.answers.tool_called(event.call_id, event.turn)
            self._answered(event.turn)

    def _deliver(self, generation: int) -> Callable[[ToolResult], None]:
        def deliver(result: ToolResult) -> None:
            if generation != self._owner.generation:
                return
            self._s.answers.tool_answered(result.call_id)
            self._owner.send(result)
            self._floor.settle()

        return deliver

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
