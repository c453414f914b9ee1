"""An answer that is begun before the turn is known to have ended, and kept back until it is."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final

from appliance.errors import ApplianceError
from appliance.providers.chain.stage_faults import blamed_on
from appliance.stages import AnswerPart, Remembered

BOUND: Final = 2_000


class Draft:
    """Belongs to the loop's thread. Dropped or read once."""

    def __init__(
        self, turn: int, items: Sequence[Remembered], parts: AsyncGenerator[AnswerPart, None]
    ) -> None:
        self._turn = turn
        self._items = tuple(items)
        self._queue: asyncio.Queue[AnswerPart | ApplianceError | None] = asyncio.Queue(BOUND)
        self._task = asyncio.get_running_loop().create_task(self._pump(parts), name=f"chain draft {turn}")

    def serves(self, turn: int, items: Sequence[Remembered]) -> bool:
        """It answers exactly what is to be answered now."""
        return turn == self._turn and tuple(items) == self._items

    def drop(self) -> None:
        self._task.cancel()

    async def parts(self) -> AsyncGenerator[AnswerPart, None]:
        """What came of it so far, and what comes."""
        try:
            while (part := await self._queue.get()) is not None:
                if isinstance(part, ApplianceError):
                    raise part
                yield part
        finally:
            self.drop()

    async def _pump(self, parts: AsyncGenerator[AnswerPart, None]) -> None:
        try:
            with blamed_on("the draft"):
                async with aclosing(parts):
                    async for part in parts:
                        await self._queue.put(part)
            await self._queue.put(None)
        except ApplianceError as fault:
            await self._queue.put(fault)
