"""A chain whose own language model does not answer: the device's provider answers the same question."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.rig.appliance import Handset
from tests.rig.ports import free_port

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]


CASES = [
    ("", "provider_unavailable", "openai: nothing listens at 127.0.0.1"),
    ("500 Broken", "provider_unavailable", "openai answered HTTP 500"),
    ("429 Too Many", "rate_limited", "openai asks to come again later"),
]


@contextlib.asynccontextmanager
async def model(port: int, status: str) -> AsyncIterator[None]:
    """A server that answers everything with `status`; empty: nothing listens there."""
    if not status:
        yield
        return

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 {status}\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}"
        writer.write(head.encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", port):
        yield


async def test_the_next_provider_answers_the_same_question_and_why_is_told():
    port = free_port()
    chain_table: dict[str, Any] = {
        "stt": "pocketsphinx",
        "llm": "openai",
        "tts": "espeak",
        "llm_base_url": f"http://127.0.0.1:{port}/v1",
        "llm_model": "tiny",
    }
    sections: dict[str, Any] = {
        "conversation": {"providers": ["chain", "offline"]},
        "providers.chain": chain_table,
    }
    async with Handset(**sections) as handset:
        await is_answered_by_the_device(handset, port, *CASES[0])
        # A second time, the next provider is begun with: why is told all the same.
        await is_answered_by_the_device(handset, port, *CASES[0])
        for case in CASES[1:]:
            await handset.client.ask("config.reload")
            await is_answered_by_the_device(handset, port, *case)


async def is_answered_by_the_device(handset: Handset, port: int, status: str, code: str, reason: str) -> None:
    async with model(port, status):
        returned, printed, complained = await handset.run("ask", "what is twelve times seven")
    assert (returned, complained) == (0, "")
    assert "84" in printed
    chain = (await handset.client.state())["providers"]["chain"]
    assert (chain["state"], chain["code"]) == ("down", code)
    assert chain["reason"].startswith(reason)
    assert f"provider chain is down ({code}: {reason}" in handset.text()
