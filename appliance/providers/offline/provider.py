"""The offline provider: listens with pocketsphinx, understands with the skills, speaks with espeak-ng."""

import asyncio
import functools
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from appliance.interfaces import Capabilities, Connection, Setup
from appliance.providers.offline.connection import OfflineConnection
from appliance.providers.offline.listening import Brain
from appliance.providers.offline.voice import PITCH, RATE, WORDS_A_MINUTE, EspeakVoice, espeak_voice

CONNECTIONS_KEPT: Final = 4
"""Sets of tools and contacts whose grammars are kept: in practice there is one an agent."""


class Settings(BaseModel):
    """The `[providers.offline]` section. What only a cloud provider needs is accepted and not used."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    voice: Annotated[str, AfterValidator(espeak_voice)] = "en-us"
    speed: int = Field(default=WORDS_A_MINUTE, ge=80, le=400)
    pitch: int = Field(default=PITCH, ge=0, le=99)
    language: str = ""
    model: Any = None
    api_key: Any = None
    base_url: Any = None


@dataclass(frozen=True, slots=True)
class _Key:
    functions: tuple[str, ...]
    contacts: tuple[str, ...]


class OfflineProvider:
    """Implements interfaces.Provider. Connections share the models and nothing else."""

    name = "offline"
    settings_model = Settings
    capabilities = Capabilities(input_rate=16_000, output_rate=RATE, paced=True, local=True)

    def __init__(self, settings: Mapping[str, Any]) -> None:
        chosen = Settings.model_validate(dict(settings)).model_dump()
        self._voice = EspeakVoice({key: chosen[key] for key in ("voice", "speed", "pitch")})
        # One thread: calls take turns at a decoder, a tenth of a second each, so that a second call costs
        # no second model.
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="offline")
        self._brains: dict[_Key, asyncio.Future[Brain]] = {}
        self._build: Callable[[Sequence[str], Sequence[str]], Brain] | None = None

    async def warm(self) -> None:
        """Nothing to fetch: the models are loaded when the first session starts, so that an idle appliance
        stays small."""

    async def connect(self, setup: Setup) -> Connection:
        """Return at once; the models load in a thread while the person begins to speak."""
        return OfflineConnection(setup, self._brain_for(setup), self._voice, self._work)

    async def close(self) -> None:
        self._worker.shutdown(wait=False, cancel_futures=True)

    def _brain_for(self, setup: Setup) -> asyncio.Future[Brain]:
        contacts = {name for tool in setup.tools for name in _contacts(tool.parameters)}
        key = _Key(tuple(sorted(tool.name for tool in setup.tools)), tuple(sorted(contacts)))
        known = self._brains.get(key)
        if known is not None and not (known.done() and (known.cancelled() or known.exception())):
            return known
        while len(self._brains) >= CONNECTIONS_KEPT:
            del self._brains[next(iter(self._brains))]
        loading: asyncio.Future[Brain] = asyncio.ensure_future(
            self._work(self._load, key.functions, key.contacts)
        )
        # Whoever awaits it sees the fault; a connection that never does must not leave it unheard.
        loading.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._brains[key] = loading
        return loading

    def _load(self, functions: Sequence[str], contacts: Sequence[str]) -> Brain:
        if self._build is None:
            from appliance.providers.offline.brain import Brains

            self._build = Brains().build
        return self._build(functions, contacts)

    def _work(self, function: Callable[..., Any], *arguments: Any) -> asyncio.Future[Any]:
        return asyncio.get_running_loop().run_in_executor(
            self._worker, functools.partial(function, *arguments)
        )


def _contacts(parameters: Mapping[str, Any]) -> Sequence[str]:
    """The names that a telephone tool declares as examples of whom to call."""
    examples = parameters.get("properties", {}).get("to", {}).get("examples", ())
    return [name for name in examples if isinstance(name, str)]
