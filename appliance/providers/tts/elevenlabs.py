"""ElevenLabs: sockets of our own, since its SDK has none for asyncio, and a context on one of them for each piece."""

import json
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import urlsplit

from pydantic import BaseModel
from websockets.asyncio.client import ClientConnection, connect

from appliance import link_faults
from appliance.config.services import read
from appliance.errors import ApplianceError
from appliance.name_lookup import look_up
from appliance.preparation import Preparation
from appliance.providers.tts.elevenlabs_messages import HOST, NAME, ElevenLabsDialect, ElevenLabsSettings
from appliance.providers.tts.link import SOCKET, Message
from appliance.providers.tts.multiplex import Multiplex
from appliance.providers.tts.plain import says_nothing
from appliance.providers.tts.terms import Terms
from appliance.stages import Piece, Sound


class ElevenLabsTts:
    """Implements stages.TextToSpeech. Group `appliance.tts`, section `[providers.elevenlabs]`.

    Voice, rate and language are of a whole socket: each that is spoken has one, until nobody speaks it for long.
    """

    name = NAME
    settings_model: ClassVar[type[BaseModel]] = ElevenLabsSettings
    shared_keys: ClassVar[frozenset[str]] = frozenset(ElevenLabsSettings.model_fields)
    local: ClassVar[bool] = False
    timed = True

    def __init__(self, settings: Mapping[str, Any], *, terms: Terms | None = None) -> None:
        """Raise ConfigurationInvalid for keys that there are not, and values that cannot be."""
        self._settings: ElevenLabsSettings = read(ElevenLabsSettings, "providers.elevenlabs", settings)
        self._base = self._settings.base_url or f"https://{HOST}"
        self._ready = Preparation(self._build, "elevenlabs")
        self._dialect = ElevenLabsDialect(self._settings)
        self.parallel = self._settings.parallel
        self._links = Multiplex(
            self._dialect, self._dial, self._unreachable, parallel=self.parallel, terms=terms or Terms()
        )

    async def warm(self) -> None:
        await self._ready.ready()

    async def speak(self, piece: Piece) -> AsyncGenerator[Sound, None]:
        if says_nothing(piece.text):
            return
        await self._ready.ready()
        utterance = self._dialect.utterance(piece)
        async with aclosing(self._links.speak(utterance, self._dialect.address(utterance))) as sounds:
            async for sound in sounds:
                yield sound

    def counters(self) -> Mapping[str, int]:
        """What came that could not be used, by its kind."""
        return self._links.counters()

    async def close(self) -> None:
        await self._links.close()
        await self._ready.taken_back()

    async def _dial(self, address: str) -> "_Socket":
        ready = await self._ready.ready()
        await look_up(urlsplit(self._base).hostname or HOST)
        url = f"{self._base.replace('http', 'ws', 1)}{address}"
        return _Socket(await connect(url, additional_headers={"xi-api-key": ready.key}, **ready.socket))

    def _unreachable(self, fault: BaseException) -> ApplianceError:
        return link_faults.unreachable(NAME, self._settings.host(HOST), fault)

    def _build(self) -> "_Ready":
        """In a thread: reading the certificates takes a small device a while."""
        key = self._settings.key(NAME, ("ELEVENLABS_API_KEY",))
        if self._base.startswith("http://"):
            return _Ready(key, SOCKET)
        return _Ready(key, {**SOCKET, "ssl": ssl.create_default_context()})


class _Socket:
    """A connection as link.Socket."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def send(self, message: Message) -> None:
        await self._connection.send(json.dumps(message))

    async def recv(self) -> bytes:
        return await self._connection.recv(decode=False)

    async def close(self) -> None:
        await self._connection.close()


@dataclass(frozen=True, slots=True)
class _Ready:
    """The key, and the options of its sockets."""

    key: str
    socket: Mapping[str, Any]

    def __repr__(self) -> str:
        return "_Ready()"
