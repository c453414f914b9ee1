"""The language models of the chain with the services that they talk to, and how they are asked."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from appliance.interfaces import ToolDeclaration
from appliance.providers.llm.gemini import GeminiLanguageModel
from appliance.providers.llm.openai import OpenAiLanguageModel
from appliance.stages import (
    AnswerCall,
    AnswerPart,
    AnswerText,
    LanguageModel,
    Prompt,
    Remembered,
    Said,
    ToolUse,
)
from tests.fakes.gemini_generate import FakeGeminiGenerate
from tests.fakes.openai_chat import FakeOpenAiChat
from tests.fakes.streamed_answers import StreamedAnswers, all_of

TIME = ToolDeclaration(
    "get_time", "The time of day.", {"type": "object", "properties": {"zone": {"type": "string"}}}
)
ASKED = Prompt([Said("user", "what time is it")], "Be brief.", tools=[TIME], user="conversation-1")


@dataclass(frozen=True)
class Service:
    """A language model, and the service that it talks to."""

    name: str
    fake: Callable[[], StreamedAnswers]
    model: Callable[[Mapping[str, Any]], LanguageModel]
    settings: Mapping[str, Any]

    def build(self, cloud: StreamedAnswers, **more: Any) -> LanguageModel:
        given = {"base_url": cloud.base_url, "api_key": cloud.key, **self.settings, **more}
        return self.model(given)


SERVICES = (
    Service("openai-chat", FakeOpenAiChat, OpenAiLanguageModel, {"api": "chat", "model": "gpt-6-luna"}),
    Service(
        "openai-responses", FakeOpenAiChat, OpenAiLanguageModel, {"api": "responses", "model": "gpt-6-luna"}
    ),
    Service("gemini", FakeGeminiGenerate, GeminiLanguageModel, {}),
)


def said(parts: list[AnswerPart]) -> str:
    return "".join(part.text for part in parts if isinstance(part, AnswerText))


def calls(parts: list[AnswerPart]) -> list[AnswerCall]:
    return [part for part in parts if isinstance(part, AnswerCall)]


def used(call: AnswerCall, outcome: str = '{"time": "12:00"}') -> ToolUse:
    return ToolUse(call.call_id, call.tool, call.arguments, outcome, call.opaque)


async def answer(model: LanguageModel, *items: Remembered) -> list[AnswerPart]:
    prompt = Prompt([*ASKED.items, *items], ASKED.instructions, ASKED.tools, ASKED.user)
    async with asyncio.timeout(20):
        return await all_of(model.answer(prompt))
