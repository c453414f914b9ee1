"""A real server with a real model behind the stage `openai`: llama.cpp's, with SmolLM2 of 135 million parameters.

It is built and fetched by `make local-model`, which runs this file then. Without that, nothing here runs.
What so small a model says is worth nothing: that it says it, that it calls a tool, and that it stops, is.
"""

import asyncio
import json
import logging
import os
import subprocess
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import CredentialsRejected, SetupRejected
from appliance.interfaces import ToolDeclaration
from appliance.providers.llm.openai import OpenAiLanguageModel
from appliance.stages import (
    AnswerCall,
    AnswerCut,
    AnswerPart,
    AnswerText,
    AnswerUsage,
    Prompt,
    Remembered,
    Said,
    ToolUse,
)
from tests.contract.llm.services import said
from tests.rig.ports import free_port

BUILT = os.environ.get("HANDSET_LLAMA", "")
KEY = "sk-of-this-server"
TEMPLATE = "source/llama.cpp/models/templates/Qwen-Qwen2.5-7B-Instruct.jinja"
"""The model's own template knows no tools."""
TIME = ToolDeclaration(
    "get_time",
    "Tells the time of day.",
    {"type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"]},
)
pytestmark = [
    pytest.mark.local_model,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not BUILT, reason="the server is built by make local-model"),
]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    built = Path(BUILT)
    port = free_port()
    command = [
        str(built / "build/bin/llama-server"),
        *("--model", str(next(built.glob("model/**/*.gguf")))),
        *(
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--api-key",
            KEY,
            "--ctx-size",
            "2048",
            "--threads",
            "2",
        ),
        *("--jinja", "--chat-template-file", str(built / TEMPLATE), "--offline", "--slots"),
    ]
    log = tmp_path_factory.mktemp("llama") / "log"
    with log.open("wb") as sink, subprocess.Popen(command, stdout=sink, stderr=sink) as server:
        try:
            _wait_for(f"http://127.0.0.1:{port}/health", server)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert server.poll() is None, "the server did not start"
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 # of this machine
                return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError


@pytest.fixture(params=["chat", "responses"])
async def model(request: pytest.FixtureRequest, address: str) -> AsyncIterator[OpenAiLanguageModel]:
    built = _model(address, api=request.param)
    yield built
    await built.close()


def _model(address: str, **more: Any) -> OpenAiLanguageModel:
    given = {"base_url": f"{address}/v1", "api_key": KEY, "temperature": 0.0, "max_output_tokens": 32}
    return OpenAiLanguageModel({**given, "first_timeout": 300, "next_timeout": 120, **more})


async def answer(model: OpenAiLanguageModel, *items: Remembered, tools: bool = False) -> list[AnswerPart]:
    prompt = Prompt(items, "Be brief. Use the tool for the time.", [TIME] if tools else [], "conversation-1")
    return [part async for part in model.answer(prompt)]


def _cost(parts: list[AnswerPart]) -> AnswerUsage:
    cost = parts[-1]
    assert isinstance(cost, AnswerUsage)
    return cost


async def test_a_conversation_goes_on_word_by_word(model):
    first = await answer(model, Said("user", "Say hello."))
    assert len([part for part in first if isinstance(part, AnswerText)]) > 3
    cost = _cost(first)
    assert cost.input > 5
    assert cost.output > 3
    second = await answer(
        model, Said("user", "Say hello."), Said("assistant", said(first)), Said("user", "And again.")
    )
    assert said(second).strip()
    assert _cost(second).input > cost.input


async def test_a_tool_is_called_and_its_outcome_is_taken(model):
    past: list[Remembered] = []
    for hour, place in enumerate(("Rome", "Oslo", "Lima"), start=10):
        past += [
            Said("user", f"What time is it in {place}?"),
            ToolUse(
                f"call{hour}", "get_time", json.dumps({"zone": place}), json.dumps({"time": f"{hour}:00"})
            ),
            Said("assistant", f"It is {hour}:00 in {place}."),
        ]
    past.append(Said("user", "What time is it in Cairo?"))
    parts = await answer(model, *past, tools=True)
    (call,) = (part for part in parts if isinstance(part, AnswerCall))
    assert call.tool == "get_time"
    assert "zone" in json.loads(call.arguments)
    outcome = ToolUse(call.call_id, call.tool, call.arguments, '{"time": "15:00"}', call.opaque)
    assert "15:00" in said(await answer(model, *past, outcome, tools=True))


async def test_its_one_model_is_found_in_its_list(address, caplog):
    model = _model(address, api="chat", max_output_tokens=16)
    with caplog.at_level(logging.INFO):
        assert await answer(model, Said("user", "Say hello."))
    assert "has 1 models" in caplog.text
    await model.close()


async def test_an_odd_history_is_taken(model):
    odd: list[Remembered] = [
        Said("assistant", "Good morning."),
        ToolUse("1", "get time!", "{broken", "no json", {"step": "a"}),
        ToolUse("1", "get_time", "", "", {"step": "a"}),
        Said("assistant", "Well"),
    ]
    parts = await answer(model, *odd, tools=True)
    assert any(isinstance(part, AnswerUsage) for part in parts)


async def test_what_is_cut_off_says_so(address):
    model = _model(address, api="chat", max_output_tokens=16)
    parts = await answer(model, Said("user", "Tell me a long story about a lighthouse."))
    assert AnswerCut("length") in parts
    await model.close()


async def test_who_stops_listening_stops_the_model(model, address):
    endless = _model(address, max_output_tokens=2_000)
    stream = endless.answer(Prompt([Said("user", "Tell me a long story about a lighthouse.")]))
    await anext(stream)
    assert await asyncio.to_thread(_busy, address)
    await stream.aclose()
    async with asyncio.timeout(60):
        while await asyncio.to_thread(_busy, address):  # noqa: ASYNC110 # of another process
            await asyncio.sleep(0.1)
    await endless.close()


def _busy(address: str) -> bool:
    request = urllib.request.Request(f"{address}/slots", headers={"Authorization": f"Bearer {KEY}"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return any(slot["is_processing"] for slot in json.load(answer))


async def test_a_conversation_beyond_its_context_is_told_for_what_it_is(model):
    with pytest.raises(SetupRejected, match="too long"):
        await answer(model, Said("user", "word " * 4_000))


async def test_a_wrong_key_is_told_for_what_it_is(address):
    for wrong in ("sk-wrong", ""):
        model = _model(address, api_key=wrong)
        with pytest.raises(CredentialsRejected):
            await answer(model, Said("user", "Say hello."))
        await model.close()
