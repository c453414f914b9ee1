"""A realtime provider with the ear or the voice of another, as OpenAI Realtime in text mode spoken by Cartesia.

`[providers.openai] output = "text"`, `tts = "cartesia"` and, or, `stt = "deepgram"`: what the person said is then
written down by that service. The model itself hears the sound in any case, and waits for no ear. When the ear cannot be
reached, the model's own transcripts are told.
"""

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from appliance.audio.resample import Resampler
from appliance.errors import ApplianceError, ConfigurationInvalid, ProviderUnavailable
from appliance.interfaces import (
    CancelResponse,
    CommitTurn,
    Connection,
    DiscardTurn,
    Provider,
    ProviderCommand,
    ProviderEvent,
    ResponseAudio,
    ResponseFinished,
    ResponseStarted,
    ResponseText,
    SendAudio,
    Setup,
    UserHeard,
)
from appliance.providers.chain.chunker import Chunker
from appliance.providers.chain.ear import Ear
from appliance.providers.chain.mouth import Mouth, Utterance, mouth_for
from appliance.providers.chain.outbox import Outbox
from appliance.providers.chain.rungs import Rungs
from appliance.providers.chain.stage_faults import blamed_on, stages_skipped
from appliance.providers.chain.stages import LAST_VOICE, load_stages, names_of, warm_first
from appliance.stages import Hearing, SpeechToText, Stage, TextToSpeech, Transcript, TranscriptEvent
from appliance.troubles import counted

EAR_RATE: Final = 16_000
EAR_FRAME_BYTES: Final = EAR_RATE // 50 * 2
REMEMBERED: Final = 32


class Accompanied:
    """Implements interfaces.Provider around another. Group `appliance.accompaniments`."""

    def __init__(
        self, inner: Provider, stt: Sequence[SpeechToText] = (), tts: Sequence[TextToSpeech] = ()
    ) -> None:
        self.name = inner.name
        self._inner = inner
        self._stt, self._tts = stt, tts
        self._rungs = {"stt": Rungs(len(stt)), "tts": Rungs(len(tts))}
        self.capabilities = replace(inner.capabilities, paced=bool(tts) or inner.capabilities.paced)

    async def warm(self) -> None:
        await asyncio.gather(self._inner.warm(), self._warm_ear(), warm_first(self._tts, self._rungs["tts"]))

    async def _warm_ear(self) -> None:
        """What fails here is told when the conversation begins, and costs no more than the transcripts of that ear."""
        with contextlib.suppress(ApplianceError):
            await warm_first(self._stt, self._rungs["stt"])

    async def connect(self, setup: Setup) -> Connection:
        connection = _AccompaniedConnection(await self._inner.connect(setup))
        if self._tts:
            connection.speak_with(
                mouth_for(setup, self._tts, self._rungs["tts"], self.capabilities.output_rate)
            )
        connection.begin()
        if self._stt:
            ear = Ear(self._stt, self._rungs["stt"], Hearing(setup.language), trouble=connection.trouble)
            connection.hear_with(ear, self.capabilities.input_rate, self._skipped)
        elif skipped := self._skipped():
            connection.goes_without(skipped)
        return connection

    async def close(self) -> None:
        stages: Sequence[Stage] = (*self._stt, *self._tts)
        await asyncio.gather(self._inner.close(), *(stage.close() for stage in stages))

    def _skipped(self) -> dict[str, ApplianceError]:
        now = asyncio.get_running_loop().time()
        ladders: Mapping[str, Sequence[Stage]] = {"stt": self._stt, "tts": self._tts}
        return {
            f"{kind} {stages[rung].name}": fault
            for kind, stages in ladders.items()
            for rung, fault in self._rungs[kind].refusals(now)
        }


