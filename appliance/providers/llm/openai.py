"""OpenAI, and every server that speaks as it does, as a language model: one client of the official SDK per process."""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from pydantic import BaseModel

from appliance.config.services import read
from appliance.errors import ApplianceError, ProviderUnavailable
from appliance.http_faults import translated
from appliance.loading import library
from appliance.preparation import Preparation
from appliance.providers.llm import openai_chat, openai_faults, openai_models, openai_responses
from appliance.providers.llm.answering import Answer
from appliance.providers.llm.conversation import taken_names
from appliance.providers.llm.exchange import CONNECTIONS, IDLE_SECONDS, Address, certificates, paced
from appliance.providers.llm.openai_settings import OFFICIAL_HOST, OFFICIAL_URL, Settings
from appliance.providers.llm.server_sent import EventReader
from appliance.stages import AnswerCut, AnswerPart, Prompt

if TYPE_CHECKING:
    from openai import AsyncOpenAI

SECTION: Final = "providers.openai"
NO_KEY: Final = "none"
READ_OUT_SECONDS: Final = 0.1
LIST_SECONDS: Final = 5.0
"""For a server's list of its models."""
_NOT_FOUND: Final = 404
_LATER: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
logger = logging.getLogger(__name__)


class OpenAiLanguageModel:
    """Implements stages.LanguageModel. Group `appliance.llm`, name `openai`."""

    name = "openai"
    settings_model: ClassVar[type[BaseModel]] = Settings
    shared_keys: ClassVar[frozenset[str]] = frozenset({"api_key", "base_url"})
    local: ClassVar[bool] = False

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Raise ConfigurationInvalid for keys that there are not, and values that cannot be."""
        self._settings = read(Settings, SECTION, settings)
        self.host = self._settings.host(OFFICIAL_HOST)
        self.address = Address(self._settings.base_url, OFFICIAL_HOST)
        self.ready = Preparation(self._build, "openai import")
        self.passed_over: Counter[str] = Counter()
        """What came and was not understood, by kind."""
        self._found = ""
        self._asking = asyncio.Lock()

    async def warm(self) -> None:
        """Import the SDK and build its client in a thread: that takes a Pi seconds. Ask a server what it has."""
        client = await self.ready.ready()
        with contextlib.suppress(ApplianceError):  # the first answer asks again, and says it
            await self.settings(client)

    async def settings(self, client: "AsyncOpenAI") -> Settings:
        """With the model that a server of one's own has, where none is set. Raise why it has none."""
        if self._settings.model or self._settings.official:
            return self._settings
        async with self._asking:
            self._found = self._found or await self._model_of(client)
        return self._settings.model_copy(update={"model": self._found})

    def forget_model(self) -> None:
        """The server has it no more: its list is asked for anew."""
        self._found = ""

    async def _model_of(self, client: "AsyncOpenAI") -> str:
        try:
            async with asyncio.timeout(LIST_SECONDS):
                await self.address.found()
                answer = await client.models.with_raw_response.list(extra_headers=headers(client))
        except Exception as fault:
            response = getattr(fault, "response", None)
            if response is None:
                raise translated(self.name, self.host, fault) from fault
            if response.status_code in _LATER:
                raise openai_faults.status(
                    response.status_code, response.headers, response.content
                ) from fault
            return self._settings.model_name  # it has no list: what it says of the request tells more
        names = openai_models.offered(answer.http_response.content)
        if names is None:
            return self._settings.model_name
        model = openai_models.chosen(names, self.host)
        logger.info(
            "openai: %s is asked for %s, one of its models: %d (llm_model names another)",
            self.host,
            model,
            len(names),
        )
        return model

    def answer(self, prompt: Prompt) -> AsyncGenerator[AnswerPart, None]:
        exchange = _Exchange(self, self._settings, prompt)
        return paced(exchange, self._settings, self._late)

    async def close(self) -> None:
        if (client := await self.ready.taken_back()) is not None:
            await client.close()

    def _build(self) -> "AsyncOpenAI":
        return _client(self._settings.bearer(), self._settings.base_url or OFFICIAL_URL)

    def _late(self) -> ApplianceError:
        return ProviderUnavailable(f"openai: {self.host} did not answer in time")


