"""One answer in the making: what the model gives becomes pieces of speech, calls, and what is remembered."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Final, Protocol

from appliance.errors import ApplianceError
from appliance.interfaces import ProviderEvent, ProviderUsage
from appliance.providers.chain.chunker import Chunker
from appliance.providers.chain.memory import Memory
from appliance.providers.chain.mouth import Utterance
from appliance.providers.chain.stage_faults import blamed_on
from appliance.stages import AnswerCall, AnswerCut, AnswerOdd, AnswerPart, AnswerText, AnswerUsage

LONGEST_ANSWER: Final = 16_000
"""Characters: about twenty minutes of speech. A model that does not end is cut off there."""
CLOSE_SECONDS: Final = 1.0


class AnswerOwner(Protocol):
    """The conversation, as an answer sees it."""

    def tell(self, event: ProviderEvent) -> None: ...

    def trouble(self, code: str, message: str) -> None: ...

    def called(self, answer: "Answer", call: AnswerCall) -> bool:
        """The model calls a tool; return whether that is news."""
        ...


class Answer:
    """One response under way: `begin` once. It belongs to the loop's thread."""

    def __init__(self, utterance: Utterance, turn: int, memory: Memory, owner: AnswerOwner) -> None:
        self.utterance = utterance
        self.turn = turn
        self.fault: ApplianceError | None = None
        """Why it could not be made."""
        self._memory = memory
        self._owner = owner
        self._written = 0
        """Characters that the model wrote, which are in memory since."""
        self._says = False
        self._called = False
        self._chunker = Chunker()
        self._task: asyncio.Task[None] | None = None

    @property
    def response(self) -> str:
        return self.utterance.response

    @property
    def silent(self) -> bool:
        """Nothing came of it that is done, or can be spoken."""
        return not (self._called or self.utterance.gave)

    @property
    def unspeakable(self) -> bool:
        """It has a text, of which nothing can be spoken."""
        return self.silent and self._says

    @property
    def broken_off(self) -> bool:
        """No more of it is wanted."""
        return self.utterance.status == "cancelled" or (self._task is not None and self._task.cancelled())

    def begin(self, parts: AsyncGenerator[AnswerPart, None], made: Callable[["Answer"], None]) -> None:
        """Make it from `parts`; `made` is called when no more comes of them, also when it was broken off."""
        self._task = asyncio.get_running_loop().create_task(
            self._work(parts), name=f"chain answer {self.turn}"
        )
        self._task.add_done_callback(lambda _: made(self))

    def break_off(self) -> "asyncio.Task[None] | None":
        """Ask for no more of it. Return what ends soon, where that is to be waited for."""
        if self._task is not None:
            self._task.cancel()
        return self._task

    # --- inside ---

    async def _work(self, parts: AsyncGenerator[AnswerPart, None]) -> None:
        try:
            with blamed_on("the chain"):
                await self._make(parts)
        except ApplianceError as fault:
            self.fault = fault

    async def _make(self, parts: AsyncGenerator[AnswerPart, None]) -> None:
        loop, chunker = asyncio.get_running_loop(), self._chunker
        waiting: asyncio.Future[AnswerPart] | None = None
        try:
            while True:
                waiting = waiting or asyncio.ensure_future(_next(parts))
                due = chunker.due()
                within = None if due is None else max(0.0, due - loop.time())
                await asyncio.wait({waiting}, timeout=within)
                if not waiting.done():
                    self._speak(chunker.overdue(loop.time()))
                    continue
                part, waiting = waiting, None
                try:
                    if not self._take(part.result(), loop.time()):
                        break
                except _NoMore:
                    break
            self._speak(chunker.finish())
        finally:
            await _end(parts, waiting)

    def _take(self, part: AnswerPart, now: float) -> bool:
        """What the model gives next; False when that is enough."""
        match part:
            case AnswerText():
                return self._text(part.text, now)
            case AnswerCall():
                self._speak(self._chunker.finish())
                self._called |= self._owner.called(self, part)
            case AnswerUsage():
                self._owner.tell(ProviderUsage(part.input, part.output, "tokens"))
            case AnswerCut():
                self._owner.trouble("answer_cut", f"the language model broke its answer off ({part.reason})")
            case AnswerOdd():
                self._owner.trouble(part.code, part.message)
        return True

    def _text(self, text: str, now: float) -> bool:
        text = text[: LONGEST_ANSWER - self._written]
        self._written += len(text)
        self._says |= bool(text.strip())
        self._memory.assistant(self.response, text)
        self._speak(self._chunker.add(text, now))
        if self._written < LONGEST_ANSWER:
            return True
        self._owner.trouble("answer_too_long", "the language model did not end its answer")
        return False

    def _speak(self, pieces: Sequence[str]) -> None:
        for piece in pieces:
            self.utterance.say(piece)


class _NoMore(Exception):
    """The parts are at their end: a future cannot hold StopAsyncIteration."""


async def _next(parts: AsyncGenerator[AnswerPart]) -> AnswerPart:
    try:
        return await anext(parts)
    except StopAsyncIteration:
        raise _NoMore from None


async def _end(parts: AsyncGenerator[AnswerPart], waiting: "asyncio.Future[AnswerPart] | None") -> None:
    """At most CLOSE_SECONDS: a request that was cancelled ends by itself, and is not waited for any longer."""
    if waiting is not None:
        waiting.cancel()
        done, _ = await asyncio.wait({waiting}, timeout=CLOSE_SECONDS)
        if not done:
            return
    await parts.aclose()