def accompany(
    inner: Provider, section: Mapping[str, Any], tables: Mapping[str, Mapping[str, Any]]
) -> Accompanied:
    """Group `appliance.accompaniments`. `section` is the inner provider's table, `tables` are those of all.

    Raise ConfigurationInvalid for a voice too many or none, UnknownName for a stage that there is not.
    """
    ears, voices = names_of(section.get("stt")), names_of(section.get("tts"))
    writes = section.get("output") == "text"
    if voices and not writes:
        hint = "else two voices would speak"
        raise ConfigurationInvalid(f'providers.{inner.name}.tts needs output = "text"', hint=hint)
    if writes and not voices:
        hint = f'set tts, for example "{LAST_VOICE}"'
        raise ConfigurationInvalid(f"providers.{inner.name}: nothing speaks what it writes", hint=hint)
    chain = tables.get("chain", {})
    ladder = tuple(dict.fromkeys((*voices, LAST_VOICE))) if voices else ()
    return Accompanied(
        inner, load_stages("stt", ears, chain, tables), load_stages("tts", ladder, chain, tables)
    )


@dataclass(slots=True)
class _Saying:
    utterance: Utterance
    chunker: Chunker = field(default_factory=Chunker)
    timer: asyncio.TimerHandle | None = None


class _AccompaniedConnection:
    """Implements interfaces.Connection. Belongs to the loop's thread."""

    def __init__(self, inner: Connection) -> None:
        self._inner = inner
        self._ear: Ear | None = None
        """None also when it hears nothing any more."""
        self._deafened: Ear | None = None
        self._opening: asyncio.Task[None] | None = None
        self._understood: deque[int] = deque(maxlen=REMEMBERED)
        """The turns that the ear has given."""
        self._spare: dict[int, UserHeard] = {}
        """The model's own transcripts of those that it has not."""
        self._outbox = Outbox()
        self._mouth: Mouth | None = None
        self._sayings: dict[str, _Saying] = {}
        self._counts: Counter[str] = Counter()
        self._resampler: Resampler | None = None
        self._for_ear = b""
        self._reader: asyncio.Task[None] | None = None
        self._closed = False

    def speak_with(self, mouth: Callable[[Outbox, Callable[[str, str], None]], Mouth]) -> None:
        self._mouth = mouth(self._outbox, self.trouble)

    def hear_with(
        self, ear: Ear, input_rate: int, skipped: Callable[[], Mapping[str, ApplianceError]]
    ) -> None:
        """Open it beside the conversation: what is said meanwhile, it keeps."""
        ear.told, ear.lost = self._heard, self._deaf
        self._ear = ear
        self._resampler = Resampler(input_rate, EAR_RATE)
        self._opening = asyncio.get_running_loop().create_task(
            self._open(ear, skipped), name="chain ear dial"
        )

    def begin(self) -> None:
        self._reader = asyncio.get_running_loop().create_task(self._read(), name="chain accompanied")

    async def send(self, command: ProviderCommand) -> None:
        if self._ear is not None:
            self._let_hear(self._ear, command)
        if isinstance(command, CancelResponse) and (saying := self._sayings.pop(command.response, None)):
            _stop(saying)
            saying.utterance.cancel()
        await self._inner.send(command)

    async def __aiter__(self) -> AsyncIterator[ProviderEvent]:
        async for event in self._outbox.events():
            yield event

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._outbox.close()
        for saying in self._sayings.values():
            _stop(saying)
        for task in (self._reader, self._opening):
            if task is not None:
                task.cancel()
        ends = [self._inner.close()]
        ends += [self._mouth.close()] if self._mouth is not None else []
        ends += [ear.close() for ear in (self._ear, self._deafened) if ear is not None]
        await asyncio.gather(*ends)

    def counters(self) -> Mapping[str, int]:
        """Those of the inner connection, and what went wrong with ear and voice."""
        ear = self._ear.counters() if self._ear is not None else {}
        return {**self._inner.counters(), **self._counts, **ear}

    def trouble(self, code: str, message: str) -> None:
        """Count it, and tell it the first, second, fourth, eighth... time."""
        if told := counted(self._counts, code, message):
            self._outbox.tell(told)

    def goes_without(self, skipped: Mapping[str, ApplianceError]) -> None:
        """These stages are left out."""
        self._counts["stages_skipped"] += len(skipped)
        self._outbox.tell(stages_skipped(skipped))

    # --- the ear ---

    async def _open(self, ear: Ear, skipped: Callable[[], Mapping[str, ApplianceError]]) -> None:
        try:
            await ear.open()
        except ApplianceError as fault:
            self._deaf(fault)
        if left_out := skipped():
            self.goes_without(left_out)

    def _let_hear(self, ear: Ear, command: ProviderCommand) -> None:
        match command:
            case SendAudio() if self._resampler is not None:
                self._for_ear += self._resampler.process(command.frame.pcm)
                while len(self._for_ear) >= EAR_FRAME_BYTES:
                    ear.hear(command.turn, self._for_ear[:EAR_FRAME_BYTES])
                    self._for_ear = self._for_ear[EAR_FRAME_BYTES:]
            case CommitTurn():
                self._for_ear = b""
                ear.commit(command.turn)
            case DiscardTurn():
                self._for_ear = b""
                ear.discard(command.turn)

    def _heard(self, event: TranscriptEvent) -> None:
        if isinstance(event, Transcript):
            self._outbox.tell(UserHeard(event.turn, event.text.strip(), event.final))
            if event.final:
                self._understood.append(event.turn)
                self._spare.pop(event.turn, None)

    def _deaf(self, fault: ApplianceError) -> None:
        """The model hears on; its own transcripts are told, also of what the ear still owed."""
        self._deafened, self._ear = self._ear, None
        self.trouble("stt_lost", fault.message)
        for event in self._spare.values():
            self._outbox.tell(event)
        self._spare.clear()

    # --- the model ---

    async def _read(self) -> None:
        name = type(self._inner).__name__
        fault: ApplianceError = ProviderUnavailable(f"{name} ended")
        try:
            with blamed_on(name):
                async for event in self._inner:
                    self._take(event)
        except ApplianceError as error:
            fault = error
        self._outbox.close(fault)

    def _take(self, event: ProviderEvent) -> None:
        if isinstance(event, UserHeard) and self._ear is not None:
            self._keep(event)
            return
        if self._mouth is None:
            self._outbox.tell(event)
            return
        match event:
            case ResponseStarted():
                self._begin(self._mouth, event)
            case ResponseText():
                saying = self._sayings.get(event.response)
                if saying is not None:
                    self._say(saying, saying.chunker.add(event.text, self._now()))
            case ResponseAudio():
                self.trouble("unwanted_audio", "the model speaks, although it should write")
            case ResponseFinished():
                saying = self._sayings.get(event.response)
                if saying is not None:
                    _stop(saying)
                    self._say(saying, saying.chunker.finish())
                    _stop(saying)
                    saying.utterance.end(event.status)
            case _:
                self._outbox.tell(event)

    def _keep(self, event: UserHeard) -> None:
        """The ear's own words are told, unless it gives none."""
        if event.final and event.turn not in self._understood:
            self._spare[event.turn] = event
            while len(self._spare) > REMEMBERED:
                self._spare.pop(next(iter(self._spare)))

    def _begin(self, mouth: Mouth, event: ResponseStarted) -> None:
        self._sayings[event.response] = _Saying(mouth.begin(event.response, event.turn))
        while len(self._sayings) > REMEMBERED:
            self._sayings.pop(next(iter(self._sayings)))

    def _say(self, saying: _Saying, pieces: Sequence[str]) -> None:
        for piece in pieces:
            saying.utterance.say(piece)
        _stop(saying)
        due = saying.chunker.due()
        if due is not None:
            saying.timer = asyncio.get_running_loop().call_at(due, self._overdue, saying)

    def _overdue(self, saying: _Saying) -> None:
        self._say(saying, saying.chunker.overdue(self._now()))

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _stop(saying: _Saying) -> None:
    timer, saying.timer = saying.timer, None
    if timer is not None:
        timer.cancel()
