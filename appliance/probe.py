"""Whether a stage of a chain does its work: it is asked for something small, as `handset doctor` does."""

import asyncio
import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final

import numpy as np

from appliance.errors import ApplianceError, ProviderUnavailable
from appliance.stages import (
    AnswerText,
    Hearing,
    LanguageModel,
    Piece,
    Prompt,
    Said,
    SpeechToText,
    Stage,
    TextToSpeech,
    Transcript,
)

SECONDS: Final = 25.0
"""A language model on a small machine takes its time for the first word."""
LOADING_SECONDS: Final = 60.0
"""A library of a service, read from a slow card for the first time, takes half a minute."""
_CLOSE_SECONDS: Final = 2.0
_SOUND_SECONDS: Final = 0.6
_FRAME_SECONDS: Final = 0.02

Outcome = float | ApplianceError
"""Seconds until it had done what it was asked for, or why it did not."""


async def probe_all(
    stages: Sequence[tuple[str, Any, Mapping[str, Any]]], language: str, seconds: float = SECONDS
) -> list[Outcome]:
    """Of each kind, class and settings the outcome, in order; side by side, at most `seconds` each.

    None is asked before all are loaded: a library that loads holds up this process, and no answer is to be blamed.
    """
    probes = [_Probe(*each) for each in stages]
    try:
        await asyncio.gather(*(probe.warm() for probe in probes))
        await asyncio.gather(*(probe.ask(language, seconds) for probe in probes))
    finally:
        await asyncio.gather(*(probe.close() for probe in probes))
    return [probe.outcome for probe in probes]


class _Probe:
    """One stage; `outcome` holds once it was asked, or could not be."""

    def __init__(self, kind: str, factory: Any, settings: Mapping[str, Any]) -> None:
        self.outcome: Outcome = 0.0
        self._kind = kind
        self._factory = factory
        self._settings = settings
        self._stage: Stage | None = None

    async def warm(self) -> None:
        with self._judged(f"it does not load in {LOADING_SECONDS:.0f} s"):
            async with asyncio.timeout(LOADING_SECONDS):
                self._stage = self._factory(self._settings)
                await self._stage.warm()

    async def ask(self, language: str, seconds: float) -> None:
        if isinstance(self.outcome, ApplianceError):
            return
        loop = asyncio.get_running_loop()
        began = loop.time()
        with self._judged(f"no answer in {seconds:.0f} s"):
            async with asyncio.timeout(seconds):
                await _PROBES[self._kind](self._stage, language)
            self.outcome = loop.time() - began

    async def close(self) -> None:
        if self._stage is not None:
            with contextlib.suppress(ApplianceError, TimeoutError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await self._stage.close()

    @contextlib.contextmanager
    def _judged(self, late: str) -> Iterator[None]:
        try:
            yield
        except TimeoutError:
            self.outcome = ProviderUnavailable(late)
        except ApplianceError as fault:
            self.outcome = fault
        except Exception as fault:  # noqa: BLE001 - a bug of one stage must not take the other findings away
            self.outcome = ProviderUnavailable(
                f"it failed: {type(fault).__name__}", hint="please report this"
            )


async def _hear(stage: SpeechToText, language: str) -> None:
    """A hum, whose transcript may be anything or nothing: what counts is that there is one."""
    connection = await stage.connect(Hearing(language))
    try:
        for frame in _hum(stage.rate):
            await connection.hear(1, frame)
        await connection.commit(1)
        async for event in connection:
            if isinstance(event, Transcript) and event.final:
                return
        raise ProviderUnavailable("the connection ended before its transcript")
    finally:
        await connection.close()


async def _think(stage: LanguageModel, _: str) -> None:
    prompt = Prompt((Said("user", "Say hello."),), "Answer in one word.", user="doctor")
    async with aclosing(stage.answer(prompt)) as parts:
        async for part in parts:
            if isinstance(part, AnswerText):
                return
    raise ProviderUnavailable("it answers nothing", hint="look whether this model is made to talk")


async def _speak(stage: TextToSpeech, language: str) -> None:
    async with aclosing(stage.speak(Piece("One.", language=language))) as sounds:
        async for sound in sounds:
            if sound.pcm:
                return
    raise ProviderUnavailable("it gives no sound")


_PROBES: Final[Mapping[str, Any]] = {"stt": _hear, "llm": _think, "tts": _speak}


def _hum(rate: int) -> list[bytes]:
    """Loud enough not to be taken for silence, which some services are never sent."""
    at = np.arange(round(rate * _SOUND_SECONDS)) / rate
    pcm = (np.sin(2 * math.pi * 180.0 * at) * 6_000).astype("<i2").tobytes()
    size = round(rate * _FRAME_SECONDS) * 2
    return [pcm[start : start + size] for start in range(0, len(pcm), size)]
