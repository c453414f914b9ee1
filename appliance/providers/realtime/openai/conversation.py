"""The protocol: a session's commands become client events, server events become what a session is told. Pure.

No socket and no clock: what is to be sent and told lies in `mail`; the connection carries it. At most one response is
asked for at a time, as the service refuses a second one: which is owed, asked for or being made is one state that every
event moves, hence one long file. The person's turns (`turns.py`), the responses (`answers.py`) and the tool calls stand
beside it.
"""

import json
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from appliance import openai_faults
from appliance.errors import ApplianceError
from appliance.frames import milliseconds_of
from appliance.interfaces import (
    CancelResponse,
    CommitTurn,
    Delivery,
    DiscardTurn,
    ProviderCommand,
    ProviderUsage,
    ResponseFinished,
    ResponseStarted,
    SendAudio,
    SendText,
    Setup,
    ToolResult,
    TurnEnded,
)
from appliance.providers.realtime.fill import silent_frame
from appliance.providers.realtime.mail import Mail
from appliance.providers.realtime.openai import wire
from appliance.providers.realtime.openai.answers import Answer, Answers
from appliance.providers.realtime.openai.settings import Settings
from appliance.providers.realtime.openai.setup import (
    RATE,
    Recalled,
    call_names,
    message,
    outcome,
    server_turns,
    sounding,
)
from appliance.providers.realtime.openai.turns import SHORTEST_MS, Turns
from appliance.providers.realtime.openai.wire import Malformed
from appliance.tool_batches import ToolBatches

SILENCE: Final = wire.append(silent_frame(RATE))
_FILL_MS: Final = 20.0
_PLAIN_RATES: Final = frozenset({8_000, 16_000, 22_050, 24_000, 44_100, 48_000})
_UNHEEDED: Final = frozenset(
    {
        "conversation.created",
        "conversation.item.added",
        "conversation.item.created",
        "conversation.item.deleted",
        "conversation.item.done",
        "conversation.item.input_audio_transcription.segment",
        "conversation.item.retrieved",
        "conversation.item.truncated",
        "input_audio_buffer.cleared",
        "input_audio_buffer.timeout_triggered",
        "rate_limits.updated",
        "response.content_part.added",
        "response.content_part.done",
        "response.function_call_arguments.delta",
        "response.output_audio.done",
        "response.output_item.added",
    }
)


