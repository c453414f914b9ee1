"""Deepgram as speech to text: `deepgram` (Nova, results and pauses) and `deepgram_flux` (turns found by what is said).

Both stand in `[providers.deepgram]`. The SDK makes addresses, headers and messages; its socket is the one of websockets
that can be told how soon a silent path is noticed.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, model_validator
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from appliance import link_faults
from appliance.config.services import ServiceSettings, read
from appliance.loading import library
from appliance.name_lookup import look_up
from appliance.preparation import Preparation
from appliance.providers.stt.deepgram_flux_turns import FluxDialogue
from appliance.providers.stt.deepgram_link import DeepgramTranscription, Link
from appliance.providers.stt.deepgram_nova import NovaDialogue
from appliance.providers.stt.deepgram_turns import Control, Dialogue
from appliance.stages import Hearing, Transcription

if TYPE_CHECKING:
    from deepgram import AsyncDeepgramClient

RATE: Final = 16_000
DIAL_SECONDS: Final = 10.0
HOST: Final = "api.deepgram.com"
VARIABLES: Final = ("DEEPGRAM_API_KEY",)
SOCKET: Final[Mapping[str, Any]] = {
    # A path that fell silent is noticed within the sum of the first three.
    "ping_interval": 0.5,
    "ping_timeout": 1.0,
    "close_timeout": 0.2,
    "open_timeout": DIAL_SECONDS,
    "max_queue": 256,
    "compression": None,
}
KEEP_ALIVE_SECONDS: Final = 4.0
"""The service hangs up after ten seconds without sound or word."""
KEYTERMS: Final = 50
KEYTERM_LENGTH: Final = 60


class NovaSettings(ServiceSettings):
    """The keys of `[providers.deepgram]` for `deepgram`."""

    model: str = "nova-3"
    language: str = ""
    """Empty: the conversation's; "multi" for several at once."""
    endpointing_ms: Annotated[int, Field(ge=10, le=10_000)] = 300
    """A pause of so long ends a turn, where the service ends turns."""
    utterance_end_ms: Annotated[int, Field(ge=1000, le=5000)] = 1000
    """The same for the gap between words, where noise hides the pause."""
    smart_format: bool = True
    mip_opt_out: bool = False
    """Nothing is kept for the training of models: it costs more."""


class FluxSettings(ServiceSettings):
    """The keys of `[providers.deepgram]` for `deepgram_flux`."""

    flux_model: str = ""
    """Empty: flux-general-en for English, flux-general-multi for all else."""
    language: str = ""
    eot_threshold: Annotated[float, Field(ge=0.5, le=1.0)] | None = None
    """How sure the service must be that a turn is over."""
    eager_eot_threshold: Annotated[float, Field(ge=0.3, le=0.9)] | None = None
    """How sure it must be to say so beforehand; without it, it says nothing beforehand."""
    eot_timeout_ms: Annotated[int, Field(ge=500, le=60_000)] | None = None
    mip_opt_out: bool = False

    @model_validator(mode="after")
    def _eager_is_earlier(self) -> Self:
        if self.eager_eot_threshold is not None and self.eager_eot_threshold > (self.eot_threshold or 0.7):
            raise ValueError("eager_eot_threshold must not be above eot_threshold")
        return self


class _Deepgram:
    """What both versions have in common. A client of the SDK is built once, however many wait for it."""

    name: ClassVar[str]
    section: ClassVar[str] = "deepgram"
    local: ClassVar[bool] = False
    rate = RATE
    server_turns = True

    def __init__(self, settings: ServiceSettings) -> None:
        self._service = settings
        self._client = Preparation(self._build, f"{self.name} import")

    async def warm(self) -> None:
        await self._client.ready()

    async def close(self) -> None:
        await self._client.taken_back()

    async def _connected(
        self,
        options: Callable[["AsyncDeepgramClient"], AbstractAsyncContextManager[Any]],
        begin: Callable[[Any, Callable[[], Awaitable[None]]], Awaitable[Transcription]],
    ) -> Transcription:
        """Dial with `options`, and `begin` over the SDK's connection. One deadline for both."""
        client = await self._client.ready()
        manager = options(client)
        try:
            async with asyncio.timeout(DIAL_SECONDS):
                await look_up(urlsplit(self._service.base_url).hostname or HOST)
                sdk = await manager.__aenter__()
                try:
                    return await begin(sdk, lambda: _leave(manager))
                except BaseException:
                    await asyncio.shield(_hang_up(manager))
                    raise
        except asyncio.CancelledError:
            raise
        except Exception as fault:
            raise link_faults.unreachable(self.name, self._service.host(HOST), fault) from fault

    def _build(self) -> "AsyncDeepgramClient":
        return _build(self._service.key("deepgram", VARIABLES), self._service.base_url)


