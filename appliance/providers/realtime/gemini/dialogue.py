"""One conversation with Gemini Live, without socket and clock: commands and messages in, messages and events out. Pure.

The service names neither turns nor responses. What it says answers the newest turn that was finished; failing that,
the turn of a tool call; failing that, it was not asked for. That is one state, and every message moves it: hence one
long file. What stands by itself is beside it: the tool calls (`calls.py`), and each message (`messages.py`).
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from appliance.frames import milliseconds_of
from appliance.interfaces import (
    CalledTool,
    CancelResponse,
    CommitTurn,
    Delivery,
    DiscardTurn,
    ProviderCommand,
    ProviderEvent,
    ProviderUsage,
    RenewalDue,
    ResponseAudio,
    ResponseFinished,
    ResponseStarted,
    ResponseText,
    ResumptionHandle,
    SendAudio,
    SendText,
    ToolCall,
    ToolCallWithdrawn,
    ToolResult,
    TurnEnded,
    UserHeard,
)
from appliance.providers.realtime.gemini import messages as wire
from appliance.providers.realtime.gemini.calls import Call, Calls
from appliance.providers.realtime.gemini.messages import Malformed
from appliance.providers.realtime.gemini.setup import told_result
from appliance.providers.realtime.mail import Mail

TRANSCRIPT_GRACE_MS: Final = 400.0
"""The words of the person may come behind the first sound of the answer: so much of it is waited for."""
UNREADABLE_GO_AWAY_SECONDS: Final = 5.0
EARLY_BOUND: Final = 64
CLOSED_BOUND: Final = 64
UNWANTED: Final = "The person does not want that any more."
_BENIGN_REASONS: Final = frozenset({"", "TURN_COMPLETE_REASON_UNSPECIFIED", "NEED_MORE_INPUT"})
_GOING_ON: Final = frozenset({"IN_PROGRESS", "REQUIRES_ACTION"})
_CONTENT_KEYS: Final = frozenset(
    {
        "groundingMetadata",
        "interactionStatus",
        "turnCompleteReason",
        "urlContextMetadata",
        "waitingForInput",
    }
)


@dataclass(slots=True)
class Step:
    """What follows from a command or a message: `messages` to the service, `events` to the session."""

    messages: list[str] = field(default_factory=list)
    events: list[ProviderEvent] = field(default_factory=list)


@dataclass(slots=True)
class _Turn:
    number: int
    text: str = ""
    final: bool = False
    wanted: bool = True
    answered: bool = False
    """The service found its end, and answered, before the device did."""
    ended: bool = False


@dataclass(slots=True)
class _Answer:
    """A model turn: from its first part to turnComplete or interrupted."""

    turn: int
    asked: _Turn | None
    dropped: bool = False
    """Nothing of it reaches the session (any more)."""
    response: str = ""
    audio_ms: float = 0.0
    generated: bool = False
    called: bool = False


class Dialogue:
    """`restored` are the calls of the history whose results come over this connection; `handle` resumed it."""

    def __init__(
        self,
        *,
        server_turns: bool = False,
        realtime_text: bool = False,
        restored: Sequence[CalledTool] = (),
        handle: str = "",
    ) -> None:
        self._server_turns = server_turns
        self._realtime_text = realtime_text
        self._handle = handle
        self._mail = Mail()
        self._calls = Calls(restored)
        self._open: _Turn | None = None
        self._owed: deque[_Turn] = deque()
        self._closed: deque[int] = deque(maxlen=CLOSED_BOUND)
        self._answer: _Answer | None = None
        self._complete_due = False
        """`interrupted` came: the turnComplete that follows ends nothing else."""
        self._may_interrupt = False
        """Something was sent that may break an answer off, other than a turn."""
        self._continuing = 0
        self._early: deque[str] = deque(maxlen=EARLY_BOUND)
        self._spoken: deque[int] = deque(maxlen=CLOSED_BOUND)
        self._responses = 0
        self._usage = (0, 0)
        self._usage_over = False
        self.leaving = False
        """The service has said that it will end the connection."""
        self._commands: dict[type[ProviderCommand], Callable[[Any], None]] = {
            SendAudio: self._send_audio,
            CommitTurn: self._commit,
            DiscardTurn: self._discard,
            SendText: self._send_text,
            CancelResponse: self._cancel,
            ToolResult: self._result,
        }
        self._messages: dict[str, Callable[[Any], None]] = {
            "serverContent": self._content,
            "toolCall": self._tool_call,
            "toolCallCancellation": self._withdraw,
            "usageMetadata": self._count,
            "sessionResumptionUpdate": self._resumption,
            "goAway": self._go_away,
            "voiceActivity": self._activity,
            "error": self._error,
            "setupComplete": lambda _: None,
            "voiceActivityDetectionSignal": lambda _: None,
        }
        self._contents: dict[str, Callable[[Any], None]] = {
            "inputTranscription": self._heard,
            "interimInputTranscription": self._interim,
            "interrupted": self._interrupted,
            "modelTurn": self._model_turn,
            "outputTranscription": self._said,
            "generationComplete": self._generated,
        }

    # --- what the connection asks ---

    def counters(self) -> Mapping[str, int]:
        """How often what was met that made no sense, or came too late."""
        return self._mail.counters()

    def command(self, command: ProviderCommand) -> Step:
        self._commands[type(command)](command)
        return self.taken()

    def receive(self, raw: bytes | str) -> Step:
        """A message of the service, whatever it is: what makes no sense is counted and told, never fatal."""
        try:
            message = wire.parsed(raw)
        except Malformed as fault:
            self.trouble("message_malformed", str(fault))
            return self.taken()
        for key, take in self._messages.items():
            if key in message:
                self._try(take, message[key], "field_malformed")
        unknown = [key for key in message if key not in self._messages]
        if unknown or not message:
            self.trouble("message_unknown", f"a message of an unknown kind: {wire.named(unknown)}")
        return self.taken()

    def waits_for(self, turn: int) -> bool:
        """The device has finished `turn`, and the service has not begun to answer it."""
        return self._open is None and any(owed.number == turn for owed in self._owed)

    def settle(self, turn: int) -> Step:
        """The service will not answer `turn`: it found nothing in it."""
        for owed in tuple(self._owed):
            if owed.number == turn:
                self._owed.remove(owed)
                self._finish_unanswered(owed, "silent")
        return self.taken()

    def trouble(self, code: str, message: str) -> None:
        """Count it, and tell it now and then."""
        self._mail.trouble(code, message)

    def taken(self) -> Step:
        """What has gathered since the last step."""
        step = Step(list(self._mail.outgoing), list(self._mail.events))
        self._mail.outgoing.clear()
        self._mail.events.clear()
        return step

    def _try(self, take: Callable[[Any], None], value: Any, code: str) -> None:
        try:
            take(value)
        except Malformed as fault:
            self.trouble(code, str(fault))

    # --- commands ---

    def _send_audio(self, command: SendAudio) -> None:
        frame = command.frame
        pcm = frame.pcm[: len(frame.pcm) // 2 * 2]
        if not pcm or command.turn in self._closed:
            return
        if self._open is None or self._open.number != command.turn:
            if self._open is not None:
                self._close_turn(self._open, wanted=False)
            self._open = _Turn(command.turn)
            if not self._server_turns:
                self._mail.send(wire.ACTIVITY_START)
        self._mail.send(wire.audio(pcm, frame.rate))

    def _commit(self, command: CommitTurn) -> None:
        if command.turn in self._closed:
            return
        if self._open is not None and self._open.number == command.turn:
            self._close_turn(self._open, wanted=True)
            return
        self._closed.append(command.turn)
        self._finish_unanswered(_Turn(command.turn), "silent")

    def _discard(self, command: DiscardTurn) -> None:
        if self._open is not None and self._open.number == command.turn:
            self._close_turn(self._open, wanted=False)

    def _close_turn(self, turn: _Turn, *, wanted: bool) -> None:
        self._open = None
        self._closed.append(turn.number)
        turn.wanted = wanted
        if not self._server_turns:
            self._mail.send(wire.ACTIVITY_END)
        if turn.answered:
            self._continuing = turn.number
        else:
            self._owed.append(turn)

    def _send_text(self, command: SendText) -> None:
        text = command.text.strip()
        self._closed.append(command.turn)
        if not text:
            self._finish_unanswered(_Turn(command.turn), "silent")
            return
        self._mail.tell(UserHeard(command.turn, command.text, final=True))
        self._owed.append(_Turn(command.turn, final=True))
        self._ask(command.text)

    def _ask(self, text: str) -> None:
        if not self._realtime_text:
            self._mail.send(wire.content(text, complete=True))
            return
        # Such a model takes client_content only as its first history; text alone is no activity without detection.
        marked = not self._server_turns and self._open is None
        if marked:
            self._mail.send(wire.ACTIVITY_START)
        self._mail.send(wire.realtime_text(text))
        if marked:
            self._mail.send(wire.ACTIVITY_END)

    def _cancel(self, command: CancelResponse) -> None:
        """There is no truncation: the rest of it is kept from the session until the service has said it all."""
        answer = self._answer
        if answer is not None and answer.response == command.response and not answer.dropped:
            self._end_response(answer, "cancelled")
            answer.dropped = True

    def _result(self, result: ToolResult) -> None:
        restored = self._calls.restored(result.call_id)
        if restored is not None:
            self._result_of_old(restored, result)
            return
        call = self._calls.get(result.call_id)
        if call is None:
            self.trouble("result_unknown", "a tool result belongs to no call of this connection")
            return
        if call.done:
            return
        call.done = True
        speaking = self._answer is not None and not self._answer.generated and bool(self._answer.response)
        when = wire.scheduling(result.delivery, speaking=speaking)
        self._mail.send(wire.function_response(result.call_id, call.tool, result.result, result.error, when))
        if when == "SILENT":
            self._settle_called(call.turn)
            return
        self._may_interrupt = True
        self._calls.follow(call.turn)

    def _result_of_old(self, call: CalledTool, result: ToolResult) -> None:
        """A functionResponse with an id of another session would end this one: it goes as text."""
        text = told_result(call, result)
        if result.delivery is Delivery.SILENT:
            if not self._realtime_text:
                self._mail.send(wire.content(text, complete=False))
            return
        self._may_interrupt = True
        self._calls.follow(call.turn)
        self._ask(text)

    # --- what the model says ---

    def _content(self, content: Any) -> None:
        content = wire.mapping(content, "serverContent")
        for key, take in self._contents.items():
            if content.get(key) not in (None, False):
                self._try(take, content[key], "field_malformed")
        if content.get("turnComplete") is True:
            self._complete(content)
        unknown = [
            key
            for key in content
            if key not in self._contents and key not in _CONTENT_KEYS and key != "turnComplete"
        ]
        if unknown:
            self.trouble("field_unknown", f"serverContent has unknown fields: {wire.named(unknown)}")

    def _heard(self, transcription: Any) -> None:
        text = wire.words(transcription, "inputTranscription")
        turn = self._listening_to()
        if turn is None:
            self._mail.count("late_transcripts")
            return
        turn.text += text
        if turn.wanted and text:
            self._mail.tell(UserHeard(turn.number, turn.text.strip(), final=False))
        if transcription.get("finished") is True:
            self._final(turn)

    def _interim(self, transcription: Any) -> None:
        text = wire.words(transcription, "interimInputTranscription")
        turn = self._listening_to()
        if turn is not None and turn.wanted and text:
            self._mail.tell(UserHeard(turn.number, (turn.text + text).strip(), final=False))

    def _listening_to(self) -> _Turn | None:
        """Whose words come now."""
        asked = self._answer.asked if self._answer is not None else None
        for turn in (asked, *self._owed, self._open):
            if turn is not None and not turn.final:
                return turn
        return None

    def _final(self, turn: _Turn | None) -> None:
        if turn is None or turn.final:
            return
        turn.final = True
        if turn.wanted:
            self._mail.tell(UserHeard(turn.number, turn.text.strip(), final=True))

    def _model_turn(self, model_turn: Any) -> None:
        parts = wire.sequence(wire.mapping(model_turn, "modelTurn").get("parts", []), "parts")
        for part in parts:
            # Text beside the sound is thought or code; the words of the sound come as outputTranscription.
            if isinstance(part, dict) and "inlineData" in part:
                self._try(self._sound, part["inlineData"], "audio_malformed")

    def _sound(self, data: Any) -> None:
        blob = wire.mapping(data, "inlineData")
        try:
            rate = wire.rate_of(blob.get("mimeType"))
        except Malformed as fault:
            self.trouble("audio_format", str(fault))
            return
        pcm, odd = wire.samples(blob.get("data"))
        if odd:
            self.trouble("audio_malformed", "a sound ends in half a sample")
        if not pcm:
            return
        answer = self._speaking()
        if answer.dropped:
            return
        if not answer.response:
            self._start_response(answer)
        self._mail.tell(ResponseAudio(answer.response, pcm, rate))
        answer.audio_ms += milliseconds_of(pcm, rate)
        if answer.audio_ms >= TRANSCRIPT_GRACE_MS:
            self._final(answer.asked)

    def _said(self, transcription: Any) -> None:
        text = wire.words(transcription, "outputTranscription")
        answer = self._answer
        if not text or (answer is not None and answer.dropped):
            return
        if answer is not None and answer.response:
            self._mail.tell(ResponseText(answer.response, text, answer.audio_ms))
        else:
            # Words are not ordered against the sound: without one they may belong to the answer before.
            self._early.append(text)

    def _generated(self, _: Any) -> None:
        if self._answer is not None:
            self._answer.generated = True
            self._final(self._answer.asked)

    def _interrupted(self, _: Any) -> None:
        answer, self._answer = self._answer, None
        self._early.clear()
        self._complete_due = True
        if answer is None:
            return
        by_us = answer.dropped or self._may_interrupt or self._open is not None or bool(self._owed)
        self._final(answer.asked)
        self._end_response(answer, "cancelled")
        if answer.asked is not None and not by_us:
            # Nothing was sent that could have broken it off: it was still the answer to a turn before.
            self._owed.append(answer.asked)

    def _complete(self, content: dict[str, Any]) -> None:
        answer, self._answer = self._answer, None
        self._early.clear()
        self._usage_over = True
        self._continuing = 0
        reason = content.get("turnCompleteReason", "")
        refused = isinstance(reason, str) and reason not in _BENIGN_REASONS
        if refused:
            self.trouble("answer_refused", f"the service did not answer: {wire.named([reason])}")
        if answer is not None:
            self._final(answer.asked)
            self._end_response(answer, "failed" if refused else "completed")
            status = content.get("interactionStatus")
            if isinstance(status, str) and status in _GOING_ON:
                self._continuing = answer.turn
            if answer.called:
                self._settle_called(answer.turn)
        elif self._complete_due:
            self._complete_due = False
        elif self._owed:
            self._finish_unanswered(self._owed.popleft(), "failed" if refused else "silent")

    # --- which answer to what ---

    def _speaking(self) -> _Answer:
        """The answer that a sound belongs to."""
        if self._answer is not None and self._answer.generated:
            # All of it had come: this is another, though turnComplete of the first is still due.
            finished, self._answer = self._answer, None
            self._end_response(finished, "completed")
        return self._answering()

    def _answering(self) -> _Answer:
        if self._answer is None:
            self._complete_due = False
            self._answer = self._attributed()
            if self._usage_over:
                self._usage, self._usage_over = (0, 0), False
        return self._answer

    def _attributed(self) -> _Answer:
        wanted = [turn for turn in self._owed if turn.wanted]
        if wanted:
            for turn in wanted[:-1]:
                self._final(turn)
            self._owed.clear()
            return self._ended(wanted[-1])
        if self._server_turns and self._open is not None:
            self._open.answered = True
            return self._ended(self._open)
        about = self._calls.spoken_of()
        if about is not None:
            return _Answer(about, None)
        if self._owed:
            discarded = self._owed.popleft()
            return _Answer(discarded.number, discarded, dropped=True)
        number, self._continuing = self._continuing, 0
        return _Answer(number, None)

    def _ended(self, turn: _Turn) -> _Answer:
        if self._server_turns and not turn.ended:
            turn.ended = True
            self._mail.tell(TurnEnded(turn.number))
        return _Answer(turn.number, turn)

    def _start_response(self, answer: _Answer) -> None:
        # From here on the session takes the turn for answered, and no handle of before knows of it.
        self._know(handle="")
        self._may_interrupt = False
        self._responses += 1
        answer.response = f"response-{self._responses}"
        self._spoken.append(answer.turn)
        self._mail.tell(ResponseStarted(answer.response, answer.turn))
        while self._early:
            self._mail.tell(ResponseText(answer.response, self._early.popleft(), 0.0))

    def _end_response(self, answer: _Answer, status: str) -> None:
        if answer.response and not answer.dropped:
            self._mail.tell(ResponseFinished(answer.response, answer.turn, status))

    def _finish_unanswered(self, turn: _Turn, status: str) -> None:
        """The turn is settled without a sound."""
        self._final(turn)
        if turn.wanted:
            self._finish_silently(turn.number, status)

    def _finish_silently(self, turn: int, status: str) -> None:
        self._responses += 1
        self._spoken.append(turn)
        self._mail.tell(ResponseStarted(f"response-{self._responses}", turn))
        self._mail.tell(ResponseFinished(f"response-{self._responses}", turn, status))

    def _settle_called(self, turn: int) -> None:
        """Its calls are done and the model is to say nothing about them: it gets no other answer."""
        if turn and self._answer is None and not (self._calls.pending(turn) or turn in self._spoken):
            self._finish_silently(turn, "silent")

    # --- tools ---

    def _tool_call(self, tool_call: Any) -> None:
        calls = wire.sequence(wire.mapping(tool_call, "toolCall").get("functionCalls"), "functionCalls")
        for call in calls:
            self._try(self._call, call, "call_malformed")

    def _call(self, call: Any) -> None:
        call = wire.mapping(call, "a function call")
        call_id, tool = call.get("id"), call.get("name")
        if not isinstance(call_id, str) or not call_id or not isinstance(tool, str):
            raise Malformed("a function call has no id or no name")
        if self._calls.get(call_id) is not None:
            self.trouble("call_repeated", "the service has repeated a tool call")
            return
        answer = self._answering()
        answer.called = True
        self._final(answer.asked)
        self._calls.made(call_id, Call(tool, answer.turn, done=answer.dropped))
        if answer.dropped:
            self._mail.send(wire.function_response(call_id, tool, {}, UNWANTED, "SILENT"))
            return
        self._know(handle="")
        arguments = call.get("args", {})
        if not isinstance(arguments, dict | str):
            arguments = {} if arguments is None else str(arguments)
        self._mail.tell(ToolCall(call_id, tool, arguments, answer.turn))

    def _withdraw(self, cancellation: Any) -> None:
        ids = wire.sequence(wire.mapping(cancellation, "toolCallCancellation").get("ids"), "ids")
        withdrawn = self._calls.withdraw(ids)
        if withdrawn:
            self._mail.tell(ToolCallWithdrawn(tuple(withdrawn)))
        for turn in set(withdrawn.values()):
            if self._open is None and not self._owed:
                self._settle_called(turn)

    # --- the session itself ---

    def _count(self, usage: Any) -> None:
        """Counts grow within a model turn and begin anew with the next: what is told is what came in addition."""
        usage = wire.mapping(usage, "usageMetadata")
        now = (
            wire.tokens(usage, "promptTokenCount", "toolUsePromptTokenCount"),
            wire.tokens(usage, "responseTokenCount", "thoughtsTokenCount"),
        )
        more = tuple(max(0, new - old) for new, old in zip(now, self._usage, strict=True))
        self._usage = now
        if any(more):
            self._mail.tell(ProviderUsage(float(more[0]), float(more[1]), "tokens"))

    def _resumption(self, update: Any) -> None:
        update = wire.mapping(update, "sessionResumptionUpdate")
        handle = update.get("newHandle", "")
        usable = update.get("resumable") is True and isinstance(handle, str)
        self._know(handle=handle if usable else "")

    def _know(self, *, handle: str) -> None:
        if handle != self._handle:
            self._handle = handle
            self._mail.tell(ResumptionHandle(handle))

    def _go_away(self, go_away: Any) -> None:
        self.leaving = True
        try:
            left = wire.seconds(wire.mapping(go_away, "goAway").get("timeLeft"))
        except Malformed:
            self.trouble(
                "go_away_malformed", "the service is about to end the connection, and does not say when"
            )
            left = UNREADABLE_GO_AWAY_SECONDS
        self._mail.tell(RenewalDue(left))

    def _activity(self, activity: Any) -> None:
        kind = wire.mapping(activity, "voiceActivity").get("type")
        turn = self._open or (self._owed[-1] if self._owed else None)
        if self._server_turns and kind == "ACTIVITY_END" and turn is not None and not turn.ended:
            turn.ended = True
            self._mail.tell(TurnEnded(turn.number))

    def _error(self, error: Any) -> None:
        status = wire.mapping(error, "error").get("status", "")
        self.trouble("service_error", f"the service reports an error: {wire.named([str(status)])}")
