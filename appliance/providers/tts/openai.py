"""OpenAI's speech over HTTP, and servers that offer the same address: a request a piece, streamed as raw PCM."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, ClassVar, Final

from pydantic import BaseModel, Field

from appliance.config.services import ServiceSettings, read
from appliance.errors import ApplianceError, ProviderUnavailable, SetupRejected
from appliance.frames import BYTES_PER_SAMPLE
from appliance.http_faults import translated
from appliance.loading import library
from appliance.name_lookup import look_up
from appliance.preparation import Preparation
from appliance.providers.tts.places import Places
from appliance.providers.tts.plain import plain, portions, says_nothing
from appliance.providers.tts.terms import Terms
from appliance.stages import Piece, Sound
from appliance.voice_names import openai_voice, wished

if TYPE_CHECKING:
    from openai import AsyncOpenAI

NAME: Final = "openai"
RATE: Final = 24_000
"""Of the service's PCM."""
LONGEST_INPUT: Final = 4_096
"""Characters a request: a longer text comes in several, one after the other."""
PART_BYTES: Final = 4_800
_HOST: Final = "api.openai.com"
_CODED: Final = frozenset(
    f"audio/{kind}" for kind in ("mpeg", "mp3", "wav", "x-wav", "wave", "ogg", "opus", "aac", "flac")
)
_CODED_BEGINS: Final = (b"RIFF", b"OggS", b"ID3", b"fLaC")


class SpeechSettings(ServiceSettings):
    """`[providers.openai]`, the keys of its own with tts_ before them."""

    model: str = "gpt-4o-mini-tts"
    voice: str = "marin"
    instructions: str = ""
    """How to speak; not for tts-1."""
    speed: float | None = Field(default=None, ge=0.25, le=4.0)
    rate: int = Field(default=RATE, ge=8_000, le=48_000)
    """Of the PCM that a server of another maker sends."""
    parallel: int = Field(default=3, ge=1, le=8)


class OpenAiTts:
    """Implements stages.TextToSpeech. Group `appliance.tts`, section `[providers.openai]`."""

    name = NAME
    settings_model: ClassVar[type[BaseModel]] = SpeechSettings
    shared_keys: ClassVar[frozenset[str]] = frozenset({"api_key", "base_url"})
    local: ClassVar[bool] = False
    timed = False

    def __init__(self, settings: Mapping[str, Any], *, terms: Terms | None = None) -> None:
        """Raise ConfigurationInvalid for keys that there are not, and values that cannot be."""
        self._settings: SpeechSettings = read(SpeechSettings, "providers.openai", settings)
        self._terms = terms or Terms()
        self._ready = Preparation(self._build, "openai import")
        self.parallel = self._settings.parallel
        self._places = Places(NAME, self.parallel, self._terms.patience * 2)

    async def warm(self) -> None:
        await self._ready.ready()

    async def speak(self, piece: Piece) -> AsyncGenerator[Sound, None]:
        if says_nothing(piece.text):
            return
        client = await self._ready.ready()
        give_back = await self._places.take()
        try:
            for text in portions(plain(piece.text), LONGEST_INPUT):
                async with aclosing(self._request(client, text, piece.voice)) as sounds:
                    async for sound in sounds:
                        yield sound
        finally:
            give_back()

    async def close(self) -> None:
        client = await self._ready.taken_back()
        if client is not None:
            await client.close()

    async def _request(self, client: "AsyncOpenAI", text: str, voice: str) -> AsyncGenerator[Sound, None]:
        host, settings = client.base_url.host, self._settings
        optional = {"instructions": settings.instructions or None, "speed": settings.speed}
        request = client.audio.speech.with_streaming_response.create(
            input=text,
            model=settings.model,
            voice=openai_voice(wished(voice, NAME) or settings.voice),
            response_format="pcm",
            **{name: value for name, value in optional.items() if value is not None},
        )
        try:
            async with asyncio.timeout(self._terms.dial + self._terms.patience):
                await look_up(host)
                response = await request.__aenter__()
            try:
                _refuse_what_is_no_pcm(response.headers.get("content-type", ""))
                async with aclosing(self._whole_samples(response.iter_bytes(PART_BYTES))) as parts:
                    async for pcm in parts:
                        yield Sound(pcm, settings.rate)
            finally:
                await request.__aexit__(None, None, None)
        except ApplianceError:
            raise
        except Exception as fault:
            raise translated(NAME, self._settings.host(_HOST), fault) from fault

    async def _whole_samples(self, parts: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        odd, came = b"", False
        while True:
            try:
                async with asyncio.timeout(self._terms.patience):
                    part = await anext(parts)
            except StopAsyncIteration:
                break
            except TimeoutError:
                raise ProviderUnavailable(f"{NAME} fell silent") from None
            if not came and part.startswith(_CODED_BEGINS):
                raise _no_pcm()
            came = came or bool(part)
            part = odd + part
            whole = len(part) // BYTES_PER_SAMPLE * BYTES_PER_SAMPLE
            part, odd = part[:whole], part[whole:]
            if part:
                yield part
        if not came:
            raise ProviderUnavailable(f"{NAME}: a piece came without sound")

    def _build(self) -> "AsyncOpenAI":
        """In a thread: the imports and the client, which reads the certificates."""
        key = self._settings.key(NAME, ("OPENAI_API_KEY",))
        with library("openai"):
            import openai
        base_url = self._settings.base_url
        client = openai.AsyncOpenAI(
            api_key=key,
            base_url=base_url or None,
            max_retries=0,
            # Where no certificate is looked at, none are read: that takes a small device a while.
            http_client=openai.DefaultAsyncHttpxClient(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
            if base_url.startswith("http://")
            else None,
        )
        _ = client.audio.speech.with_streaming_response  # imports what it needs at its first use
        return client


def _refuse_what_is_no_pcm(kind: str) -> None:
    """Raise for a server that sends something else than was asked for."""
    bare = kind.partition(";")[0].strip().lower()
    if bare in _CODED:
        raise _no_pcm()
    if bare.startswith("text/") or bare.endswith("json"):
        raise ProviderUnavailable(f"{NAME} sent no sound but {bare}", hint="look at base_url")


def _no_pcm() -> SetupRejected:
    return SetupRejected(f"{NAME}: the server sends no raw PCM", hint="take one that has response_format pcm")
