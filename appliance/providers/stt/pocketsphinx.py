"""Speech to text on the device, without a network: pocketsphinx with its own model of everyday English.

What it is good for: short English sentences of few speakers close to the microphone, as the last rung of a chain whose
language model is within reach (on the own network, say) when the cloud's ears are not. One word in five to ten is
wrong, names and noise are hopeless, and it tells nothing before the end of a turn. For commands without any language
model the provider `offline` understands more. It takes 90 MB, and a quarter of an x86 core while somebody speaks.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict

from appliance.config.services import read
from appliance.errors import ApplianceError, DriverMissing, SetupRejected
from appliance.feed import Feed
from appliance.preparation import Preparation
from appliance.providers.stt.one_shot import RATE, SILENT_RMS
from appliance.stages import Hearing, Transcript, TranscriptEvent, Transcription

TURN_SECONDS: Final = 60.0
STEP_BYTES: Final = RATE // 10 * 2
"""Decoded in one go."""
KEPT_DECODERS: Final = 1
_PIECE: Final = RATE // 100 * 2
"""pocketsphinx keeps the interpreter's lock while it works on a piece: more of it would disturb playing audio."""
_SEARCH: Final[Mapping[str, Any]] = {"fwdflat": False, "maxhmmpf": 5_000}
"""Three quarters of the work of the defaults, a quarter of their wait at the end of a turn, and the same words."""
Result = TypeVar("Result")


class Settings(BaseModel):
    """Of `[providers.pocketsphinx]`: there is nothing to set."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PocketsphinxTranscription:
    """Implements stages.SpeechToText. Group `appliance.stt`."""

    name = "pocketsphinx"
    settings_model: ClassVar[type[BaseModel]] = Settings
    shared_keys: ClassVar[frozenset[str]] = frozenset()
    local: ClassVar[bool] = True

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Raise ConfigurationInvalid for keys that there are not."""
        read(Settings, "providers.pocketsphinx", settings)
        self._engine = Preparation(_Engine, "pocketsphinx import")
        self.rate = RATE
        self.server_turns = False

    async def warm(self) -> None:
        """Load the model in a thread. Raise DriverMissing without the library."""
        await self._engine.ready()

    async def connect(self, hearing: Hearing) -> Transcription:
        if hearing.language.partition("-")[0].lower() not in {"", "en"}:
            raise SetupRejected("pocketsphinx understands English alone", hint="set another stt, or language")
        return SphinxTranscription(await self._engine.ready())

    async def close(self) -> None:
        engine = await self._engine.taken_back()
        if engine is not None:
            engine.close()


