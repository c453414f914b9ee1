"""The voice of one conversation: pieces of text are fetched side by side and spoken in order.

    Utterance.say(piece) -> slot -> fetched from a stage, at most `parallel` at a time, few ahead
    slots of the oldest utterance, in order -> Outbox (the session holds it back) -> session

A piece that fails is asked for once more, then from the next rung; one that nothing can speak is skipped, and a short
tone stands in its place, so that the person hears that something is missing.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from appliance.errors import ApplianceError, ProviderUnavailable
from appliance.frames import milliseconds_of
from appliance.interfaces import ResponseAudio, ResponseFinished, ResponseStarted, ResponseText, Setup
from appliance.providers.chain.outbox import Outbox
from appliance.providers.chain.remainder import remainder
from appliance.providers.chain.rungs import Rungs
from appliance.providers.chain.stage_faults import blamed_on, told_of
from appliance.stages import Piece, Sound, TextToSpeech, Word

SOUND_SECONDS: Final = 12.0
"""No stage may give no sound for so long; its own deadlines are shorter."""
AHEAD: Final = 3
"""Pieces that are fetched before the one that is being spoken is over."""
TRIES: Final = 2
LONGEST_PIECE_MS: Final = 10_000.0
LONGEST_CHARACTER_MS: Final = 1_000.0
"""A stage that never ends a piece is cut off after the first, and the second for each character: digits take long."""


@dataclass(slots=True, eq=False)
class _Slot:
    """One piece: what of it was fetched, and whether that is all."""

    piece: Piece
    sounds: deque[Sound] = field(default_factory=deque)
    timed: bool = False
    done: bool = False
    skipped: bool = False
    task: asyncio.Task[None] | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)


class Utterance:
    """One response on its way. After `end` nothing is added."""

    def __init__(self, mouth: "Mouth", response: str, turn: int) -> None:
        self.response = response
        self.turn = turn
        self.status = ""
        self.gave = False
        """There is something to say."""
        self.spoken: list[str] = []
        """The pieces that sounded, for what is remembered where one was skipped."""
        self.skipped = 0
        self.slots: deque[_Slot] = deque()
        self.news = asyncio.Event()
        self._mouth = mouth

    def say(self, text: str) -> None:
        """The next piece: plain text, as the chunker gives it."""
        self.slots.append(_Slot(self._mouth.piece(text)))
        self.gave = True
        self.news.set()
        self._mouth.fetch()

    def end(self, status: str) -> None:
        """No more comes."""
        self.status = self.status or status
        self.news.set()

    def cancel(self) -> None:
        self._mouth.cancel(self)


class Mouth:
    """Belongs to the loop's thread. `finished` is called for each utterance when its last sound is given."""

    def __init__(
        self,
        stages: Sequence[TextToSpeech],
        rungs: Rungs,
        outbox: Outbox,
        *,
        voice: str,
        language: str,
        rate: int,
        trouble: Callable[[str, str], None],
    ) -> None:
        self.finished: Callable[[Utterance], None] = lambda _: None
        self._stages = stages
        self._rungs = rungs
        self._outbox = outbox
        self._voice, self._language, self._rate = voice, language, rate
        self._trouble = trouble
        self._utterances: deque[Utterance] = deque()
        self._news = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run(), name="chain mouth")

    def begin(self, response: str, turn: int) -> Utterance:
        """The next utterance; it sounds when those before it are over."""
        utterance = Utterance(self, response, turn)
        self._utterances.append(utterance)
        self._news.set()
        return utterance

    def piece(self, text: str) -> Piece:
        return Piece(text, self._voice, self._language, self._rate)

    def cancel(self, utterance: Utterance) -> None:
        """Stop making it, at once; it ends as cancelled."""
        _drop(utterance.slots)
        utterance.slots.clear()
        utterance.status = "cancelled"
        utterance.news.set()
        self._outbox.withdraw(utterance.response)
        self.fetch()

    async def close(self) -> None:
        for utterance in self._utterances:
            _drop(utterance.slots)
            utterance.slots.clear()
        self._task.cancel()
        await asyncio.wait({self._task}, timeout=1.0)

    def fetch(self) -> None:
        """Begin to fetch what comes next, as far as that is allowed."""
        slots = [slot for utterance in self._utterances for slot in utterance.slots][:AHEAD]
        under_way = sum(1 for slot in slots if slot.task is not None and not slot.done)
        most = self._stages[self._rungs.order(self._now())[0]].parallel
        for slot in slots:
            if slot.task is None and under_way < max(1, most):
                under_way += 1
                slot.task = asyncio.get_running_loop().create_task(self._fetch(slot), name="chain piece")

    # --- inside ---

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    async def _fetch(self, slot: _Slot) -> None:
        try:
            await self._fetch_from_rungs(slot)
        finally:
            slot.done = True
            slot.news.set()
            self.fetch()

    async def _fetch_from_rungs(self, slot: _Slot) -> None:
        piece, got = slot.piece, _Got()
        for rung in self._rungs.order(self._now()):
            for attempt in range(TRIES):
                try:
                    with blamed_on(self._stages[rung].name):
                        await self._fetch_from(self._stages[rung], piece, slot, got)
                    self._rungs.worked(rung)
                    return
                except ApplianceError as fault:
                    self._trouble("tts_failed", told_of(self._stages[rung].name, fault))
                    piece = replace(slot.piece, text=remainder(slot.piece.text, got.ms, got.words))
                    if not piece.text:
                        return
                    if not fault.retryable or attempt == TRIES - 1:
                        self._rungs.failed(rung, fault, self._now())
                        break
        slot.skipped = True
        self._trouble("piece_skipped", "no voice could speak a part of the answer")
        slot.sounds.append(Sound(_tone(slot.piece.rate), slot.piece.rate))

    async def _fetch_from(self, stage: TextToSpeech, piece: Piece, slot: _Slot, got: "_Got") -> None:
        slot.timed = stage.timed
        base, repeated = got.ms, bool(got.words)
        longest_ms = LONGEST_PIECE_MS + LONGEST_CHARACTER_MS * len(slot.piece.text)
        sounded_at = self._now()
        async with aclosing(stage.speak(piece)) as sounds:
            while True:
                try:
                    async with asyncio.timeout_at(sounded_at + SOUND_SECONDS):
                        sound = await anext(sounds)
                except StopAsyncIteration:
                    return
                except TimeoutError:
                    raise ProviderUnavailable("the voice fell silent") from None
                fresh = sound.words[1:] if repeated else sound.words
                repeated = repeated and not sound.words
                words = tuple(Word(word.text, base + max(0.0, word.start_ms)) for word in fresh)
                pcm = sound.pcm[: len(sound.pcm) // 2 * 2]
                got.take(pcm, sound.rate, words)
                slot.sounds.append(Sound(pcm, sound.rate, words))
                slot.news.set()
                sounded_at = self._now() if pcm else sounded_at
                if got.ms > longest_ms:
                    self._trouble("piece_too_long", "a voice did not end a piece of the answer")
                    return

    async def _run(self) -> None:
        while True:
            while not self._utterances:
                self._news.clear()
                await self._news.wait()
            utterance = self._utterances[0]
            await self._speak(utterance)
            self._utterances.popleft()
            self._outbox.add(ResponseFinished(utterance.response, utterance.turn, utterance.status))
            self.finished(utterance)
            self.fetch()

    async def _speak(self, utterance: Utterance) -> None:
        self._outbox.add(ResponseStarted(utterance.response, utterance.turn))
        said_ms = 0.0
        while utterance.status != "cancelled":
            if utterance.slots:
                slot = utterance.slots[0]
                said_ms = await self._say(utterance, slot, said_ms)
                if utterance.slots and utterance.slots[0] is slot:
                    utterance.slots.popleft()
                self.fetch()
            elif utterance.status:
                return
            else:
                utterance.news.clear()
                await utterance.news.wait()

    async def _say(self, utterance: Utterance, slot: _Slot, from_ms: float) -> float:
        """Give out a piece; return where in the response its sound ends."""
        text = _Text(slot.piece.text)
        said_ms = from_ms
        first = True
        while utterance.status != "cancelled":
            if not slot.sounds:
                if slot.done:
                    break
                slot.news.clear()
                await slot.news.wait()
                continue
            sound = slot.sounds.popleft()
            if not slot.skipped:
                told = text.words(sound.words) if slot.timed else text.rest() if first else ()
                for words, at_ms in told:
                    await self._outbox.put(ResponseText(utterance.response, words, from_ms + at_ms))
                first = False
            if sound.pcm and utterance.status != "cancelled":
                await self._outbox.put(ResponseAudio(utterance.response, sound.pcm, sound.rate))
                said_ms += milliseconds_of(sound.pcm, sound.rate)
        if utterance.status == "cancelled":
            return said_ms
        if slot.skipped:
            utterance.skipped += 1
        elif not first:
            for words, _ in text.rest():
                await self._outbox.put(ResponseText(utterance.response, words, text.last_ms + from_ms))
            utterance.spoken.append(slot.piece.text)
        return said_ms


def mouth_for(
    setup: Setup, stages: Sequence[TextToSpeech], rungs: Rungs, usual_rate: int
) -> Callable[[Outbox, Callable[[str, str], None]], Mouth]:
    """How the conversation that was set up so makes its mouth; `usual_rate` where it asks for none."""
    return lambda outbox, trouble: Mouth(
        stages,
        rungs,
        outbox,
        voice=setup.voice,
        language=setup.language,
        rate=setup.rate or usual_rate,
        trouble=trouble,
    )


@dataclass(slots=True)
class _Got:
    """What of a piece a stage gave before it broke off."""

    ms: float = 0.0
    words: list[Word] = field(default_factory=list)

    def take(self, pcm: bytes, rate: int, words: Iterable[Word]) -> None:
        self.ms += milliseconds_of(pcm, rate)
        self.words += words


class _Text:
    """A piece's text as it is told, word by word or at once."""

    def __init__(self, text: str) -> None:
        self._left = text
        self.last_ms = 0.0

    def words(self, words: Sequence[Word]) -> list[tuple[str, float]]:
        """The piece's own text up to and with each word: services normalise what they repeat."""
        told = []
        for word in words:
            self.last_ms = max(self.last_ms, word.start_ms)
            blank = self._left.find(" ")
            token = self._left if blank < 0 else self._left[: blank + 1]
            if token:
                told.append((token if token.endswith(" ") else f"{token} ", self.last_ms))
                self._left = self._left[len(token) :]
        return told

    def rest(self) -> list[tuple[str, float]]:
        rest, self._left = self._left, ""
        return [(f"{rest} ", self.last_ms)] if rest else []


def _tone(rate: int) -> bytes:
    """Two short soft notes: something is missing here."""
    at = np.arange(round(rate * 0.09)) / rate
    envelope = np.sin(np.pi * at / 0.09)
    notes = [np.sin(2 * np.pi * hertz * at) * envelope for hertz in (620.0, 465.0)]
    return (np.concatenate(notes) * 3_000).astype("<i2").tobytes()


def _drop(slots: Iterable[_Slot]) -> None:
    for slot in slots:
        if slot.task is not None:
            slot.task.cancel()
        slot.done = True
        slot.news.set()
