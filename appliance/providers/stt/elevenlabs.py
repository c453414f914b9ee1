"""ElevenLabs' Scribe in realtime. Over a socket of our own: the SDK's one has no deadlines, and costs 40 MB."""

import asyncio
import contextlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final
from urllib.parse import quote, urlencode, urlsplit

from pydantic import BaseModel, Field
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from appliance.config.services import ServiceSettings, read
from appliance.link_faults import unreachable
from appliance.name_lookup import look_up
from appliance.preparation import Preparation
from appliance.providers.stt.elevenlabs_talk import RATE, STARTED, ScribeTalk, query
from appliance.providers.stt.live import DIAL_SECONDS, FINAL_SECONDS, SOCKET, LiveTranscription
from appliance.stages import Hearing, Transcription

HOST: Final = "api.elevenlabs.io"
VARIABLES: Final = ("ELEVENLABS_API_KEY",)
PATH: Final = "/v1/speech-to-text/realtime"
KEEP_ALIVE_SECONDS: Final = 3.0


class Settings(ServiceSettings):
    """Of `[providers.elevenlabs]`, with stt_ before the keys that its voice has too."""

    model: str = "scribe_v2_realtime"
    language: str = ""
    """Instead of the conversation's."""
    deadline: Annotated[float, Field(ge=1, le=60)] = FINAL_SECONDS
    """Seconds from the end of a turn to its transcript."""


class ElevenLabsTranscription:
    """Implements stages.SpeechToText. Group `appliance.stt`."""

    name = "elevenlabs"
    settings_model: ClassVar[type[BaseModel]] = Settings
    shared_keys: ClassVar[frozenset[str]] = frozenset({"api_key", "base_url", "language"})
    local: ClassVar[bool] = False

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Raise ConfigurationInvalid for keys that there are not, and values that cannot be."""
        self._settings = read(Settings, "providers.elevenlabs", settings)
        self._base_url = self._settings.base_url or f"https://{HOST}"
        self._host = self._settings.host(HOST)
        self._ready = Preparation(self._build, "elevenlabs certificates")
        self.rate = RATE
        self.server_turns = False

    async def warm(self) -> None:
        """Read the certificates in a thread, which each dial would do again."""
        await self._ready.ready()

    async def connect(self, hearing: Hearing) -> Transcription:
        ready = await self._ready.ready()
        talk = ScribeTalk()
        asked = query(self._settings.model, self._settings.language or hearing.language, hearing.keywords)
        address = f"ws{self._base_url.removeprefix('http')}{PATH}?{urlencode(list(asked), quote_via=quote)}"
        try:
            async with asyncio.timeout(DIAL_SECONDS):
                await look_up(urlsplit(self._settings.base_url).hostname or HOST)
                socket = await connect(address, additional_headers={"xi-api-key": ready.key}, **ready.options)
                try:
                    while talk.seen != STARTED:
                        talk.read(await socket.recv())
                        if talk.refusal is not None:
                            raise talk.refusal
                except BaseException:
                    await asyncio.shield(_hang_up(socket))
                    raise
        except asyncio.CancelledError:
            raise
        except Exception as fault:
            raise unreachable(self.name, self._host, fault) from fault
        return LiveTranscription(
            self.name, socket, talk, keep_alive=KEEP_ALIVE_SECONDS, final_seconds=self._settings.deadline
        )

    async def close(self) -> None:
        """Nothing is kept but the certificates."""

    def _build(self) -> "_Ready":
        key = self._settings.key(self.name, VARIABLES)
        secured = self._base_url.startswith("https://")
        return _Ready(key, {**SOCKET, **({"ssl": ssl.create_default_context()} if secured else {})})


@dataclass(frozen=True, slots=True)
class _Ready:
    key: str
    options: Mapping[str, Any]

    def __repr__(self) -> str:
        return "_Ready()"


async def _hang_up(socket: ClientConnection) -> None:
    """The end of a dial that failed, and that says why: a socket that is gone already adds nothing to it."""
    with contextlib.suppress(TimeoutError, OSError, ConnectionClosed):
        async with asyncio.timeout(1.0):
            await socket.close()