class DeepgramNova(_Deepgram):
    """Implements stages.SpeechToText over `/v1/listen`. Group `appliance.stt`."""

    name = "deepgram"
    settings_model: ClassVar[type[BaseModel]] = NovaSettings
    shared_keys: ClassVar[frozenset[str]] = frozenset(NovaSettings.model_fields)

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Raise ConfigurationInvalid for keys that there are not, and values that cannot be."""
        self._settings = read(NovaSettings, "providers.deepgram", settings)
        super().__init__(self._settings)

    async def connect(self, hearing: Hearing) -> Transcription:
        async def begin(sdk: Any, leave: Callable[[], Awaitable[None]]) -> Transcription:
            controls = {
                Control.FINALIZE: sdk.send_finalize,
                Control.KEEP_ALIVE: sdk.send_keep_alive,
                Control.CLOSE_STREAM: sdk.send_close_stream,
            }
            dialogue = NovaDialogue(server_turns=hearing.server_turns)
            link = Link(_socket(sdk), sdk.send_media, controls, leave)
            return DeepgramTranscription(self.name, link, dialogue, RATE, keep_alive=KEEP_ALIVE_SECONDS)

        return await self._connected(lambda client: client.listen.v1.connect(**self.options(hearing)), begin)

    def options(self, hearing: Hearing) -> dict[str, Any]:
        """What is asked for. Without server turns pauses end nothing, so that a Finalize always has an answer."""
        settings = self._settings
        asked: dict[str, Any] = {
            "model": settings.model,
            "language": settings.language or hearing.language or "en",
            "encoding": "linear16",
            "sample_rate": str(RATE),
            "channels": "1",
            "interim_results": "true",
            "smart_format": _flag(settings.smart_format),
            "endpointing": str(settings.endpointing_ms) if hearing.server_turns else "false",
        }
        if hearing.server_turns:
            asked["utterance_end_ms"] = str(settings.utterance_end_ms)
        if settings.mip_opt_out:
            asked["mip_opt_out"] = "true"
        if keywords := _keyterms(hearing.keywords):
            asked["keyterm" if settings.model.startswith("nova-3") else "keywords"] = keywords
        return asked


class DeepgramFlux(_Deepgram):
    """Implements stages.SpeechToText over `/v2/listen`. Group `appliance.stt`."""

    name = "deepgram_flux"
    settings_model: ClassVar[type[BaseModel]] = FluxSettings
    shared_keys: ClassVar[frozenset[str]] = frozenset(FluxSettings.model_fields)

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Raise ConfigurationInvalid for keys that there are not, and values that cannot be."""
        self._settings = read(FluxSettings, "providers.deepgram", settings)
        super().__init__(self._settings)

    async def connect(self, hearing: Hearing) -> Transcription:
        async def begin(sdk: Any, leave: Callable[[], Awaitable[None]]) -> Transcription:
            controls = {
                Control.FORCE_END_TURN: sdk.send_force_end_turn,
                Control.CLOSE_STREAM: sdk.send_close_stream,
            }
            dialogue = FluxDialogue(server_turns=hearing.server_turns)
            socket = _socket(sdk)
            await _until_connected(socket, dialogue)
            return DeepgramTranscription(
                self.name, Link(socket, sdk.send_media, controls, leave), dialogue, RATE
            )

        return await self._connected(lambda client: client.listen.v2.connect(**self.options(hearing)), begin)

    def options(self, hearing: Hearing) -> dict[str, Any]:
        """What is asked for. Where the device ends turns, the service is kept from it as far as it lets itself."""
        settings = self._settings
        language = settings.language or hearing.language
        english = language.split("-")[0].lower() in {"", "en"}
        model = settings.flux_model or ("flux-general-en" if english else "flux-general-multi")
        asked: dict[str, Any] = {"model": model, "encoding": "linear16", "sample_rate": str(RATE)}
        if hearing.server_turns:
            thresholds = {
                "eot_threshold": settings.eot_threshold,
                "eager_eot_threshold": settings.eager_eot_threshold,
                "eot_timeout_ms": settings.eot_timeout_ms,
            }
            asked |= {name: str(value) for name, value in thresholds.items() if value is not None}
        else:
            asked |= {"eot_threshold": "1.0", "eot_timeout_ms": "60000"}
        if model.endswith("-multi") and language not in {"", "multi"}:
            asked["language_hint"] = [language.split("-")[0].lower()]
        if settings.mip_opt_out:
            asked["mip_opt_out"] = "true"
        if keywords := _keyterms(hearing.keywords):
            asked["keyterm"] = keywords
        return asked


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _keyterms(keywords: Sequence[str]) -> list[str]:
    """As many as the service takes without complaint, each once."""
    bare = (" ".join(word.split())[:KEYTERM_LENGTH] for word in keywords)
    return list(dict.fromkeys(word for word in bare if word.isprintable() and word))[:KEYTERMS]


