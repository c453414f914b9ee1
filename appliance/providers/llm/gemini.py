"""Gemini as a language model: one client of Google's SDK per process, a streamed request an answer."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ClassVar, Final

from pydantic import BaseModel, ValidationError

from appliance import gemini_faults
from appliance.config.services import read
from appliance.errors import ApplianceError, ProviderUnavailable
from appliance.http_faults import translated
from appliance.link_faults import refused
from appliance.loading import library
from appliance.preparation import Preparation
from appliance.providers.llm.answering import Answer
from appliance.providers.llm.conversation import taken_names
from appliance.providers.llm.exchange import CONNECTIONS, IDLE_SECONDS, Address, certificates, paced
from appliance.providers.llm.gemini_messages import Reader, Settings, config, contents
from appliance.providers.llm.server_sent import EventReader
from appliance.stages import AnswerPart, Prompt

if TYPE_CHECKING:
    from google.genai import Client

SECTION: Final = "providers.gemini"
HOST: Final = "generativelanguage.googleapis.com"
KEY_VARIABLES: Final = ("GOOGLE_API_KEY", "GEMINI_API_KEY")
_exchange: ContextVar["_Exchange"] = ContextVar("gemini exchange")
"""Whose request is being sent: the SDK gives its HTTP responses to nobody."""


class GeminiLanguageModel:
    """Implements stages.LanguageModel. Group `appliance.llm`, name `gemini`."""

    name = "gemini"
    settings_model: ClassVar[type[BaseModel]] = Settings
    shared_keys: ClassVar[frozenset[str]] = frozenset({"api_key", "base_url"})
    local: ClassVar[bool] = False

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Raise ConfigurationInvalid for keys that there are not, and values that cannot be."""
        self._settings = read(Settings, SECTION, settings)
        self.host = self._settings.host(HOST)
        self.address = Address(self._settings.base_url, HOST)
        self.ready = Preparation(self._build, "gemini import")
        self.passed_over: Counter[str] = Counter()
        """What came and was not understood, by kind."""

    async def warm(self) -> None:
        """Import the SDK and build its client in a thread: that takes a Pi seconds."""
        await self.ready.ready()

    def answer(self, prompt: Prompt) -> AsyncGenerator[AnswerPart, None]:
        return paced(_Exchange(self, self._settings, prompt), self._settings, self._late)

    async def close(self) -> None:
        if (client := await self.ready.taken_back()) is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    await client.aio.aclose()

    def _late(self) -> ApplianceError:
        return ProviderUnavailable(f"gemini: {self.host} did not answer in time")

    def _build(self) -> "Client":
        key = self._settings.key(self.name, self._settings.tellable(KEY_VARIABLES))
        return _client(key, self._settings.base_url)


class _Exchange:
    """Implements exchange.Exchange over the SDK's stream of responses."""

    def __init__(self, model: GeminiLanguageModel, settings: Settings, prompt: Prompt) -> None:
        self.bodies: list[Any] = []
        """The HTTP responses of this exchange, to be closed with it."""
        self._model = model
        self._settings = settings
        self._prompt = prompt
        self._answer = Answer(taken_names(prompt.items))
        self._reader = Reader(self._answer, settings.model_name)
        self._responses: AsyncIterator[Any]
        self._over = False

    @property
    def finished(self) -> bool:
        return self._reader.finished

    def pass_over(self, count: int) -> None:
        self._model.passed_over["malformed"] += count

    async def open(self) -> None:
        client = await self._model.ready.ready()
        try:
            await self._model.address.found()
            self._responses = await client.aio.models.generate_content_stream(
                model=self._settings.model_name,
                contents=contents(self._settings, self._prompt),
                config=config(self._settings, self._prompt),
            )
        except Exception as fault:
            raise self._translated(fault) from fault

    async def read(self) -> Sequence[AnswerPart] | None:
        if self._over:
            return None
        self._answer.progressed = False
        while True:
            parts = await self._next()
            if parts or self._answer.progressed or self._over:
                return parts

    async def close(self) -> None:
        self._over = True
        # The SDK's generators end when they are collected; the sockets must not wait for that.
        for body in self.bodies:
            with contextlib.suppress(OSError):
                await body.aclose()

    async def _next(self) -> list[AnswerPart]:
        """What the next response brings."""
        _exchange.set(self)
        try:
            response = await anext(self._responses, None)
        except (ValidationError, ValueError) as fault:
            # Not told whence it comes: such an error shows what it could not read.
            raise ProviderUnavailable(f"gemini answered what is no answer ({type(fault).__name__})") from None
        except Exception as fault:
            if not self._reader.finished:
                raise self._translated(fault) from fault
            response = None
        parts = [] if response is None else self._reader.feed(response)
        if response is None or self._answer.full:
            self._over = True
            parts += self._reader.end()
            self._model.address.used()
        return parts

    def _translated(self, fault: Exception) -> ApplianceError:
        status = getattr(fault, "code", None)
        if isinstance(status, int):
            headers = getattr(getattr(fault, "response", None), "headers", None) or {}
            body = json.dumps(getattr(fault, "details", None), default=str).encode()
            found = gemini_faults.refused(status, headers, body)
            return found or refused(self._model.name, status, headers, body)
        return translated(self._model.name, self._model.host, fault)


def _client(key: str, base_url: str) -> "Client":
    """In a thread: the imports, the client with its certificates, and the types that are built at their first use."""
    with library("google-genai"):
        import httpx2
        from google import genai
        from google.genai import types
    verify = certificates(base_url)
    arguments: dict[str, Any] = {
        "verify": verify,
        "limits": httpx2.Limits(
            max_connections=CONNECTIONS, max_keepalive_connections=4, keepalive_expiry=IDLE_SECONDS
        ),
        "event_hooks": {"response": [_begins]},
    }
    options = types.HttpOptions(
        base_url=base_url or None,
        client_args={"verify": verify},
        async_client_args=arguments,
        # Events are looked at as they come: packed, they would come late.
        headers={"accept-encoding": "identity"},
    )
    # Said outright, a stray GOOGLE_GENAI_USE_VERTEXAI or GOOGLE_GENAI_USE_ENTERPRISE turns nothing over.
    client = genai.Client(vertexai=False, api_key=key, http_options=options)
    types.GenerateContentConfig(**config(Settings(reasoning="low"), Prompt([], "x"))).model_dump()
    types.GenerateContentResponse.model_validate({"candidates": []})
    return client


async def _begins(response: Any) -> None:
    """An HTTP response has begun. Of a stream the SDK gets only what it can read: at anything else it would end."""
    import httpx2

    exchange = _exchange.get(None)
    if exchange is None or response.status_code != 200:
        return
    pass_over = exchange.pass_over

    class Sieve(httpx2.AsyncByteStream):
        """Passes on whole events that are JSON objects."""

        def __init__(self, inner: Any) -> None:
            self._inner = inner

        async def __aiter__(self) -> AsyncIterator[bytes]:
            events = EventReader()
            async for chunk in self._inner:
                for event in events.feed(chunk):
                    yield b"data: " + json.dumps(event).encode() + b"\n\n"
                pass_over(events.passed_over)
                events.passed_over = 0
            for event in events.end():
                yield b"data: " + json.dumps(event).encode() + b"\n\n"

        async def aclose(self) -> None:
            await self._inner.aclose()

    exchange.bodies.append(response)
    response.stream = Sieve(response.stream)
