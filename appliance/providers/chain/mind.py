"""The language models of a chain as one: a fault is tried again, and then the next model is asked."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Final

from appliance.errors import ApplianceError, ProviderUnavailable
from appliance.providers.chain.rungs import Rungs, verdict
from appliance.providers.chain.stage_faults import blamed_on, told_of
from appliance.stages import AnswerOdd, AnswerPart, AnswerText, AnswerUsage, LanguageModel, Prompt, Said

TRIES: Final = 2
"""Of one model for one answer, where a retry can mend it."""
SLOW_SECONDS: Final = 5.0
"""A model that failed after so long is asked again only where there is nobody else: the person has waited enough."""
PART_SECONDS: Final = 45.0
"""No model may say nothing for so long; its own deadlines are shorter."""


class Mind:
    """Of one connection; `rungs` is shared by all."""

    def __init__(
        self,
        models: Sequence[LanguageModel],
        rungs: Rungs,
        trouble: Callable[[str, str], None],
        *,
        alone: bool = False,
    ) -> None:
        """`alone`: no other provider is there to go on with."""
        self._models = models
        self._rungs = rungs
        self._trouble = trouble
        self._alone = alone

    def give_up(self, fault: ApplianceError) -> ApplianceError:
        """No connection is to be made with these models for a while: the next provider is better. Return why."""
        return self._rungs.give_up(fault, asyncio.get_running_loop().time())

    async def answer(self, prompt: Prompt) -> AsyncGenerator[AnswerPart, None]:
        """As LanguageModel.answer; what it raises is the fault that speaks for all models.

        Nothing is tried again once something was given: the person hears it already. A model that has nothing to say
        to a person is asked again too; after a tool's result that may be its answer.
        """
        clock = asyncio.get_running_loop().time
        asked = bool(prompt.items) and isinstance(prompt.items[-1], Said)
        faults: list[ApplianceError] = []
        for rung in self._rungs.order(clock()):
            name = self._models[rung].name
            for attempt in range(TRIES):
                given, began = False, clock()
                try:
                    with blamed_on(name):
                        async with aclosing(self._models[rung].answer(prompt)) as parts:
                            async for part in _within(parts):
                                given = given or _is_something(part)
                                yield part
                    self._rungs.worked(rung)
                    if given or not asked:
                        return
                    self._trouble("empty_answer", f"{name} answered nothing")
                except ApplianceError as fault:
                    self._rungs.failed(rung, fault, clock())
                    if given:
                        raise
                    faults.append(fault)
                    self._trouble("llm_failed", told_of(name, fault))
                    slow = clock() - began >= SLOW_SECONDS and not self._alone
                    if not fault.retryable or slow or attempt == TRIES - 1:
                        break
        if faults or not self._models:
            raise verdict(faults or [ProviderUnavailable("the chain has no language model")])


def _is_something(part: AnswerPart) -> bool:
    """It is said or done, or tells why nothing is."""
    return not isinstance(part, AnswerUsage | AnswerOdd) and not (
        isinstance(part, AnswerText) and not part.text.strip()
    )


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
