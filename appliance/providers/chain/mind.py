"""The language models of a chain as one: a fault is tried again, and then the next model is asked."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Final

from appliance.errors import ApplianceError, ProviderUnavailable
from appliance.providers.chain.rungs import Rungs, verdict
from appliance.stages import AnswerPart, LanguageModel, Prompt

TRIES: Final = 2
"""Of one model for one answer, where a retry can mend it."""
PART_SECONDS: Final = 45.0
"""No model may say nothing for so long; its own deadlines are shorter."""


class Mind:
    """Of one connection; `rungs` is shared by all."""

    def __init__(
        self, models: Sequence[LanguageModel], rungs: Rungs, trouble: Callable[[str, str], None]
    ) -> None:
        self._models = models
        self._rungs = rungs
        self._trouble = trouble

    @property
    def doubtful(self) -> bool:
        """It was given up, by this conversation or another, and has not answered since."""
        return self._rungs.given_up is not None

    def give_up(self, fault: ApplianceError) -> None:
        """No connection is to be made with these models for a while: the next provider is better."""
        self._rungs.give_up(fault, asyncio.get_running_loop().time())

    async def answer(self, prompt: Prompt) -> AsyncGenerator[AnswerPart, None]:
        """As LanguageModel.answer; what it raises is the fault that speaks for all models.

        Nothing is tried again once a part was given: the person hears it already.
        """
        clock = asyncio.get_running_loop().time
        faults: list[ApplianceError] = []
        for rung in self._rungs.order(clock()):
            for attempt in range(TRIES):
                given = False
                try:
                    async with aclosing(self._models[rung].answer(prompt)) as parts:
                        async for part in _within(parts):
                            given = True
                            yield part
                    self._rungs.worked(rung)
                    return
                except ApplianceError as fault:
                    self._rungs.failed(rung, fault, clock())
                    if given:
                        raise
                    faults.append(fault)
                    self._trouble("llm_failed", f"{self._models[rung].name}: {fault.message}")
                    if not fault.retryable or attempt == TRIES - 1:
                        break
        raise verdict(faults or [ProviderUnavailable("the chain has no language model")])


async def _within(parts: AsyncGenerator[AnswerPart, None]) -> AsyncGenerator[AnswerPart, None]:
    while True:
        try:
            async with asyncio.timeout(PART_SECONDS):
                part = await anext(parts)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise ProviderUnavailable("the language model fell silent") from None
        yield part
