"""OpenAI's transcription: while the person speaks, over a socket, or of the whole turn at its end, over HTTP."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, Protocol
from urllib.parse import urlsplit

from pydantic import BaseModel, Field
from websockets.exceptions import ConnectionClosed

from appliance import openai_faults
from appliance.config.services import ServiceSettings, read
from appliance.http_faults import translated
from appliance.loading import library
from appliance.name_lookup import look_up
from appliance.preparation import Preparation
from appliance.providers.stt.live import DIAL_SECONDS, FINAL_SECONDS, SOCKET, LiveTranscription
from appliance.providers.stt.one_shot import OneShotTranscription, Understood, wav
from appliance.providers.stt.openai_session import KEYWORDS, WITH_KEYWORDS, WITHOUT_TURNS, session_update
from appliance.providers.stt.openai_stream import StreamReading, whole
from appliance.providers.stt.openai_talk import HEARD_RATE, OpenAiTalk
from appliance.stages import Hearing, Transcription

if TYPE_CHECKING:
    from openai import AsyncOpenAI

HOST: Final = "api.openai.com"
VARIABLES: Final = ("OPENAI_API_KEY",)
LIVE_MODEL: Final = "gpt-live-transcribe"
ONE_SHOT_MODEL: Final = "gpt-transcribe"
SESSION_SECONDS: Final = 3_600.0
"""How long a session lasts where the service does not say it."""
RENEW_BEFORE: Final = 300.0
_ANSWERS: Final = frozenset({403, 404, 405, 501})
"""To the question which models there are: of a key for transcriptions alone, or a server that is asked for nothing
else."""


class Settings(ServiceSettings):
    """Of `[providers.openai]`, with stt_ before the keys that a realtime model there has too."""

    mode: Literal["realtime", "one_shot"] = "realtime"
    """one_shot: the turn's audio is sent at its end; what any server with /v1/audio/transcriptions understands."""
    model: str = ""
    language: str = ""
    """Instead of the conversation's."""
    deadline: Annotated[float, Field(ge=1, le=60)] = FINAL_SECONDS
    """Seconds from the end of a turn to its transcript."""


