"""One conversation with the offline provider."""

import asyncio
import itertools
import logging
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Final

from appliance.errors import ApplianceError, ProviderUnavailable, kind_and_place
from appliance.frames import milliseconds_of
from appliance.interfaces import (
    CancelResponse,
    CommitTurn,
    DiscardTurn,
    HistoryItem,
    ProviderCommand,
    ProviderEvent,
    ResponseAudio,
    ResponseFinished,
    ResponseStarted,
    ResponseText,
    SendAudio,
    SendText,
    Setup,
    ToolCall,
    ToolResult,
    UserHeard,
)
from appliance.providers.offline.answers import Shown
from appliance.providers.offline.dialogue import Call, Dialogue, Say, Step
from appliance.providers.offline.listening import Brain, Ear, Work
from appliance.providers.offline.outbox import Outbox
from appliance.providers.offline.recogniser import Heard
from appliance.providers.offline.skills import Understood
from appliance.providers.offline.voice import EspeakVoice

UNDERSTAND_SECONDS: Final = 30.0
"""Loading the models is part of it, on the smallest device some seconds."""
TOOL_SECONDS: Final = 35.0
"""More than the runner allows a tool: it answers first."""
logger = logging.getLogger(__name__)


class OfflineConnection:
    """Implements interfaces.Connection. Belongs to the loop's thread."""

    def __init__(self, setup: Setup, brain: asyncio.Future[Brain], voice: EspeakVoice, work: Work) -> None:
        # A call's name is never that of an earlier connection's: a session would take it for the same call.
        self._name = f"{setup.session}-{secrets.token_hex(2)}"
        self._brain = brain
        self._voice = voice
        self._work = work
        self._ear = Ear(brain, work)
        self._outbox = Outbox()
        self._numbers = itertools.count(1)
        said = (
            item.text
            for item in reversed(setup.history)
            if isinstance(item, HistoryItem) and item.role == "assistant"
        )
        self._dialogue = Dialogue((), last=Say(next(said, "")))
        self._answering: asyncio.Task[None] | None = None
        self._response = ""
        self._results: dict[str, asyncio.Future[ToolResult]] = {}
        self._closed = False

    async def send(self, command: ProviderCommand) -> None:
        if self._closed:
            raise ProviderUnavailable("the offline conversation is closed")
        match command:
            case SendAudio():
                self._ear.hear(command.turn, command.frame.pcm, self._dialogue.reply_to)
            case CommitTurn():
                self._answer(command.turn, None)
            case DiscardTurn():
                self._ear.forget(command.turn)
            case SendText():
                self._answer(command.turn, command.text)
            case CancelResponse():
                if command.response == self._response:
                    self._stop()
                    self._outbox.withdraw(command.response)
            case ToolResult():
                waiting = self._results.pop(command.call_id, None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(command)

    async def __aiter__(self) -> AsyncIterator[ProviderEvent]:
        async for event in self._outbox.events():
            yield event

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._ear.close()
        self._outbox.close()
        task = self._stop()
        if task is not None:
            await asyncio.wait({task}, timeout=1.5)

    def counters(self) -> Mapping[str, int]:
        """Speech beyond the longest turn."""
        return {"dropped_ms": self._ear.dropped_ms}

    def _stop(self) -> asyncio.Task[None] | None:
        task, self._answering = self._answering, None
        if task is not None:
            task.cancel()
        return task

    def _answer(self, turn: int, typed: str | None) -> None:
        before = self._stop()
        # Asked now: what is said from here on belongs to the next turn.
        heard = self._ear.commit(turn, self._dialogue.reply_to) if typed is None else None
        answering = self._take_turn(turn, typed or "", heard, before)
        task = asyncio.get_running_loop().create_task(answering, name=f"offline turn {turn}")
        task.add_done_callback(lambda done: self._mishap(turn, done))
        self._answering = task

    def _mishap(self, turn: int, done: asyncio.Task[None]) -> None:
        """A bug of ours must not leave the person waiting for an answer."""
        fault = None if done.cancelled() else done.exception()
        if fault is not None:
            logger.error("offline turn failed: %s", kind_and_place(fault))
            self._finish(turn, "failed")

    async def _take_turn(
        self, turn: int, typed: str, heard: asyncio.Task[Heard] | None, before: asyncio.Task[None] | None
    ) -> None:
        if before is not None:
            await asyncio.wait({before}, timeout=2.0)
        try:
            async with asyncio.timeout(UNDERSTAND_SECONDS):
                step = await (self._read(turn, typed) if heard is None else self._listen(turn, heard))
            if isinstance(step, Call):
                step = await self._call(turn, step)
            await self._say(turn, step)
        except (ApplianceError, TimeoutError) as fault:
            logger.warning("offline turn failed: %s", fault)
            self._finish(turn, "failed")

    async def _read(self, turn: int, text: str) -> Step:
        await self._outbox.put(UserHeard(turn, text, final=True))
        return self._dialogue.take(await self._parse(text), clear=True)

    async def _listen(self, turn: int, heard: asyncio.Task[Heard]) -> Step:
        words = await asyncio.shield(heard)
        await self._outbox.put(UserHeard(turn, words.text, final=True))
        if not words.text and not words.speech:
            return Say()
        return self._dialogue.take(await self._parse(words.text), clear=words.clear)

    async def _parse(self, text: str) -> Understood | None:
        brain = await asyncio.shield(self._brain)
        self._dialogue.offered = brain.offered
        understood: Understood | None = await self._work(brain.parse, text, self._dialogue.reply_to)
        return understood

    async def _call(self, turn: int, call: Call) -> Say:
        call_id = f"{self._name}-call-{next(self._numbers)}"
        waiting: asyncio.Future[ToolResult] = asyncio.get_running_loop().create_future()
        self._results[call_id] = waiting
        try:
            await self._outbox.put(ToolCall(call_id, call.function, call.arguments, turn))
            async with asyncio.timeout(TOOL_SECONDS):
                result = await waiting
        finally:
            self._results.pop(call_id, None)
        return self._dialogue.answer(call, result.result, result.error)

    async def _say(self, turn: int, say: Say) -> None:
        if not say.text:
            self._finish(turn, "silent")
            return
        response = self._begin(turn)
        status = "cancelled"
        said_ms = 0.0
        try:
            shown = Shown(say.text, say.aloud)
            async with aclosing(self._voice.speak(say.aloud or say.text)) as pieces:
                async for piece in pieces:
                    if text := shown.of(piece.text):
                        await self._outbox.put(ResponseText(response, f"{text} ", said_ms))
                    await self._outbox.put(ResponseAudio(response, piece.pcm, piece.rate))
                    said_ms += milliseconds_of(piece.pcm, piece.rate)
            if text := shown.rest():
                await self._outbox.put(ResponseText(response, f"{text} ", said_ms))
            status = "completed"
        except ApplianceError as fault:
            logger.warning("the voice failed: %s", fault.message)
            status = "failed"
        finally:
            self._end(response, turn, status)

    def _begin(self, turn: int) -> str:
        self._response = f"{self._name}-{next(self._numbers)}"
        self._outbox.add(ResponseStarted(self._response, turn))
        return self._response

    def _finish(self, turn: int, status: str) -> None:
        self._end(self._begin(turn), turn, status)

    def _end(self, response: str, turn: int, status: str) -> None:
        """Never waits: it is also the last thing that a cancelled answer does."""
        if status == "cancelled":
            self._outbox.withdraw(response)
        self._outbox.add(ResponseFinished(response, turn, status))
