"""One conversation with a chain: what the session says goes to the stages, what they say goes to the session.

SendAudio, CommitTurn ─► Ear ─► final transcript ─► Memory ─► Mind ─► Chunker ─► Mouth ─► Outbox ─► session
ToolResult ──────────────────────────────────────────┘
"""

import asyncio
import itertools
import json
import secrets
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import Final

from appliance.errors import ApplianceError, ProviderUnavailable
from appliance.interfaces import (
    CancelResponse,
    CommitTurn,
    Delivery,
    DiscardTurn,
    ProviderCommand,
    ProviderEvent,
    ProviderUsage,
    ResponseFinished,
    ResponseStarted,
    SendAudio,
    SendText,
    Setup,
    ToolResult,
    TurnEnded,
    UserHeard,
)
from appliance.providers.chain.answer import Answer
from appliance.providers.chain.draft import Draft
from appliance.providers.chain.ear import Ear
from appliance.providers.chain.memory import BROKEN, Memory
from appliance.providers.chain.mind import Mind
from appliance.providers.chain.mouth import Mouth, Utterance
from appliance.providers.chain.outbox import Outbox
from appliance.providers.chain.stage_faults import stages_skipped
from appliance.stages import (
    AnswerCall,
    AnswerPart,
    EagerEnd,
    Ended,
    Prompt,
    Said,
    Spent,
    Transcript,
    TranscriptEvent,
    TurnResumed,
)
from appliance.tool_batches import ToolBatches
from appliance.troubles import counted

MOST_STEPS: Final = 8
"""Answers in a row that only call tools: then the model must speak."""
REMEMBERED: Final = 64


