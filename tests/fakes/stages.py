"""Stages of a chain without a service: they do as they are told, and write down what is wrong.

    stt.will_hear("what time is it")        # of the next turn
    stt.drop(); stt.refuse(times=2); stt.hang_in_final(); stt.refuse_with(CredentialsRejected("no"))
    llm.will_say("It is noon. ", "More."); llm.will_call("get_time", "{}"); llm.fail(ProviderUnavailable("busy"))
    tts.fail(ProviderUnavailable("busy"), after_ms=200); tts.stall()

Sound has one value a piece, `level_of(text)`, and lasts MS_PER_CHARACTER for each character.
"""

import asyncio
import zlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict

from appliance.errors import ApplianceError, ProviderUnavailable
from appliance.stages import (
    AnswerCall,
    AnswerPart,
    AnswerText,
    EagerEnd,
    Ended,
    Hearing,
    Piece,
    Prompt,
    Sound,
    Transcript,
    TranscriptEvent,
    TurnResumed,
    Word,
)

MS_PER_CHARACTER = 50


def level_of(text: str) -> int:
    return 1_000 + zlib.crc32(text.encode()) % 25_000


class NoSettings(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FakeStage:
    settings_model: ClassVar[type[BaseModel]] = NoSettings
    shared_keys: ClassVar[frozenset[str]] = frozenset()
    local: ClassVar[bool] = False

    def __init__(self, name: str) -> None:
        self.name = name
        self.warmed = 0
        self.closed = False

    async def warm(self) -> None:
        self.warmed += 1

    async def close(self) -> None:
        self.closed = True


# --- speech to text ---


@dataclass
class HeardTurn:
    turn: int
    pcm: bytearray = field(default_factory=bytearray)
    committed: bool = False
    discarded: bool = False


class FakeTranscription:
    def __init__(self, stage: "FakeSpeechToText", hearing: Hearing) -> None:
        self.hearing = hearing
        self.turns: dict[int, HeardTurn] = {}
        self._stage = stage
        self._events: asyncio.Queue[TranscriptEvent | ApplianceError | None] = asyncio.Queue()
        self.open = True

    async def hear(self, turn: int, pcm: bytes) -> None:
        self._alive()
        heard = self.turns.setdefault(turn, HeardTurn(turn))
        if heard.committed or heard.discarded:
            self._stage.violations.append(f"audio of turn {turn} after its end")
        if not 0 < len(pcm) <= 3_200 or len(pcm) % 640:
            self._stage.violations.append(f"{len(pcm)} bytes at once")
        heard.pcm += pcm

    async def commit(self, turn: int) -> None:
        self._alive()
        heard = self.turns.setdefault(turn, HeardTurn(turn))
        if heard.committed:
            self._stage.violations.append(f"turn {turn} is committed twice")
        heard.committed = True
        if self._stage.hangs:
            self._stage.hangs -= 1
            return
        text = self._stage.texts.popleft() if self._stage.texts and heard.pcm else ""
        asyncio.get_running_loop().call_later(
            self._stage.think, self.tell, Transcript(turn, text, final=True)
        )

    async def discard(self, turn: int) -> None:
        self._alive()
        self.turns.setdefault(turn, HeardTurn(turn)).discarded = True

    def end_turn(self, text: str) -> None:
        """Where it is to find the ends of turns: the turn that is being heard is over."""
        newest = next(reversed(self.turns.values()), None)
        if self.hearing.server_turns and newest and not newest.committed and not newest.discarded:
            self.tell(Transcript(newest.turn, text, final=True))
            self.tell(Ended(newest.turn))

    def tell(self, event: TranscriptEvent) -> None:
        if self.open:
            self._events.put_nowait(event)

    def cut(self, fault: ApplianceError | None = None) -> None:
        self.open = False
        self._events.put_nowait(fault)

    async def __aiter__(self) -> AsyncIterator[TranscriptEvent]:
        while (event := await self._events.get()) is not None:
            if isinstance(event, ApplianceError):
                raise event
            yield event

    async def close(self) -> None:
        self.open = False

    def _alive(self) -> None:
        if not self.open:
            raise ProviderUnavailable("it is gone")


class FakeSpeechToText(FakeStage):
    rate = 16_000
    server_turns = True

    def __init__(self, name: str = "stt") -> None:
        super().__init__(name)
        self.texts: deque[str] = deque()
        self.violations: list[str] = []
        self.connections: list[FakeTranscription] = []
        self.think = 0.05
        self.hangs = 0
        self._faults: deque[ApplianceError] = deque()
        self.down: ApplianceError | None = None

    def will_hear(self, *texts: str) -> None:
        self.texts.extend(texts)

    def refuse_with(self, *faults: ApplianceError) -> None:
        self._faults.extend(faults)

    def hang_in_final(self, times: int = 1) -> None:
        self.hangs += times

    def drop(self, fault: ApplianceError | None = None) -> None:
        self.connections[-1].cut(fault)

    def go_down(self, fault: ApplianceError | None = None) -> None:
        self.down = fault or ProviderUnavailable(f"{self.name} is down")
        if self.connections:
            self.drop()

    def come_up(self) -> None:
        self.down = None

    def eager(self, turn: int, text: str) -> None:
        self.connections[-1].tell(EagerEnd(turn, text))

    def resumed(self, turn: int) -> None:
        self.connections[-1].tell(TurnResumed(turn))

    async def connect(self, hearing: Hearing) -> FakeTranscription:
        await asyncio.sleep(0.02)
        if self._faults:
            raise self._faults.popleft()
        if self.down is not None:
            raise self.down
        self.connections.append(FakeTranscription(self, hearing))
        return self.connections[-1]


# --- language model ---


@dataclass
class _Plan:
    parts: tuple[AnswerPart | ApplianceError, ...]
    think: float = 0.1
    pause: float = 0.01
    endless: bool = False


class FakeLanguageModel(FakeStage):
    def __init__(self, name: str = "llm") -> None:
        super().__init__(name)
        self.prompts: list[Prompt] = []
        self.under_way = 0
        self.cancelled = 0
        self._script: deque[_Plan] = deque()

    def will_say(self, *texts: str, **how: Any) -> None:
        self._script.append(_Plan(tuple(AnswerText(text) for text in texts), **how))

    def will_call(self, tool: str, arguments: str = "{}", *, call_id: str = "c1", first: str = "") -> None:
        said = (AnswerText(first),) if first else ()
        self._script.append(_Plan((*said, AnswerCall(call_id, tool, arguments))))

    def will_give(self, *parts: AnswerPart | ApplianceError, **how: Any) -> None:
        self._script.append(_Plan(parts, **how))

    def fail(self, fault: ApplianceError, times: int = 1) -> None:
        self._script.extend([_Plan((fault,))] * times)

    async def answer(self, prompt: Prompt) -> AsyncGenerator[AnswerPart, None]:
        self.prompts.append(prompt)
        plan = self._script.popleft() if self._script else _unscripted(len(self.prompts))
        self.under_way += 1
        try:
            await asyncio.sleep(plan.think)
            for part in plan.parts:
                await asyncio.sleep(plan.pause)
                if isinstance(part, ApplianceError):
                    raise part
                yield part
            while plan.endless:
                await asyncio.sleep(plan.pause)
                yield AnswerText("and so on, and so forth. ")
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled += 1
            raise
        finally:
            self.under_way -= 1


def _unscripted(number: int) -> _Plan:
    return _Plan((AnswerText(f"This is answer number {number}."),))


# --- text to speech ---


@dataclass
class _Fate:
    fault: ApplianceError | None
    after_ms: float


class FakeTextToSpeech(FakeStage):
    def __init__(
        self, name: str = "tts", *, timed: bool = False, think: float = 0.05, parallel: int = 2
    ) -> None:
        super().__init__(name)
        self.parallel = parallel
        self.timed = timed
        self.pieces: list[Piece] = []
        self.most_at_once = 0
        self._at_once = 0
        self._think = think
        self._fates: deque[_Fate] = deque()

    def fail(self, *faults: ApplianceError, after_ms: float = 0.0) -> None:
        """The next pieces break off so."""
        self._fates.extend(_Fate(fault, after_ms) for fault in faults)

    def stall(self, after_ms: float = 0.0) -> None:
        self._fates.append(_Fate(None, after_ms))

    async def speak(self, piece: Piece) -> AsyncGenerator[Sound, None]:
        self.pieces.append(piece)
        fate = self._fates.popleft() if self._fates else None
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            await asyncio.sleep(self._think)
            end_ms = len(piece.text) * MS_PER_CHARACTER
            for at_ms in range(0, end_ms, 100):
                if fate is not None and at_ms >= fate.after_ms:
                    if fate.fault is not None:
                        raise fate.fault
                    await asyncio.Event().wait()
                yield self._sound(piece, at_ms, min(100, end_ms - at_ms))
        finally:
            self._at_once -= 1

    def _sound(self, piece: Piece, at_ms: int, ms: int) -> Sound:
        pcm = np.full(piece.rate * ms // 1000, level_of(piece.text), "<i2").tobytes()
        return Sound(pcm, piece.rate, self._words(piece.text, at_ms, at_ms + ms) if self.timed else ())

    def _words(self, text: str, from_ms: int, to_ms: int) -> tuple[Word, ...]:
        words, place = [], 0
        for word in text.split(" "):
            start = place * MS_PER_CHARACTER
            if from_ms <= start < to_ms:
                words.append(Word(word, float(start)))
            place += len(word) + 1
        return tuple(words)