class _Engine:
    """The library, its decoders, and the one thread in which all of them work."""

    def __init__(self) -> None:
        """Raise DriverMissing without the library. It blocks."""
        try:
            import pocketsphinx
        except ImportError as fault:
            raise DriverMissing(
                "speech recognition needs pocketsphinx", hint="pip install pocketsphinx"
            ) from fault
        self._library: Any = pocketsphinx
        self._free = [self._decoder()]
        self.mean = str(self._free[0].get_cmn(False))
        """What the library takes for the mean of a voice and a line that it has not heard."""
        self._worker = ThreadPoolExecutor(1, "pocketsphinx")

    async def run(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """In the thread, after what was asked before. Cancelled, it is not begun, or comes to its end unheard."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, work, *arguments)

    def leave(self, work: Callable[[], object]) -> None:
        """In the thread, without waiting for it."""
        self._worker.submit(work)

    def close(self) -> None:
        self._worker.shutdown(wait=False)

    def borrow(self) -> Any:
        return self._free.pop() if self._free else self._decoder()

    def give_back(self, decoder: Any) -> None:
        if len(self._free) < KEPT_DECODERS:
            self._free.append(decoder)

    def _decoder(self) -> Any:
        model = Path(self._library.__file__).parent / "model" / "en-us"
        return self._library.Decoder(
            hmm=str(model / "en-us"),
            lm=str(model / "en-us.lm.bin"),
            dict=str(model / "cmudict-en-us.dict"),
            loglevel="FATAL",
            **_SEARCH,
        )


@dataclass(slots=True)
class _Line:
    """What was learned of the voice and the line that a connection hears, in the library's own words."""

    mean: str


class _Utterance:
    """A turn in the decoder. All of it belongs to the engine's thread."""

    def __init__(self, engine: _Engine, line: _Line) -> None:
        self._engine = engine
        self._line = line
        self._decoder: Any = None
        self._loudest = 0.0

    def feed(self, pcm: bytes) -> None:
        if self._decoder is None:
            self._decoder = self._engine.borrow()
            self._decoder.set_cmn(self._line.mean)
            self._decoder.start_utt()
        samples = np.frombuffer(pcm, dtype="<i2").astype(np.float32)
        self._loudest = max(self._loudest, float(np.sqrt((samples * samples).mean())))
        for at in range(0, len(pcm), _PIECE):
            self._decoder.process_raw(pcm[at : at + _PIECE], False, False)

    def end(self) -> str:
        """What was said; the decoder is free again."""
        decoder, self._decoder = self._decoder, None
        if decoder is None:
            return ""
        decoder.end_utt()
        found = decoder.hyp()
        self._line.mean = str(decoder.get_cmn(True))
        self._engine.give_back(decoder)
        return found.hypstr if found is not None and self._loudest > SILENT_RMS else ""


class SphinxTranscription:
    """Implements stages.Transcription."""

    def __init__(self, engine: _Engine) -> None:
        self._engine = engine
        self._line = _Line(engine.mean)
        self._utterance = _Utterance(engine, self._line)
        self._queue: deque[tuple[int, bytes | None]] = deque()
        """Sound of a turn; None: the turn's end."""
        self._queued = 0
        self._turn: int | None = None
        """Whose sound is in the decoder."""
        self._done: deque[int] = deque(maxlen=64)
        self._work = asyncio.Event()
        self._feed: Feed[TranscriptEvent] = Feed("pocketsphinx")
        self._counts: Counter[str] = Counter()
        self._worker = asyncio.get_running_loop().create_task(self._run(), name="pocketsphinx")
        self._worker.add_done_callback(self._ended)

    def counters(self) -> Mapping[str, int]:
        """What was dropped, by its name."""
        return dict(self._counts)

    async def hear(self, turn: int, pcm: bytes) -> None:
        self._feed.check()
        if turn in self._done:
            self._counts["late_audio"] += 1
            return
        whole = pcm[: len(pcm) // 2 * 2]
        if whole:
            self._queue.append((turn, whole))
            self._queued += len(whole)
        while self._queued > TURN_SECONDS * RATE * 2:
            self._drop_oldest()
        self._work.set()

    async def commit(self, turn: int) -> None:
        self._feed.check()
        if turn not in self._done:
            self._done.append(turn)
            self._queue.append((turn, None))
            self._work.set()

    async def discard(self, turn: int) -> None:
        self._feed.check()
        self._done.append(turn)
        self._queue = deque(entry for entry in self._queue if entry[0] != turn)
        self._queued = sum(len(pcm or b"") for _, pcm in self._queue)
        self._feed.keep(lambda event: getattr(event, "turn", None) != turn)
        if self._turn == turn:
            self._abandon()

    def __aiter__(self) -> AsyncIterator[TranscriptEvent]:
        return aiter(self._feed)

    async def close(self) -> None:
        if not self._feed.close():
            return
        self._end(None)
        await asyncio.wait({self._worker}, timeout=1.0)

    # --- inside ---

    async def _run(self) -> None:
        while True:
            if not self._queue:
                self._work.clear()
                await self._work.wait()
                continue
            turn, pcm = self._queue.popleft()
            if self._turn not in (None, turn):
                self._abandon()
            self._turn = turn
            utterance = self._utterance
            if pcm is not None:
                await self._engine.run(utterance.feed, self._joined(turn, pcm))
                continue
            text = await self._engine.run(utterance.end)
            if self._utterance is utterance:
                self._turn, self._utterance = None, _Utterance(self._engine, self._line)
                self._feed.add(Transcript(turn, " ".join(text.split()), final=True))

    def _joined(self, turn: int, pcm: bytes) -> bytes:
        """With more of the same turn, where it is there."""
        self._queued -= len(pcm)
        while self._queue and len(pcm) < STEP_BYTES:
            follows, more = self._queue[0]
            if follows != turn or more is None:
                break
            self._queue.popleft()
            self._queued -= len(more)
            pcm += more
        return pcm

    def _abandon(self) -> None:
        """What is in the decoder is of no interest any more."""
        self._engine.leave(self._utterance.end)
        self._turn, self._utterance = None, _Utterance(self._engine, self._line)

    def _drop_oldest(self) -> None:
        """The device is slower than the person: what it has not looked at for longest goes."""
        at = next(index for index, (_, pcm) in enumerate(self._queue) if pcm is not None)
        dropped = self._queue[at][1] or b""
        del self._queue[at]
        self._queued -= len(dropped)
        self._counts["dropped_ms"] += len(dropped) // 2 * 1000 // RATE

    def _ended(self, worker: asyncio.Task[None]) -> None:
        if fault := self._feed.fault_of(worker):
            self._end(fault)

    def _end(self, fault: ApplianceError | None) -> None:
        if not self._feed.end(fault):
            return
        self._worker.cancel()
        self._engine.leave(self._utterance.end)
