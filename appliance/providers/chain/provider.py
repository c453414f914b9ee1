"""A chain as a provider: its stages by name, shared by all its connections."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from appliance.config.services import read
from appliance.config.stages import KINDS
from appliance.errors import ApplianceError
from appliance.interfaces import Capabilities, Connection, Setup
from appliance.providers.chain.connection import ChainConnection
from appliance.providers.chain.ear import Ear
from appliance.providers.chain.memory import BOUND_CHARACTERS
from appliance.providers.chain.mind import Mind
from appliance.providers.chain.mouth import mouth_for
from appliance.providers.chain.rungs import Rungs
from appliance.providers.chain.stages import LAST_VOICE, load_stages, names_of, warm_first
from appliance.stages import Hearing, LanguageModel, SpeechToText, TextToSpeech

RATE: Final = 16_000
PARKED_SECONDS: Final = 5.0
"""An ear whose conversation is over waits so long for the same session's next connection."""


Ladder = Annotated[tuple[str, ...], BeforeValidator(names_of), Field(min_length=1)]
"""One stage, or several: the next is asked when those before it fail."""


class Settings(BaseModel):
    """`[providers.chain]`. Keys that begin with stt_, llm_ or tts_ go to the stages: see appliance.config.stages."""

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)

    stt: Ladder = ("deepgram",)
    llm: Ladder = ("openai",)
    tts: Ladder = ("cartesia",)
    turns: Literal["local", "server"] = "local"
    """Who ends a turn: the device, or the speech-to-text service where it can."""
    keywords: tuple[str, ...] = ()
    """Names and words that speech to text should know."""
    context_characters: Annotated[int, Field(ge=1_000, le=1_000_000)] = BOUND_CHARACTERS


class Chain:
    """Implements interfaces.Provider. Group `appliance.providers`, section `[providers.chain]`."""

    name = "chain"
    settings_model = Settings
    composed = True
    """Its factory is also given the tables of all providers: its stages have their keys there."""

    def __init__(
        self,
        settings: Mapping[str, Any],
        tables: Mapping[str, Mapping[str, Any]],
        *,
        load: Callable[..., Sequence[Any]] = load_stages,
    ) -> None:
        """Raise ConfigurationInvalid for what cannot be, UnknownName for a stage that there is not."""
        self._settings = read(Settings, "providers.chain", settings)
        voices = tuple(dict.fromkeys((*self._settings.tts, LAST_VOICE)))
        self._stt: Sequence[SpeechToText] = load("stt", self._settings.stt, settings, tables)
        self._llm: Sequence[LanguageModel] = load("llm", self._settings.llm, settings, tables)
        self._tts: Sequence[TextToSpeech] = load("tts", voices, settings, tables)
        self._rungs = {kind: Rungs(len(stages)) for kind, stages in self._all().items()}
        self._parked: dict[str, tuple[Ear, asyncio.Task[None]]] = {}
        self._endings: set[asyncio.Task[None]] = set()
        self.capabilities = Capabilities(
            input_rate=RATE,
            server_turns=self._settings.turns == "server" and all(stage.server_turns for stage in self._stt),
            truncate=True,
            restores_calls=True,
            paced=True,
            local=all(stage.local for stages in (self._stt, self._llm, self._tts[:-1]) for stage in stages),
        )

    def _all(self) -> Mapping[str, Sequence[Any]]:
        return dict(zip(KINDS, (self._stt, self._llm, self._tts), strict=True))

    async def warm(self) -> None:
        """The first rung of each kind that can be used now; the others when they are needed."""
        await asyncio.gather(*(warm_first(stages, self._rungs[kind]) for kind, stages in self._all().items()))

    async def connect(self, setup: Setup) -> Connection:
        now = asyncio.get_running_loop().time()
        for kind in ("llm", "tts"):
            if fault := self._rungs[kind].hopeless(now):
                raise fault
        ear = self._take_parked(setup) or await self._new_ear(setup)
        connection = ChainConnection(
            setup,
            ear,
            lambda trouble: Mind(self._llm, self._rungs["llm"], trouble, alone=setup.alone),
            mouth_for(setup, self._tts, self._rungs["tts"], self.capabilities.output_rate),
            context_characters=self._settings.context_characters,
            release=lambda ear: self._park(setup.session, ear),
        )
        if skipped := self._skipped(now):
            connection.goes_without(skipped)
        return connection

    def _skipped(self, now: float) -> dict[str, ApplianceError]:
        """Stages that are left out until they are installed or set up, and why."""
        return {
            f"{kind} {stages[rung].name}": fault
            for kind, stages in self._all().items()
            for rung, fault in self._rungs[kind].refusals(now)
        }

    async def close(self) -> None:
        parked, self._parked = self._parked, {}
        for ear, waiting in parked.values():
            waiting.cancel()
            await ear.close()
        if self._endings:
            await asyncio.wait(self._endings, timeout=2.0)
        stages = [stage for stages in self._all().values() for stage in stages]
        await asyncio.gather(*(stage.close() for stage in stages))

    def _hearing(self, setup: Setup) -> Hearing:
        server_turns = self.capabilities.server_turns and not setup.by_key
        return Hearing(setup.language, self._settings.keywords, server_turns)

    async def _new_ear(self, setup: Setup) -> Ear:
        ear = Ear(self._stt, self._rungs["stt"], self._hearing(setup), trouble=lambda *_: None)
        await ear.open()
        return ear

    def _take_parked(self, setup: Setup) -> Ear | None:
        """The ear of the session's connection before this one: a new agent listens with it."""
        ear, waiting = self._parked.pop(setup.session, (None, None))
        if ear is None or waiting is None:
            return None
        waiting.cancel()
        if ear.deaf or ear.hearing != self._hearing(setup):
            self._put_away(ear)
            return None
        return ear

    def _park(self, session: str, ear: Ear) -> None:
        ear.rest()
        if session in self._parked:
            self._put_away(ear)
            return
        waiting = asyncio.get_running_loop().create_task(self._close_later(session), name="chain parking")
        self._parked[session] = (ear, waiting)

    async def _close_later(self, session: str) -> None:
        await asyncio.sleep(PARKED_SECONDS)
        ear, _ = self._parked.pop(session)
        await ear.close()

    def _put_away(self, ear: Ear) -> None:
        task = asyncio.get_running_loop().create_task(ear.close(), name="chain ear's end")
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)
