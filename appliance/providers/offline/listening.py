"""The hearing of one conversation: gathers a turn's sound, and has it recognised as soon as the speaker pauses.

The session waits out the hangover before it commits a turn; by then the words are there.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from appliance.frames import WORKING_RATE, milliseconds_of
from appliance.providers.offline.conditioning import PauseWatch
from appliance.providers.offline.recogniser import NOTHING, Heard
from appliance.providers.offline.skills import Intent, Understood

LONGEST_SECONDS: Final = 20
"""Of speech a turn: no command is longer, and recognition takes memory and time in proportion."""
PAUSE_MS: Final = 240


class Brain(Protocol):
    """What understands, for one set of tools. Its methods block: they belong to the provider's worker thread."""

    @property
    def offered(self) -> Sequence[Intent]: ...

    def hear(self, pcm: bytes, reply_to: str, cancelled: Callable[[], bool]) -> Heard: ...

    def parse(self, text: str, reply_to: str) -> Understood | None: ...


Work = Callable[..., asyncio.Future[Any]]
"""Runs a function with arguments in the provider's worker thread."""


@dataclass(slots=True)
class _Speech:
    turn: int
    pcm: bytearray = field(default_factory=bytearray)
    watch: PauseWatch = field(default_factory=PauseWatch)
    guess: asyncio.Task[Heard] | None = None
    outdated: threading.Event = field(default_factory=threading.Event)
    """The guess under way is of no use any more."""


class Ear:
    """Belongs to the loop's thread."""

    def __init__(self, brain: asyncio.Future[Brain], work: Work) -> None:
        self.dropped_ms = 0
        self._brain = brain
        self._work = work
        self._speech: _Speech | None = None

    def hear(self, turn: int, pcm: bytes, reply_to: str) -> None:
        """Take 20 ms of `turn`; `reply_to` is the kind of reply that is awaited."""
        speech = self._speech
        if speech is None or speech.turn != turn:
            self.close()
            speech = self._speech = _Speech(turn)
        if len(speech.pcm) >= LONGEST_SECONDS * WORKING_RATE * 2:
            self.dropped_ms += round(milliseconds_of(pcm, WORKING_RATE))
            return
        speech.pcm += pcm
        speech.watch.hear(pcm)
        if speech.watch.pausing(PAUSE_MS):
            self._guess(speech, reply_to)

    def commit(self, turn: int, reply_to: str) -> asyncio.Task[Heard]:
        """What was said in `turn`, as soon as it is known."""
        speech, self._speech = self._speech, None
        if speech is None or speech.turn != turn:
            return asyncio.get_running_loop().create_task(_nothing())
        if speech.guess is None or speech.watch.fresh:
            return self._guess(speech, reply_to)
        return speech.guess

    def forget(self, turn: int) -> None:
        """What was said in `turn` does not count."""
        if self._speech is not None and self._speech.turn == turn:
            self.close()

    def close(self) -> None:
        speech, self._speech = self._speech, None
        if speech is not None:
            speech.outdated.set()

    def _guess(self, speech: _Speech, reply_to: str) -> asyncio.Task[Heard]:
        speech.outdated.set()
        speech.outdated = threading.Event()
        speech.watch.settle()
        recognising = self._recognise(bytes(speech.pcm), reply_to, speech.outdated)
        speech.guess = asyncio.get_running_loop().create_task(recognising)
        # A guess that nobody commits must not leave its fault unheard.
        speech.guess.add_done_callback(lambda done: done.cancelled() or done.exception())
        return speech.guess

    async def _recognise(self, pcm: bytes, reply_to: str, outdated: threading.Event) -> Heard:
        brain = await asyncio.shield(self._brain)
        heard: Heard = await self._work(brain.hear, pcm, reply_to, outdated.is_set)
        return heard


async def _nothing() -> Heard:
    return NOTHING
