"""One conversation with OpenAI Realtime over a socket, and all that was told of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from appliance.interfaces import Setup
from appliance.providers.realtime.openai import OpenAiRealtime
from tests.fakes.openai_realtime import FakeOpenAi
from tests.rig.sounds import Samples, babble
from tests.rig.talker import Talker

RATE = 24_000


def speech(seconds: float = 1.0, seed: int = 1) -> Samples:
    return babble(seconds, RATE, seed=seed)


def provider_of(cloud: FakeOpenAi, **section: Any) -> OpenAiRealtime:
    return OpenAiRealtime({"base_url": cloud.base_url, "api_key": cloud.key, **section})


@asynccontextmanager
async def talking(provider: OpenAiRealtime, **setup: Any) -> AsyncIterator[Talker]:
    talker = Talker(await provider.connect(Setup("s1", **setup)), RATE)
    try:
        yield talker
    finally:
        await talker.close()


def outputs(cloud: FakeOpenAi) -> list[dict[str, str]]:
    """The results of calls that the service was told."""
    items = [event["item"] for event in cloud.session.sent("conversation.item.create")]
    return [item for item in items if item["type"] == "function_call_output"]