def _socket(sdk: Any) -> ClientConnection:
    socket: ClientConnection = sdk._websocket  # noqa: SLF001 - what `_dialled` gave it; it has no other way
    return socket


async def _until_connected(socket: ClientConnection, dialogue: Dialogue) -> None:
    """Flux says that it is ready, or why it will not be."""
    while not getattr(dialogue, "connected", True):
        dialogue.take(await socket.recv(), asyncio.get_running_loop().time())
        if dialogue.fault is not None:
            raise dialogue.fault


async def _leave(manager: AbstractAsyncContextManager[Any]) -> None:
    await manager.__aexit__(None, None, None)


async def _hang_up(manager: AbstractAsyncContextManager[Any]) -> None:
    """The end of a dial that failed, and that says why: a socket that is gone already adds nothing to it."""
    with contextlib.suppress(TimeoutError, OSError, ConnectionClosed):
        async with asyncio.timeout(1.0):
            await _leave(manager)


def _build(key: str, base_url: str) -> "AsyncDeepgramClient":
    """In a thread: the imports, the client, and the certificates, which each dial would read again."""
    with library("deepgram", "deepgram-sdk"):
        import deepgram.listen.v1.client
        import deepgram.listen.v2.client
        import httpx
        from deepgram import AsyncDeepgramClient
        from deepgram.environment import DeepgramClientEnvironment
    http = base_url or f"https://{HOST}"
    plain = http.startswith("http://")
    secure = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if plain else ssl.create_default_context()
    dial = _dialled(secure)
    # Its own socket is a deprecated one that takes no settings. What it calls to dial is a name in these two modules.
    for version in (deepgram.listen.v1.client, deepgram.listen.v2.client):
        vars(version)["websockets_client_connect"] = dial
    address = "ws" + http.removeprefix("http")
    environment = DeepgramClientEnvironment(base=http, production=address, agent=address, agent_rest=http)
    # Nothing is asked over HTTP; its own client would read all certificates once more.
    return AsyncDeepgramClient(
        api_key=key, environment=environment, httpx_client=httpx.AsyncClient(verify=secure)
    )


def _dialled(context: ssl.SSLContext) -> Callable[..., AbstractAsyncContextManager[ClientConnection]]:
    @contextlib.asynccontextmanager
    async def dial(url: str, extra_headers: Mapping[str, str]) -> AsyncIterator[ClientConnection]:
        secure = context if url.startswith("wss:") else None
        async with connect(url, additional_headers=extra_headers, ssl=secure, **SOCKET) as socket:
            yield socket

    return dial