class OpenAiTranscription:
    """Implements stages.SpeechToText. Group `appliance.stt`."""

    name = "openai"
    settings_model: ClassVar[type[BaseModel]] = Settings
    shared_keys: ClassVar[frozenset[str]] = frozenset({"api_key", "base_url", "language"})
    local: ClassVar[bool] = False

    def __init__(self, settings: Mapping[str, Any], *, clock: Callable[[], float] = time.time) -> None:
        """Raise ConfigurationInvalid for keys that there are not, and values that cannot be."""
        self._settings = read(Settings, "providers.openai", settings)
        self._clock = clock
        self._live = self._settings.mode == "realtime"
        self._model = self._settings.model or (LIVE_MODEL if self._live else ONE_SHOT_MODEL)
        self._host = self._settings.host(HOST)
        self._ready = Preparation(self._build, "openai import")
        self.rate = HEARD_RATE
        self.server_turns = self._live and self._model not in WITHOUT_TURNS

    async def warm(self) -> None:
        """Import the SDK and build its client in a thread: that takes a Pi seconds."""
        await self._ready.ready()

    async def connect(self, hearing: Hearing) -> Transcription:
        ready = await self._ready.ready()
        try:
            async with asyncio.timeout(DIAL_SECONDS):
                await look_up(urlsplit(self._settings.base_url).hostname or HOST)
                if self._live:
                    return await self._dial(ready, hearing)
                await self._knock(ready.client)
        except ConnectionClosed as fault:
            raise openai_faults.closed_in_setup(self._host, fault) from fault
        except Exception as fault:
            raise translated(self.name, self._host, fault) from fault
        return OneShotTranscription(self.name, self._asking(ready.client, hearing), self._settings.deadline)

    async def close(self) -> None:
        ready = await self._ready.taken_back()
        if ready is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    await ready.client.close()

    # --- realtime ---

    async def _dial(self, ready: "_Ready", hearing: Hearing) -> LiveTranscription:
        server_turns = hearing.server_turns and self.server_turns
        talk = OpenAiTalk(server_turns=server_turns)
        update = session_update(
            self._model,
            self._settings.language or hearing.language,
            hearing.keywords,
            server_turns=server_turns,
        )
        connection = await ready.client.realtime.connect(
            # A model in the address would make it a conversation.
            extra_query={"intent": "transcription"},
            websocket_connection_options=ready.socket,
            max_retries=0,
        ).enter()
        socket = _SdkSocket(connection)
        try:
            await _until("session.created", socket, talk)
            await socket.send(update)
            await _until("session.updated", socket, talk)
        except BaseException:
            await asyncio.shield(_hang_up(socket))
            raise
        left = talk.expires_at - self._clock() if talk.expires_at else SESSION_SECONDS
        lifetime = (left if left > 0 else SESSION_SECONDS) - RENEW_BEFORE
        return LiveTranscription(
            self.name, socket, talk, lifetime=lifetime, final_seconds=self._settings.deadline
        )

    # --- one shot ---

    async def _knock(self, client: "AsyncOpenAI") -> None:
        """Ask for something small: what no turn can be sent to is found out now, and the connection is open then."""
        try:
            await client.models.with_raw_response.list(timeout=DIAL_SECONDS)
        except Exception as fault:
            if getattr(fault, "status_code", None) not in _ANSWERS:
                raise

    def _asking(
        self, client: "AsyncOpenAI", hearing: Hearing
    ) -> Callable[[bytes], AsyncGenerator[Understood, None]]:
        named: dict[str, Any] = {}
        if code := (self._settings.language or hearing.language).partition("-")[0].lower():
            named["language"] = code
        if hearing.keywords and self._model in WITH_KEYWORDS:
            named["keywords"] = list(hearing.keywords[:KEYWORDS])
        elif hearing.keywords:
            named["prompt"] = ", ".join(hearing.keywords[:KEYWORDS])

        async def ask(pcm: bytes) -> AsyncGenerator[Understood, None]:
            asked = client.audio.transcriptions.with_streaming_response.create(
                file=("turn.wav", wav(pcm, HEARD_RATE), "audio/wav"),
                model=self._model,
                response_format="json",
                stream=True,
                timeout=self._settings.deadline,
                **named,
            )
            try:
                async with asked as answer:
                    if "text/event-stream" not in answer.headers.get("content-type", ""):
                        # A model or a server without streaming ignores that it was asked for.
                        yield whole(await answer.read())
                        return
                    reading = StreamReading()
                    async for line in answer.iter_lines():
                        if reading.read(line):
                            yield reading.understood
                        if reading.done:
                            return
            except asyncio.CancelledError:
                raise
            except Exception as fault:
                raise translated(self.name, self._host, fault) from fault
            reading.end()

        return ask

    def _build(self) -> "_Ready":
        """In a thread: the imports, the client, and the certificates, which each dial would read again."""
        settings = self._settings
        key = settings.key(self.name, VARIABLES)
        with library("openai"):
            import openai
            import openai.lib._websocket
            import openai.resources.audio.transcriptions
            import openai.resources.realtime.realtime
        client = openai.AsyncOpenAI(api_key=key, base_url=settings.base_url or None, max_retries=0)
        # Each imports what it needs at its first use.
        _ = client.realtime if self._live else client.audio.transcriptions
        if settings.base_url.startswith("http://"):
            return _Ready(client, SOCKET)
        return _Ready(client, {**SOCKET, "ssl": ssl.create_default_context()})


@dataclass(frozen=True, slots=True)
class _Ready:
    """The SDK's client, and the options of its sockets."""

    client: "AsyncOpenAI"
    socket: Mapping[str, Any]


class _SdkConnection(Protocol):
    """What is used of the SDK's connection: neither its typed events nor its redialling."""

    async def send_raw(self, data: bytes | str) -> None: ...

    async def recv_bytes(self) -> bytes: ...

    async def close(self) -> None: ...


class _SdkSocket:
    """Implements live.Socket."""

    def __init__(self, connection: _SdkConnection) -> None:
        self._connection = connection

    async def send(self, message: str) -> None:
        await self._connection.send_raw(message)

    async def recv(self) -> bytes:
        return await self._connection.recv_bytes()

    async def close(self) -> None:
        await self._connection.close()


async def _until(kind: str, socket: _SdkSocket, talk: OpenAiTalk) -> None:
    """Read on until an event of `kind`. Raise what an error before it means."""
    while talk.seen != kind:
        talk.read(await socket.recv())
        if talk.refusal is not None:
            raise talk.refusal


async def _hang_up(socket: _SdkSocket) -> None:
    """The end of a dial that failed, and that says why: a socket that is gone already adds nothing to it."""
    with contextlib.suppress(TimeoutError, OSError, ConnectionClosed):
        async with asyncio.timeout(1.0):
            await socket.close()