class Conversation:
    """One per connection. `take` and `read` never raise; `fault` is set once the conversation cannot go on."""

    def __init__(self, settings: Settings, setup: Setup) -> None:
        self.mail = Mail()
        self.fault: ApplianceError | None = None
        self.expires_at = 0.0
        """Unix seconds, as the service says; 0 while it does not."""
        self.filling: int | None = None
        """The turn after whose last word the service still waits for silence."""
        self._server_turns = server_turns(settings, setup)
        self._turns = Turns(self.mail)
        self._answers = Answers(self.mail, RATE)
        self._calls = ToolBatches(self.mail, setup.tools, setup.history)
        self._call_names = call_names(setup)
        self._sounding = sounding(setup)
        self._owed: int | None = None
        """The turn that a response is to be asked for."""
        self._asked: deque[tuple[str, int]] = deque()
        """Responses asked for that have not begun: event id and turn."""
        self._expected: int | None = None
        """The turn that the service answers by itself."""
        self._again: Answer | None = None
        """The answer that the service failed to make, and was asked for once more."""
        self._blocked = False
        """The service says that it is making a response which we know nothing of."""
        self._speaking = False
        self._numbers = 0
        self._commits: set[str] = set()
        self._heed: Mapping[str, Callable[[Mapping[str, Any]], None]] = {
            "error": self._error,
            "session.created": self._session_began,
            "session.updated": self._session,
            "input_audio_buffer.speech_started": self._speech_started,
            "input_audio_buffer.speech_stopped": self._speech_stopped,
            "input_audio_buffer.committed": self._committed,
            "conversation.item.input_audio_transcription.delta": self._user_piece,
            "conversation.item.input_audio_transcription.completed": self._user_whole,
            "conversation.item.input_audio_transcription.failed": self._user_failed,
            "response.created": self._response_created,
            "response.output_audio.delta": self._audio,
            "response.output_audio_transcript.delta": self._text,
            "response.output_audio_transcript.done": self._whole_transcript,
            "response.output_text.delta": self._text,
            "response.output_text.done": self._whole_text,
            "response.function_call_arguments.done": self._call,
            "response.output_item.done": self._item_done,
            "response.done": self._response_done,
        }

    @property
    def heeded(self) -> frozenset[str]:
        """The kinds of server events that something follows from."""
        return frozenset(self._heed)

    # --- what the session says ---

    def take(self, command: ProviderCommand) -> None:
        match command:
            case SendAudio():
                self._hear(command)
            case CommitTurn():
                self._commit(command.turn)
            case DiscardTurn():
                self._discard(command.turn)
            case SendText():
                self._type(command)
            case CancelResponse():
                self._cancel(command)
            case ToolResult():
                self._result(command)
            case _:
                self.mail.trouble("unknown_command", f"{type(command).__name__} is nothing for this provider")
        self._ask()

    def fill(self) -> None:
        """20 ms passed in which the service waits for silence."""
        self._turns.fill(_FILL_MS)
        self.mail.send(SILENCE)

    def fill_expired(self) -> None:
        """The service found no end of the turn: end it here."""
        turn, self.filling = self.filling, None
        if turn is not None:
            self._commit_here(turn)
            self._ask()

    def _hear(self, command: SendAudio) -> None:
        frame = command.frame
        if not frame.pcm:
            return
        if frame.rate != RATE or len(frame.pcm) % 2:
            self.mail.trouble("wrong_rate", f"audio at {frame.rate} Hz was not sent")
            return
        self.filling = None
        self._turns.add(command.turn, milliseconds_of(frame.pcm, RATE))
        self.mail.send(wire.append(frame.pcm))

    def _commit(self, turn: int) -> None:
        if not self._server_turns:
            self._commit_here(turn)
        elif self._turns.ended == turn and not self._speaking:
            self._discard(turn)
        elif self._turns.open == turn:
            self.filling = turn
        else:
            self._nothing_said(turn)

    def _commit_here(self, turn: int) -> None:
        if self._turns.open != turn or self._turns.buffered_ms < SHORTEST_MS:
            if self._turns.open == turn:
                self._clear()
            self._nothing_said(turn)
            return
        event_id = self._name()
        self._commits.add(event_id)
        self.mail.send(wire.event("input_audio_buffer.commit", event_id))
        self._turns.commit(turn)
        self._owe(turn)

    def _discard(self, turn: int) -> None:
        if self._turns.open == turn:
            self.filling = None
            self._clear()

    def _clear(self) -> None:
        self.mail.send(wire.event("input_audio_buffer.clear"))
        self._turns.cleared()

    def _type(self, command: SendText) -> None:
        text = command.text.strip()
        if not text:
            self._nothing_said(command.turn)
            return
        self.mail.send(wire.event("conversation.item.create", self._name(), item=message("user", text)))
        self._turns.typed(command.turn, text)
        self._owe(command.turn)

    def _cancel(self, command: CancelResponse) -> None:
        recalled = self._sounding.pop(command.response, None)
        if recalled is not None:
            self._rewrite(recalled, command.heard.strip())
            return
        answer = self._answers.get(command.response)
        if answer is None or answer.cancelled:
            self.mail.count("late_cancels")
            return
        answer.cancelled = True
        answer.heard = command.heard
        answer.heard_ms = command.heard_ms
        self._calls.mute(answer.id)
        self._stop(answer)
        self._cut(answer)

    def _rewrite(self, recalled: Recalled, heard: str) -> None:
        """An answer of the history was broken off: only `heard` is true of it."""
        self.mail.send(wire.event("conversation.item.delete", self._name(), item_id=recalled.item_id))
        if heard:
            item = message("assistant", heard)
            place = {"previous_item_id": recalled.before, "item": item}
            self.mail.send(wire.event("conversation.item.create", self._name(), **place))

    def _stop(self, answer: Answer) -> None:
        """Have the service stop making it."""
        if not answer.done and not answer.stopped:
            answer.stopped = True
            self.mail.send(wire.event("response.cancel", self._name(), response_id=answer.wire))

    def _cut(self, answer: Answer) -> None:
        """Cut the service's memory of a cancelled answer to what was heard."""
        for item_id, end in self._answers.cut_audio(answer):
            self.mail.send(
                wire.event(
                    "conversation.item.truncate",
                    self._name(),
                    item_id=item_id,
                    content_index=0,
                    audio_end_ms=end,
                )
            )
        if answer.done:
            for event in self._answers.rewrite_text(answer):
                self.mail.send(event)

    def _result(self, command: ToolResult) -> None:
        batch = self._calls.answered(command.call_id, command.delivery)
        if batch is None:
            return
        told = {"error": command.error} if command.error else dict(command.result)
        self._settle_call(command.call_id, told)
        active = self._answers.active
        if command.delivery is Delivery.INTERRUPT and not batch.muted and active is not None:
            self._stop(active)

    def _settle_call(self, call_id: str, told: Mapping[str, Any]) -> None:
        item = outcome(self._call_names.get(call_id, call_id), json.dumps(told, default=str))
        self.mail.send(wire.event("conversation.item.create", self._name(), item=item))

    # --- asking for responses ---

    def _owe(self, turn: int) -> None:
        """One response answers all that was said before it: that of the newest turn."""
        self._owed = turn if self._owed is None else max(self._owed, turn)

    def _ask(self) -> None:
        """Ask for a response where one is owed and none is being made."""
        if self._answers.active is not None or self._asked or self._blocked or self._turns.open is not None:
            return
        batches = self._calls.ready()
        if self._owed is None and not batches:
            return
        turn = max([*([] if self._owed is None else [self._owed]), *(batch.turn for batch in batches)])
        self._owed = None
        self._calls.told()
        event_id = self._name()
        self._asked.append((event_id, turn))
        marks = {"turn": str(turn), "request": event_id}
        self.mail.send(wire.event("response.create", event_id, response={"metadata": marks}))

    def _nothing_said(self, turn: int) -> None:
        self._turns.typed(turn, "")
        self._settle(turn, "silent")

    def _settle(self, turn: int, status: str) -> None:
        """An answer of which there is nothing."""
        again = self._again if self._again is not None and self._again.turn == turn else None
        name = f"none-{self._name()}" if again is None else again.id
        if again is None:
            self.mail.tell(ResponseStarted(name, turn))
        else:
            self._again = None
        self.mail.tell(ResponseFinished(name, turn, status))

    def _name(self) -> str:
        self._numbers += 1
        return f"h{self._numbers}"

    # --- what the service says ---

    def read(self, raw: bytes) -> None:
        try:
            event = wire.decode(raw)
            kind = event["type"]
            heed = self._heed.get(kind)
            if heed is not None:
                heed(event)
            elif kind not in _UNHEEDED:
                self.mail.trouble("unknown_event", "the service sent an event of an unknown kind")
        except Malformed as fault:
            self.mail.trouble(fault.code, fault.message)
        self._ask()

    def _session_began(self, event: Mapping[str, Any]) -> None:
        self.expires_at = wire.number(wire.mapping(event, "session"), "expires_at")

    def _session(self, event: Mapping[str, Any]) -> None:
        session = wire.mapping(event, "session")
        self.expires_at = wire.number(session, "expires_at") or self.expires_at
        audio = session.get("audio")
        output = audio.get("output") if isinstance(audio, dict) else None
        form = output.get("format") if isinstance(output, dict) else None
        rate = form.get("rate", RATE) if isinstance(form, dict) else RATE
        if rate != RATE:
            if isinstance(rate, int) and rate in _PLAIN_RATES:
                self._answers.rate = rate
            self.mail.trouble("wrong_rate", "the service speaks at another rate than it was asked for")

    def _speech_started(self, _: Mapping[str, Any]) -> None:
        self._speaking = True

    def _speech_stopped(self, _: Mapping[str, Any]) -> None:
        self._speaking = False

    def _committed(self, event: Mapping[str, Any]) -> None:
        turn = self._turns.item(wire.name(event, "item_id"))
        if turn is None:
            return
        self.filling = None
        self.mail.tell(TurnEnded(turn))
        if self._answers.active is None and not self._blocked:
            self._expected = turn
        else:
            # The service answers nothing while it answers: it must be asked afterwards.
            self._owe(turn)

    def _user_piece(self, event: Mapping[str, Any]) -> None:
        self._turns.reads(wire.name(event, "item_id"), wire.text(event, "delta"))

    def _user_whole(self, event: Mapping[str, Any]) -> None:
        self._turns.read(wire.name(event, "item_id"), wire.text(event, "transcript"))
        self._usage(event)

    def _user_failed(self, event: Mapping[str, Any]) -> None:
        self.mail.trouble("transcription_failed", "the service could not write down what was said")
        self._turns.read(wire.name(event, "item_id"), "")

    def _response_created(self, event: Mapping[str, Any]) -> None:
        response = wire.mapping(event, "response")
        name = wire.name(response, "id")
        if self._answers.get(name) is not None:
            self.mail.trouble("repeated_response", "the service began a response twice")
            return
        self._blocked = False
        turn = self._turn_of(response.get("metadata"))
        again, self._again = self._again, None
        if again is not None and again.turn == turn and not again.cancelled:
            self._answers.begin_again(name, again)
            return
        if again is not None:
            self.mail.tell(ResponseFinished(again.id, again.turn, "cancelled"))
        self._answers.begin(name, turn)
        self.mail.tell(ResponseStarted(name, turn))

    def _turn_of(self, metadata: object) -> int:
        """The turn that a new response answers; 0 where nobody asked for it."""
        request = metadata.get("request") if isinstance(metadata, dict) else None
        for asked in self._asked:
            if asked[0] == request:
                self._asked.remove(asked)
                self._expected = None
                return asked[1]
        if self._expected is not None:
            turn, self._expected = self._expected, None
            return turn
        # A server that does not repeat the metadata: in the order in which they were asked for.
        return self._asked.popleft()[1] if self._asked and request is None else 0

    def _answer(self, event: Mapping[str, Any]) -> Answer | None:
        answer = self._answers.get(wire.name(event, "response_id"))
        if answer is None or answer.done:
            self.mail.count("late_response_events")
            return None
        return answer

    def _audio(self, event: Mapping[str, Any]) -> None:
        answer = self._answer(event)
        if answer is not None:
            self._answers.audio(answer, wire.name(event, "item_id"), wire.pcm(event.get("delta")))

    def _text(self, event: Mapping[str, Any]) -> None:
        answer = self._answer(event)
        if answer is not None:
            self._answers.text(answer, wire.name(event, "item_id"), wire.text(event, "delta"))

    def _whole_transcript(self, event: Mapping[str, Any]) -> None:
        self._whole(event, wire.text(event, "transcript"))

    def _whole_text(self, event: Mapping[str, Any]) -> None:
        self._whole(event, wire.text(event, "text"))

    def _whole(self, event: Mapping[str, Any], whole: str) -> None:
        answer = self._answer(event)
        if answer is not None:
            self._answers.whole_text(answer, wire.name(event, "item_id"), whole)

    def _call(self, event: Mapping[str, Any]) -> None:
        answer = self._answer(event)
        # Older servers give the name only with the whole item, which follows.
        if answer is not None and event.get("name"):
            self._called(answer, event)

    def _item_done(self, event: Mapping[str, Any]) -> None:
        answer = self._answer(event)
        item = wire.mapping(event, "item")
        if answer is not None and item.get("type") == "function_call":
            self._called(answer, item)

    def _called(self, answer: Answer, call: Mapping[str, Any]) -> None:
        call_id, tool = wire.name(call, "call_id"), wire.name(call, "name")
        if call.get("status") == "incomplete":
            return
        arguments = wire.text(call, "arguments")
        if not answer.cancelled:
            answer.called |= self._calls.made(answer.id, answer.turn, call_id, tool, arguments)
        elif self._calls.withdrawn(call_id):
            # The service remembers the call: without an outcome it may make it again.
            self._settle_call(call_id, {"error": "The person interrupted."})

    def _response_done(self, event: Mapping[str, Any]) -> None:
        response = wire.mapping(event, "response")
        self._usage(response)
        answer = self._answers.get(wire.name(response, "id"))
        if answer is None or answer.done:
            self._blocked = False
            self.mail.count("late_response_events")
            return
        answer.done = True
        if self._answers.active is answer:
            self._answers.active = None
        if answer.cancelled:
            self._cut(answer)
        status = self._status(answer, response)
        untouched = not (answer.gave or answer.called or answer.cancelled)
        if status == "failed" and untouched and self.fault is not None:
            # Nothing came of it, and the next connection can answer: the turn is not told to be over.
            return
        if response.get("status") == "failed" and untouched and not answer.retried:
            answer.retried = True
            self._again = answer
            self._owe(answer.turn)
            return
        self.mail.tell(ResponseFinished(answer.id, answer.turn, status))

    def _status(self, answer: Answer, response: Mapping[str, Any]) -> str:
        status = response.get("status")
        if status == "failed":
            error = openai_faults.error_of(response.get("status_details"))
            self.fault = self.fault or openai_faults.of_answer(error)
            code = openai_faults.code_of(error)
            self.mail.trouble("response_failed", f"the service could not answer: {code}")
            return "failed"
        if status == "cancelled" or answer.cancelled:
            return "cancelled"
        if status == "incomplete":
            self.mail.trouble("response_incomplete", "the service broke an answer off")
            return "completed" if answer.gave else "failed"
        return "completed" if answer.gave or answer.called else "silent"

    def _usage(self, event: Mapping[str, Any]) -> None:
        usage = event.get("usage")
        if not isinstance(usage, dict):
            return
        try:
            if usage.get("type") == "duration":
                self.mail.tell(ProviderUsage(wire.number(usage, "seconds"), 0.0, "seconds"))
                return
            spent = wire.number(usage, "input_tokens"), wire.number(usage, "output_tokens")
        except Malformed as fault:
            self.mail.trouble(fault.code, fault.message)
            return
        self.mail.tell(ProviderUsage(*spent, "tokens"))

    # --- refusals ---

    def _error(self, event: Mapping[str, Any]) -> None:
        error = wire.mapping(event, "error")
        self.fault = self.fault or openai_faults.ending(error)
        code, of = openai_faults.code_of(error), str(error.get("event_id"))
        known = code == "response_cancel_not_active"
        if known or self._refused_request(of, code, error) or self._refused_commit(of, code):
            self.mail.count(code)
        else:
            self.mail.trouble(code, "the service refused something")

    def _refused_request(self, of: str, code: str, error: Mapping[str, Any]) -> bool:
        busy = code == "conversation_already_has_active_response"
        asked = next((one for one in self._asked if one[0] == of), None)
        if asked is None and busy and self._asked:
            asked = self._asked[0]
        if asked is None:
            return busy
        self._asked.remove(asked)
        turn = asked[1]
        if not busy:
            self.fault = self.fault or openai_faults.of_answer(error)
            self.mail.trouble("response_refused", f"the service does not answer: {code}")
            if self.fault is None:
                self._settle(turn, "failed")
        elif self._answers.active is None or self._answers.active.turn != turn:
            self._blocked = self._answers.active is None
            self._owe(turn)
        return True

    def _refused_commit(self, of: str, code: str) -> bool:
        empty = code == "input_audio_buffer_commit_empty"
        if of not in self._commits and not empty:
            return False
        self._commits.discard(of)
        turn = self._turns.withdraw_commit()
        if turn is None:
            return True
        if not empty:
            self.mail.trouble("turn_refused", f"the service did not take what was said: {code}")
        self._turns.typed(turn, "")
        if self._owed == turn:
            self._owed = None
            self._settle(turn, "silent" if empty else "failed")
        return True
