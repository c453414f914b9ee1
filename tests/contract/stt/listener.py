"""Who listens to a speech-to-text stage, and keeps all that it tells."""

import asyncio
from collections.abc import Callable

from appliance.errors import ApplianceError
from appliance.stages import Transcript, TranscriptEvent, Transcription
from tests.rig.coded_speech import frames

SECONDS = 20.0
"""Nothing takes a tenth of that."""


class Listener:
    """Holds one transcription, and keeps all that it tells."""

    def __init__(self, transcription: Transcription, rate: int) -> None:
        self.transcription = transcription
        self.rate = rate
        self.events: list[TranscriptEvent] = []
        self.fault: ApplianceError | None = None
        self._came = asyncio.Event()
        self.reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            async for event in self.transcription:
                self.events.append(event)
                self._came.set()
        except ApplianceError as fault:
            self.fault = fault
        self._came.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(SECONDS):
            while not holds():
                self._came.clear()
                await self._came.wait()

    def transcripts(self, turn: int) -> list[Transcript]:
        return [one for one in self.events if isinstance(one, Transcript) and one.turn == turn]

    def finals(self, turn: int) -> list[str]:
        return [one.text for one in self.transcripts(turn) if one.final]

    async def final(self, turn: int) -> str:
        await self.until(lambda: bool(self.finals(turn)) or self.reader.done())
        assert self.finals(turn), f"no final transcript of turn {turn}"
        return plain(self.finals(turn)[-1])

    async def says(self, turn: int, pcm: bytes, *, milliseconds: int = 20, pace: float = 0.0) -> None:
        """`pace` seconds between the pieces."""
        for piece in frames(pcm, self.rate, milliseconds):
            await self.transcription.hear(turn, piece)
            await asyncio.sleep(pace)

    async def lost(self) -> ApplianceError | None:
        """Wait for the end of the iteration; the fault that it ended with."""
        async with asyncio.timeout(SECONDS):
            await asyncio.wait({self.reader})
        return self.fault

    async def close(self) -> None:
        async with asyncio.timeout(4.0):
            await self.transcription.close()
            await self.reader


def plain(text: str) -> str:
    """Without what services do to spelling."""
    return " ".join("".join(char for char in text.lower() if char.isalnum() or char == " ").split())
