"""Cartesia: one socket of the official SDK per process, and a context on it for each piece."""

import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from pydantic import BaseModel

from appliance import link_faults
from appliance.config.services import read
from appliance.errors import ApplianceError
from appliance.loading import library
from appliance.name_lookup import look_up
from appliance.preparation import Preparation
from appliance.providers.tts.cartesia_messages import NAME, CartesiaDialect, CartesiaSettings
from appliance.providers.tts.link import SOCKET, Message
from appliance.providers.tts.multiplex import Multiplex
from appliance.providers.tts.plain import says_nothing
from appliance.providers.tts.terms import Terms
from appliance.stages import Piece, Sound

if TYPE_CHECKING:
    from cartesia import AsyncCartesia

_HOST: Final = "api.cartesia.ai"


class CartesiaTts:
    """Implements stages.TextToSpeech. Group `appliance.tts`, section `[providers.cartesia]`."""

    name = NAME
    settings_model: ClassVar[type[BaseModel]] = CartesiaSettings
    shared_keys: ClassVar[frozenset[str]] = frozenset(CartesiaSettings.model_fields)
    local: ClassVar[bool] = False
    timed = True

    def __init__(self, settings: Mapping[str, Any], *, terms: Terms | None = None) -> None:
        """Raise ConfigurationInvalid for keys that there are not, and values that cannot be."""
        self._settings: CartesiaSettings = read(CartesiaSettings, "providers.cartesia", settings)
        self._ready = Preparation(self._build, "cartesia import")
        self._dialect = CartesiaDialect(self._settings)
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
        async with aclosing(self._links.speak(self._dialect.utterance(piece), NAME)) as sounds:
            async for sound in sounds:
                yield sound

    def counters(self) -> Mapping[str, int]:
        """What came that could not be used, by its kind."""
        return self._links.counters()

    async def close(self) -> None:
        await self._links.close()
        ready = await self._ready.taken_back()
        if ready is not None:
            await ready.client.close()

    async def _dial(self, _: str) -> "_Socket":
        ready = await self._ready.ready()
        await look_up(ready.client.base_url.host)
        # A new manager each time: an old one gives back its dead connection.
        manager = ready.client.tts.websocket_connect(websocket_connection_options=ready.socket)
        return _Socket(await manager.enter())

    def _unreachable(self, fault: BaseException) -> ApplianceError:
        return link_faults.unreachable(NAME, self._settings.host(_HOST), fault)

    def _build(self) -> "_Ready":
        return _build(self._settings.key(NAME, ("CARTESIA_API_KEY",)), self._settings.base_url)


class _Socket:
    """The SDK's connection as link.Socket: neither its contexts nor its redialling."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def send(self, message: Message) -> None:
        await self._connection.send(message)

    async def recv(self) -> bytes:
        received: bytes = await self._connection.recv_bytes()
        return received

    async def close(self) -> None:
        await self._connection.close()


@dataclass(frozen=True, slots=True)
class _Ready:
    """The SDK's client, and the options of its sockets."""

    client: "AsyncCartesia"
    socket: Mapping[str, Any]


def _build(key: str, base_url: str) -> _Ready:
    """In a thread: the imports, the client, and the certificates, which each dial would read again."""
    with library("cartesia"):
        import cartesia
    trust = None if base_url.startswith("http://") else ssl.create_default_context()
    client = cartesia.AsyncCartesia(
        api_key=key,
        base_url=base_url or f"https://{_HOST}",
        websocket_base_url=base_url.replace("http", "ws", 1) or f"wss://{_HOST}",
        max_retries=0,
        # Nothing goes over HTTP: its client must not read the certificates once more.
        http_client=cartesia.DefaultAsyncHttpxClient(verify=trust or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)),
    )
    _ = client.tts.websocket_connect  # imports what it needs at its first use
    return _Ready(client, SOCKET if trust is None else {**SOCKET, "ssl": trust})
