"""Each stage of a chain tried once, for `doctor`: a model that was never asked is not known to answer."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

from appliance.errors import ApplianceError, ProviderUnavailable
from appliance.providers.chain.stage_faults import blamed_on
from appliance.stages import Hearing, LanguageModel, Piece, Prompt, Said, SpeechToText, Stage, TextToSpeech

TRIAL_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True)
class Examined:
    """`stage` is its kind and name; without a `fault` it served, after `seconds`."""

    stage: str
    fault: ApplianceError | None
    seconds: float


async def examined(stages: Mapping[str, Sequence[Any]]) -> Sequence[Examined]:
    """All of them side by side, by kind: stt, llm, tts."""
    return await asyncio.gather(*(_tried(kind, stage) for kind, ladder in stages.items() for stage in ladder))


async def _tried(kind: str, stage: Stage) -> Examined:
    began = time.monotonic()
    fault: ApplianceError | None = None
    try:
        with blamed_on(stage.name):
            await _in_time(kind, stage)
    except ApplianceError as error:
        fault = error
    return Examined(f"{kind} {stage.name}", fault, time.monotonic() - began)


async def _in_time(kind: str, stage: Any) -> None:
    try:
        async with asyncio.timeout(TRIAL_SECONDS):
            await stage.warm()
            await _TRIALS[kind](stage)
    except TimeoutError as error:
        raise ProviderUnavailable(f"{stage.name}: no answer in {TRIAL_SECONDS:.0f} s") from error


async def _hears(stage: SpeechToText) -> None:
    transcription = await stage.connect(Hearing())
    await transcription.close()


async def _answers(stage: LanguageModel) -> None:
    await _begins(stage.answer(Prompt([Said("user", "Say yes.")])), f"{stage.name} answers nothing")


async def _speaks(stage: TextToSpeech) -> None:
    await _begins(stage.speak(Piece("Yes.")), f"{stage.name} speaks nothing")


async def _begins(parts: AsyncGenerator[Any, None], otherwise: str) -> None:
    async with aclosing(parts):
        if await anext(parts, None) is None:
            raise ProviderUnavailable(otherwise)


_TRIALS: Final[Mapping[str, Callable[[Any], Awaitable[None]]]] = {
    "stt": _hears,
    "llm": _answers,
    "tts": _speaks,
}
