"""A voice for tests: 50 ms a character, each text at its own (negative) sample value."""

import asyncio
from collections.abc import AsyncIterator

import numpy as np

from appliance.errors import ApplianceError
from appliance.interfaces import Spoken

RATE = 16_000
MS_PER_CHARACTER = 50


class FakeVoice:
    """Satisfies interfaces.Voice: one piece a sentence, after 30 ms each."""

    def __init__(self) -> None:
        self.spoken: list[str] = []
        self.stopped = 0
        self.broken = False
        self.breaks_after = 0
        """The next text breaks off after so many sentences; 0: none does."""

    def level(self, text: str) -> int:
        """The sample value of what says `text`."""
        return -1000 - 10 * self.spoken.index(text)

    async def speak(self, text: str) -> AsyncIterator[Spoken]:
        if self.broken:
            raise ApplianceError("espeak-ng is gone")
        self.spoken.append(text)
        level = self.level(text)
        done = False
        breaks_after, self.breaks_after = self.breaks_after, 0
        try:
            for number, sentence in enumerate(text.replace(". ", ".|").split("|")):
                if breaks_after and number == breaks_after:
                    raise ApplianceError("espeak-ng was killed")
                await asyncio.sleep(0.03)
                samples = np.full(RATE * MS_PER_CHARACTER * len(sentence) // 1000, level, dtype="<i2")
                yield Spoken(sentence, samples.tobytes(), RATE)
            done = True
        finally:
            self.stopped += not done