class ChainConnection:
    """Implements interfaces.Connection. Belongs to the loop's thread."""

    def __init__(
        self,
        setup: Setup,
        ear: Ear,
        mind: Callable[[Callable[[str, str], None]], Mind],
        mouth: Callable[[Outbox, Callable[[str, str], None]], Mouth],
        *,
        context_characters: int,
        release: Callable[[Ear], None],
    ) -> None:
        """`release` is given the ear when the conversation is over here: another connection may go on with it."""
        self._setup = setup
        self._name = f"{setup.session}-{secrets.token_hex(2)}"
        self._numbers = itertools.count(1)
        self._outbox = Outbox()
        self._counts: Counter[str] = Counter()
        self._ear_before = ear.counters()
        self._memory = Memory(context_characters)
        self._memory.restore(setup.history)
        self._batches = ToolBatches(self, setup.tools, setup.history)
        self._ear = ear
        self._mind = mind(self.trouble)
        self._mouth = mouth(self._outbox, self.trouble)
        self._release = release
        self._answers: dict[str, Answer] = {}
        self._thinking: Answer | None = None
        self._owed: int | None = None
        self._open: int | None = None
        """The turn that is being said."""
        self._ended: int | None = None
        """The turn that the service ended last: what still comes of it is the pause after it."""
        self._texts: dict[int, str] = {}
        self._unread: set[int] = set()
        """Turns that were committed and whose final transcript is not there."""
        self._steps = 0
        self._failures = 0
        self._draft: Draft | None = None
        self._closed = False
        ear.told, ear.lost, ear.trouble = self._understood, self._end, self.trouble
        self._mouth.finished = self._spoken

    # --- the session's side ---

    async def send(self, command: ProviderCommand) -> None:
        if self._closed:
            raise ProviderUnavailable("the chain's conversation is closed")
        match command:
            case SendAudio() if not command.frame.pcm:
                return
            case SendAudio():
                if command.turn != self._ended:
                    self._begin_turn(command.turn)
                self._ear.hear(command.turn, command.frame.pcm)
            case CommitTurn():
                self._commit(command.turn)
            case DiscardTurn():
                self._discard(command.turn)
            case SendText():
                self._typed(command.turn, command.text)
            case CancelResponse():
                self._cancel(command)
            case ToolResult():
                self._result(command)
        self._ask()

    async def __aiter__(self) -> AsyncIterator[ProviderEvent]:
        async for event in self._outbox.events():
            yield event

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._drop_draft()
        self._outbox.close()
        self._release(self._ear)
        tasks = [task for answer in self._answers.values() if (task := answer.break_off()) is not None]
        await self._mouth.close()
        if tasks:
            await asyncio.wait(tasks, timeout=0.8)

    def counters(self) -> Mapping[str, int]:
        """What went wrong and was survived, by its code; of the ear's, what came since this conversation began."""
        ear = {name: count - self._ear_before.get(name, 0) for name, count in self._ear.counters().items()}
        return {**self._counts, **ear, "forgotten_items": self._memory.forgotten}

    def goes_without(self, skipped: Mapping[str, ApplianceError]) -> None:
        """These stages are left out, as they are not installed, say: whoever looks after the appliance should know."""
        self._counts["stages_skipped"] += len(skipped)
        self._outbox.tell(stages_skipped(skipped))

    # --- for its answers, and ToolBatches ---

    def tell(self, event: ProviderEvent) -> None:
        self._outbox.tell(event)

    def count(self, code: str) -> None:
        self._counts[code] += 1

    def trouble(self, code: str, message: str) -> None:
        """Count it, and tell it the first, second, fourth, eighth... time."""
        if told := counted(self._counts, code, message):
            self._outbox.tell(told)

    def called(self, answer: Answer, call: AnswerCall) -> bool:
        # Small servers give each call the same id, or none: ours are unlike any other's.
        call_id = f"{self._name}-c{next(self._numbers)}"
        if not self._batches.made(answer.response, answer.turn, call_id, call.tool, call.arguments):
            return False
        self._memory.called(AnswerCall(call_id, call.tool, call.arguments, call.opaque))
        return True

    # --- turns ---

    def _begin_turn(self, turn: int) -> None:
        if self._open not in (None, turn):
            # It was neither committed nor discarded: nothing of what follows would be understood before it.
            self._discard(self._open)
        self._open = turn

    def _commit(self, turn: int) -> None:
        if self._open == turn or turn == self._ended:
            self._open = None
            if turn not in self._unread:
                self._unread.add(turn)
                self._ear.commit(turn)
        elif turn not in self._unread:
            self._settle(turn, "silent")

    def _discard(self, turn: int | None) -> None:
        if turn is not None and turn in (self._open, self._ended):
            self._open = None
            self._drop_draft()
            self._ear.discard(turn)

    def _typed(self, turn: int, text: str) -> None:
        text = text.strip()
        if not text:
            self._settle(turn, "silent")
            return
        self._outbox.tell(UserHeard(turn, text, final=True))
        self._said(turn, text)

    def _understood(self, event: TranscriptEvent) -> None:
        match event:
            case Transcript():
                self._transcript(event.turn, event.text.strip(), final=event.final)
            case EagerEnd():
                self._prepare(event.turn, event.text.strip())
            case TurnResumed():
                self._drop_draft()
            case Ended():
                # Its final transcript came before: it is being answered.
                self._ended = event.turn
                if self._open == event.turn:
                    self._open = None
                self._outbox.tell(TurnEnded(event.turn))
            case Spent():
                self._outbox.tell(ProviderUsage(event.seconds, 0.0, "seconds"))
        self._ask()

    def _transcript(self, turn: int, text: str, *, final: bool) -> None:
        before = self._texts.get(turn, "")
        whole = text if text.startswith(before) else f"{before} {text}".strip()
        if turn == self._ended and whole != before:
            # The service took a pause for the end: the person goes on, and the answer waits for the rest.
            self._open = turn
        if not final:
            self._outbox.tell(UserHeard(turn, whole, final=False))
            return
        self._unread.discard(turn)
        if before and whole == before:
            return
        if self._open == turn:
            self._open = None
        self._outbox.tell(UserHeard(turn, whole, final=True))
        if whole:
            self._said(turn, whole)
        else:
            self._settle(turn, "silent")

    def _said(self, turn: int, text: str) -> None:
        self._texts[turn] = text
        while len(self._texts) > REMEMBERED:
            self._texts.pop(next(iter(self._texts)))
        self._memory.user(text, turn)
        self._owed = turn if self._owed is None else max(self._owed, turn)
        self._steps = 0

    def _settle(self, turn: int, status: str) -> None:
        """An answer of which there is nothing."""
        name = self._next_name()
        self._outbox.add(ResponseStarted(name, turn))
        self._outbox.add(ResponseFinished(name, turn, status))

    # --- answers ---

    def _ask(self) -> None:
        """Begin an answer where one is owed, none is being made, and nobody is about to say more."""
        if self._thinking is not None or self._unread or self._open is not None or self._closed:
            return
        batches = self._batches.ready()
        if self._owed is None and not batches:
            return
        turn = max([*([] if self._owed is None else [self._owed]), *(batch.turn for batch in batches)])
        self._owed = None
        self._batches.told()
        self._steps += 1
        answer = Answer(self._mouth.begin(self._next_name(), turn), turn, self._memory, self)
        self._answers[answer.response] = answer
        self._thinking = answer
        answer.begin(self._drafted(turn) or self._mind.answer(self._prompt()), self._made)

    def _prompt(self, *more: Said) -> Prompt:
        tools = self._setup.tools if self._steps <= MOST_STEPS else ()
        return Prompt((*self._memory.items(), *more), self._setup.instructions, tools, self._setup.session)

    def _made(self, answer: Answer) -> None:
        """The model has ended, or failed; what it gave is still being spoken."""
        if self._thinking is answer:
            self._thinking = None
        if answer.broken_off:
            answer.utterance.end("cancelled")
        elif answer.fault is not None:
            self._failed(answer, answer.fault)
        else:
            self._failures = 0
            if answer.unspeakable:
                self.trouble(
                    "nothing_to_say", "an answer of the language model has nothing that can be spoken"
                )
            answer.utterance.end("silent" if answer.silent else "completed")
        if not self._closed:
            self._ask()

    def _failed(self, answer: Answer, fault: ApplianceError) -> None:
        self._failures += 1
        # Where something was said already, the turn is not told again for what is missing of one answer.
        helpless = answer.silent or self._failures > 1
        if not fault.retryable or (helpless and not self._setup.alone):
            # What no apology mends: the session's ladder has another rung, which answers this same turn.
            self._end(self._mind.give_up(fault))
            return
        answer.utterance.end("failed")

    def _spoken(self, utterance: Utterance) -> None:
        """Its last sound is given out. It may still be cut: what is remembered of it stays reachable by its name."""
        answer = self._answers.get(utterance.response)
        unspoken = utterance.skipped or utterance.status == "failed"
        if answer is not None and unspoken and utterance.status != "cancelled":
            self._memory.rewrite(utterance.response, " ".join(utterance.spoken))
        while len(self._answers) > REMEMBERED:
            self._answers.pop(next(iter(self._answers)))

    # --- barge-in and tools ---

    def _cancel(self, command: CancelResponse) -> None:
        """Of a response of ours, or of an item of the history: only what was heard is true of it."""
        self._memory.rewrite(command.response, command.heard)
        answer = self._answers.get(command.response)
        if answer is None:
            self.count("late_cancels")
            return
        self._batches.mute(command.response)
        self._break_off(answer)

    def _break_off(self, answer: Answer) -> None:
        answer.break_off()
        if answer in self._answers.values() and answer.utterance.status != "cancelled":
            answer.utterance.cancel()
        if self._thinking is answer:
            self._thinking = None

    def _result(self, command: ToolResult) -> None:
        batch = self._batches.answered(command.call_id, command.delivery)
        if batch is None:
            return
        told = {"error": command.error} if command.error else dict(command.result)
        self._memory.settle(command.call_id, json.dumps(told, default=str) if told else BROKEN)
        if command.delivery is Delivery.INTERRUPT and not batch.muted and self._thinking is not None:
            utterance = self._thinking.utterance
            self._memory.rewrite(utterance.response, " ".join(utterance.spoken))
            self._break_off(self._thinking)

    # --- an answer before its turn has ended ---

    def _prepare(self, turn: int, text: str) -> None:
        """The turn has probably ended: let the model begin. Nothing of it is told before the turn has."""
        self._drop_draft()
        if text and self._thinking is None and self._open == turn:
            prompt = self._prompt(Said("user", text))
            self._draft = Draft(turn, prompt.items, self._mind.answer(prompt))
            self.count("drafts")

    def _drafted(self, turn: int) -> AsyncGenerator[AnswerPart, None] | None:
        draft = self._draft
        if draft is None or not draft.serves(turn, self._memory.items()):
            self._drop_draft()
            return None
        self._draft = None
        self.count("drafts_used")
        return draft.parts()

    def _drop_draft(self) -> None:
        draft, self._draft = self._draft, None
        if draft is not None:
            draft.drop()

    # --- ends ---

    def _next_name(self) -> str:
        return f"{self._name}-r{next(self._numbers)}"

    def _end(self, fault: ApplianceError) -> None:
        self._outbox.close(fault)