class _Exchange:
    """Implements exchange.Exchange over the SDK's raw stream: its typed one ends at the first malformed event."""

    def __init__(self, model: OpenAiLanguageModel, settings: Settings, prompt: Prompt) -> None:
        self._model = model
        self._settings = settings
        self._prompt = prompt
        tools = frozenset(tool.name for tool in prompt.tools)
        self._answer = Answer(taken_names(prompt.items), tools=tools, thinking=settings.starts_thinking)
        self._reader = self._new_reader()
        self._stack = contextlib.AsyncExitStack()
        self._events = EventReader()
        self._chunks: AsyncIterator[bytes]
        self._filtered = False
        self._over = False

    @property
    def finished(self) -> bool:
        return self._reader.finished

    async def open(self) -> None:
        client = await self._model.ready.ready()
        self._settings = await self._model.settings(client)
        self._reader = self._new_reader()
        create: Any
        if self._settings.responses:
            create, body = client.responses, openai_responses.request(self._settings, self._prompt)
        else:
            create, body = client.chat.completions, openai_chat.request(self._settings, self._prompt)
        try:
            await self._model.address.found()
            request = create.with_streaming_response.create(**body, extra_headers=headers(client))
            response = await self._stack.enter_async_context(request)
        except Exception as fault:
            if not _is_filtered(fault):
                raise self._translated(fault) from fault
            self._filtered = True
            return
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "text/html":
            raise ProviderUnavailable(
                f"openai: {self._model.host} answers with a web page", hint="look at base_url"
            )
        self._events = EventReader(stream=kind != "application/json")
        self._chunks = response.iter_bytes()

    def _new_reader(self) -> openai_chat.Reader | openai_responses.Reader:
        if self._settings.responses:
            return openai_responses.Reader(self._answer, self._settings.model_name)
        return openai_chat.Reader(self._answer)

    async def read(self) -> Sequence[AnswerPart] | None:
        if self._over:
            return None
        if self._filtered:
            self._over = True
            return [AnswerCut("filter")]
        self._answer.progressed = False
        while True:
            parts = await self._next()
            if parts or self._answer.progressed or self._over:
                return parts

    async def close(self) -> None:
        self._over = True
        if self._reader.finished:
            await self._read_out()
        with contextlib.suppress(OSError):
            await self._stack.aclose()

    async def _read_out(self) -> None:
        """Up to the end of the body, which has to follow at once: then the next turn need not dial."""
        with contextlib.suppress(Exception):
            async with asyncio.timeout(READ_OUT_SECONDS):
                async for _ in self._chunks:
                    pass

    async def _next(self) -> list[AnswerPart]:
        """What the next bytes bring."""
        try:
            chunk = await anext(self._chunks, None)
        except Exception as fault:
            if not self._reader.finished:
                raise self._translated(fault) from fault
            chunk = None  # only the usage was to come
        events = self._events.end() if chunk is None else self._events.feed(chunk)
        if self._events.passed_over:
            self._model.passed_over["malformed"] += self._events.passed_over
            self._events.passed_over = 0
        parts = [part for event in events for part in self._reader.feed(event)]
        if chunk is None or self._events.done or self._answer.full:
            self._over = True
            parts += self._reader.end(told=self._events.done)
            self._model.address.used()
        return parts

    def _translated(self, fault: Exception) -> ApplianceError:
        import openai

        if isinstance(fault, openai.APIStatusError):
            response = fault.response
            if response.status_code == _NOT_FOUND:
                self._model.forget_model()
            return openai_faults.status(response.status_code, response.headers, response.content)
        return translated(self._model.name, self._model.host, fault)


def headers(client: "AsyncOpenAI") -> dict[str, Any]:
    """Without a key of ours the SDK would send its stand-in."""
    import openai

    return {"Authorization": openai.omit} if client.api_key == NO_KEY else {}


def _is_filtered(fault: Exception) -> bool:
    """The request was refused for what was said in it: that is an answer, and no fault of the set-up."""
    response = getattr(fault, "response", None)
    return response is not None and openai_faults.is_filtered(response.content)


def _client(key: str, base_url: str) -> "AsyncOpenAI":
    """In a thread: the imports, the client with its certificates, and what it imports at its first use."""
    with library("openai"):
        import httpx2
        import openai
        import openai.resources.chat.completions
        import openai.resources.models
        import openai.resources.responses
    limits = httpx2.Limits(
        max_connections=CONNECTIONS, max_keepalive_connections=4, keepalive_expiry=IDLE_SECONDS
    )
    # Deadlines are the exchange's: the SDK's own would retry, or count from the wrong moment.
    client = openai.AsyncOpenAI(
        api_key=key or NO_KEY,
        base_url=base_url,
        max_retries=0,
        timeout=None,
        http_client=openai.DefaultAsyncHttpxClient(
            limits=limits, timeout=None, verify=certificates(base_url)
        ),
    )
    _ = client.chat.completions.with_streaming_response, client.responses.with_streaming_response
    return client
